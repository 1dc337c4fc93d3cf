"""AWS Bedrock over HTTP, from a server on loopback to an event: bare clients, Anthropic's SDK and boto3."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

import anthropic
import boto3
import httpx2
import pytest
from eventstreams import chunk, event, exception, metadata, said
from exchanges import Watched

from payi_middleware import instrument, uninstrument
from payi_middleware.events import CallEvent

MODEL = "us.amazon.nova-pro-v1:0"
CLAUDE = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
ASKED = {"messages": [{"role": "user", "content": [{"text": "Tell me about the fox."}]}]}
CONVERSED = {
    "metrics": {"latencyMs": 7},
    "output": {"message": {"role": "assistant", "content": [{"text": "A fox."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100},
}
STREAM = [*said("A ", "fox."), metadata(1000, 100)]
EVENTS = "application/vnd.amazon.eventstream"


def claude(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind} | more


MESSAGE = {
    "id": "msg_bdrk_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5-20251001",
    "content": [{"type": "text", "text": "A fox."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1000, "output_tokens": 100},
}
METRICS = {"inputTokenCount": 1000, "outputTokenCount": 100, "invocationLatency": 7, "firstByteLatency": 1}
CLAUDE_STREAM = [
    chunk(
        claude("message_start", message=MESSAGE | {"content": [], "usage": {"input_tokens": 1000, "output_tokens": 1}})
    ),
    chunk(claude("content_block_start", index=0, content_block={"type": "text", "text": ""})),
    chunk(claude("content_block_delta", index=0, delta={"type": "text_delta", "text": "A fox."})),
    chunk(claude("content_block_stop", index=0)),
    chunk(claude("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 100})),
    chunk(claude("message_stop") | {"amazon-bedrock-invocationMetrics": METRICS}),
]


class _Bedrock(BaseHTTPRequestHandler):
    """Answers a path with what `replies` has for its last part."""

    protocol_version = "HTTP/1.1"
    replies: ClassVar[dict[str, tuple[int, dict[str, str], list[bytes]]]] = {}

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, headers, parts = self.replies[unquote(self.path).rpartition("/")[2]]
        self.send_response(status)
        for name, value in ({"x-amzn-RequestId": "request-1", "transfer-encoding": "chunked"} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        for part in [*parts, b""]:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


JSON = {"content-type": "application/json"}
COUNTS = {"x-amzn-bedrock-input-token-count": "1000", "x-amzn-bedrock-output-token-count": "100"}
REFUSED = {"x-amzn-ErrorType": "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/"}
REPLIES: dict[str, tuple[int, dict[str, str], list[bytes]]] = {
    "converse": (200, JSON, [json.dumps(CONVERSED).encode()]),
    "converse-stream": (200, {"content-type": EVENTS}, STREAM),
    "invoke": (200, JSON | COUNTS, [json.dumps(MESSAGE).encode()]),
    "invoke-with-response-stream": (
        200,
        {"content-type": EVENTS, "x-amzn-bedrock-content-type": "application/json"},
        CLAUDE_STREAM,
    ),
}


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Bedrock on loopback."""
    monkeypatch.setattr(_Bedrock, "replies", dict(REPLIES))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bedrock)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def watched(address: str) -> Iterator[Watched]:
    """A meter that knows it as Bedrock, with the hook installed."""
    made = Watched(hosts={address.partition("//")[2]: "aws"})
    instrument(made.meter)
    yield made
    uninstrument()
    made.meter.close()


def ask(address: str, operation: str, model: str = MODEL, *, read: int | None = None) -> bytes:
    """A call by a bare client, as the AWS SDKs spell it; `read` bytes of the answer, or all."""
    path = f"{address}/model/{model.replace(':', '%3A')}/{operation}"
    with httpx2.Client(trust_env=False) as client, client.stream("POST", path, json=ASKED) as response:
        if read is None:
            return response.read()
        return next(response.iter_raw(read))


def usd(told: CallEvent) -> str | None:
    return None if told.cost is None else str(told.cost.to_dict()["total"])


@pytest.mark.parametrize("operation", ["converse", "converse-stream"])
def test_converse(operation: str, address: str, watched: Watched) -> None:
    """Whole and streamed, the answer reaches the application as it is, and the event has all of it."""
    assert ask(address, operation) == b"".join(REPLIES[operation][2])
    told = watched.one

    assert (told.provider, told.category, told.resource) == ("aws", "system.aws.bedrock", MODEL)
    assert (told.endpoint, told.requested_resource) == (f"/model/{{modelId}}/{operation}", MODEL)
    assert (told.units, told.cost_source, told.outcome) == ({"text": (1000, 100)}, "usage", "ok")
    assert (usd(told), told.streamed) == ("0.00112", operation == "converse-stream")
    assert told.provider_response_id == "request-1"
    assert "fox" not in told.to_json().lower()


def test_a_stream_that_the_application_leaves(address: str, watched: Watched) -> None:
    """What was sent and received is counted: nothing was told yet."""
    ask(address, "converse-stream", read=len(b"".join(STREAM[:2])))
    told = watched.one

    assert (told.outcome, told.cost_source) == ("aborted", "estimate")
    assert told.cost is not None
    assert 0 < told.units["text"][0] < 30
    assert 0 < told.units["text"][1] < 30


def test_a_stream_that_ends_in_an_exception(address: str, watched: Watched) -> None:
    """The event has the type of the exception, and an estimate of what came before it."""
    _Bedrock.replies["converse-stream"] = (
        200,
        {"content-type": EVENTS},
        [*STREAM[:3], exception("throttlingException")],
    )
    ask(address, "converse-stream")
    told = watched.one

    assert (told.outcome, told.error_type, told.cost_source) == ("error", "throttlingException", "estimate")


@pytest.mark.parametrize("status", [400, 429, 503])
def test_refusals(status: int, address: str, watched: Watched) -> None:
    """AWS tells the type of an error in a header; the text of the body is nobody's business."""
    _Bedrock.replies["converse"] = (status, JSON | REFUSED, [b'{"message": "secret"}'])
    ask(address, "converse")
    told = watched.one

    assert (told.outcome, told.error_type, told.http_status) == ("error", "ThrottlingException", status)
    assert (told.cost, told.units) == (None, {})
    assert "secret" not in told.to_json()


def test_a_refusal_without_a_type(address: str, watched: Watched) -> None:
    """Then the status is its name."""
    _Bedrock.replies["converse"] = (400, JSON | {"x-amzn-ErrorType": "not a plain word"}, [b"{}"])
    ask(address, "converse")

    assert watched.one.error_type == "http_400"


def test_headers_count_what_a_body_does_not(address: str, watched: Watched) -> None:
    """Cohere's text, priced by what Bedrock tells beside it."""
    _Bedrock.replies["invoke"] = (200, JSON | COUNTS, [b'{"generations": [{"text": "A fox."}]}'])
    ask(address, "invoke", "cohere.command-r-v1:0")
    told = watched.one

    assert (told.units, told.cost_source, usd(told)) == ({"text": (1000, 100)}, "usage", "0.00065")


def test_a_large_stream_is_read_from_its_end(address: str, watched: Watched) -> None:
    """Of a stream of some megabytes head and tail are kept, and the tail begins anywhere."""
    delta = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a fox " * 100}})
    _Bedrock.replies["converse-stream"] = (200, {"content-type": EVENTS}, [delta * 100] * 40 + [STREAM[-1]])
    assert len(ask(address, "converse-stream")) > 2 << 20

    assert watched.one.units == {"text": (1000, 100)}


def test_what_is_free_is_no_event(address: str, watched: Watched) -> None:
    """Counting tokens costs nothing."""
    _Bedrock.replies["count-tokens"] = (200, JSON, [b'{"inputTokens": 5}'])
    ask(address, "count-tokens")

    assert watched.events == []


@pytest.mark.parametrize("streamed", [False, True])
def test_anthropics_sdk(streamed: bool, address: str, watched: Watched) -> None:
    """It signs, asks by invoke and reads the event stream; the profile of the path decides the rate."""
    client = anthropic.AnthropicBedrock(
        aws_access_key="AKIDEXAMPLE",
        aws_secret_key="secret",
        aws_region="us-east-1",
        base_url=address,
        max_retries=0,
        http_client=anthropic.DefaultHttpxClient(trust_env=False),
    )
    given: Any = {"model": CLAUDE, "max_tokens": 100, "messages": [{"role": "user", "content": "Tell me."}]}
    if streamed:
        with client.messages.stream(**given) as stream:
            assert stream.get_final_text() == "A fox."
    else:
        assert client.messages.create(**given).usage.output_tokens == 100
    client.close()
    told = watched.one

    assert (told.resource, told.provider_response_id) == (CLAUDE, "msg_bdrk_1")
    assert (told.units, usd(told), told.streamed) == ({"text": (1000, 100)}, "0.0015", streamed)


def test_boto3(address: str, watched: Watched) -> None:
    """AWS's own library: converse and invoke, whole and streamed, each one event at its price."""
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=address,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )
    client.converse(modelId=MODEL, **ASKED)
    kinds = [kind for part in client.converse_stream(modelId=MODEL, **ASKED)["stream"] for kind in part]
    client.invoke_model(modelId=CLAUDE, body=b"{}")["body"].read()
    chunks = list(client.invoke_model_with_response_stream(modelId=CLAUDE, body=b"{}")["body"])
    client.close()

    assert (kinds[-1], len(chunks)) == ("metadata", len(CLAUDE_STREAM))
    assert [usd(told) for told in watched.events] == ["0.00112", "0.00112", "0.0015", "0.0015"]
    assert [told.resource for told in watched.events] == [MODEL, MODEL, CLAUDE, CLAUDE]
