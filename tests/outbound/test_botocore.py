"""boto3's client of Bedrock against a server on loopback: each attempt is one event, and every byte of an answer is seen."""

from __future__ import annotations

import base64
import binascii
import copy
import io
import json
import struct
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import botocore.awsrequest
import botocore.config
import botocore.endpoint
import botocore.exceptions
import pytest
import urllib3
from exchanges import ANSWER, REQUEST, Watched
from garbage import collect
from loopback import Asked, Loopback, Reply
from msgspec.structs import replace

from payi_middleware import botocore as face
from payi_middleware import health, track, uninstrument
from payi_middleware.providers import Endpoint, Provider, Reading, Route, named

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
MESSAGES: Any = [{"role": "user", "content": [{"text": "Tell me about the fox."}]}]
CONVERSED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "A fox."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 100, "outputTokens": 20, "totalTokens": 120},
    "metrics": {"latencyMs": 1},
}


def frame(kind: str, value: Any) -> bytes:
    """One message of an AWS event stream."""
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    heads = b"".join(
        struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(told)) + told.encode()
        for name, told in named.items()
    )
    payload = json.dumps(value).encode()
    prelude = struct.pack("!II", len(heads) + len(payload) + 16, len(heads))
    message = prelude + struct.pack("!I", binascii.crc32(prelude)) + heads + payload
    return message + struct.pack("!I", binascii.crc32(message))


STREAM = [
    frame("messageStart", {"role": "assistant"}),
    frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "A fox."}}),
    frame("messageStop", {"stopReason": "end_turn"}),
    frame("metadata", {"usage": CONVERSED["usage"], "metrics": {"latencyMs": 1}}),
]


class Seen(Watched):
    """A meter for which the server speaks OpenAI's format on Bedrock's paths, so that the face alone is tried."""

    def __init__(self, host: str) -> None:
        super().__init__(hosts={host: "openai"})
        self.bodies: list[bytes] = []
        """What was seen of each answer that is a stream."""
        self.paths: list[str] = []
        chat = named("openai").route("POST", "/v1/chat/completions")
        assert chat is not None

        def read(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
            self.bodies.append(head)
            return Reading(units={"text": (100, 20)}, model="gpt-4o-mini", complete=head.endswith(STREAM[-1]))

        def route(method: str, path: str) -> Route | None:
            self.paths.append(path)
            if path.endswith("-stream"):
                return Route(self.streamed, "gpt-4o-mini")
            return Route(chat.endpoint, "gpt-4o-mini") if path.startswith("/model/") else None

        self.streamed: Endpoint = replace(chat.endpoint, read=read, read_stream=read)
        provider: Provider = replace(named("openai"), find_route=route, routes={})
        self.meter.hosts._known["127.0.0.1"] = provider


@pytest.fixture
def seen(loopback: Loopback) -> Iterator[Seen]:
    from payi_middleware import instrument

    seen = Seen(loopback.host)
    instrument(seen.meter)
    yield seen
    seen.meter.close()


@pytest.fixture
def client(loopback: Loopback) -> Iterator[Any]:
    """Bedrock's client, with a key that signs."""
    client = bedrock(loopback)
    yield client
    client.close()


def bedrock(loopback: Loopback, **options: Any) -> Any:
    options = {"retries": {"total_max_attempts": 1}, "read_timeout": 5} | options
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://{loopback.host}",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=botocore.config.Config(proxies={}, **options),
    )


def signed(asked: Asked) -> list[str]:
    """The names of the headers that a request's signature covers."""
    return str(asked.headers["authorization"]).split("SignedHeaders=")[1].split(",")[0].split(";")


@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_invoke(framing: str, client: Any, loopback: Loopback, seen: Seen) -> None:
    """The body goes in and out as bytes; the model is in the path, as it reads."""
    loopback.replies = [Reply(framing=framing, headers={"x-amzn-bedrock-input-token-count": "100"})]
    with track(user_id="jane"):
        answer = client.invoke_model(modelId=MODEL, body=REQUEST)
    assert answer["body"].read() == ANSWER
    assert answer["body"].read() == b""
    event = seen.one
    assert (event.outcome, event.http_status, event.user_id) == ("ok", 200, "jane")
    assert event.units == {"text": (100, 20)}
    assert event.duration_ns >= (event.first_byte_ns or 0) > 0
    assert seen.paths == [f"/model/{MODEL}/invoke"]


@pytest.mark.parametrize("way", ["lines", "chunks", "some", "iteration", "raw"])
def test_ways_of_reading_a_body(way: str, client: Any, loopback: Loopback, seen: Seen) -> None:
    """All that botocore's `StreamingBody` offers."""
    body = client.invoke_model(modelId=MODEL, body=REQUEST)["body"]
    if way == "lines":
        read = b"".join(body.iter_lines())
    elif way == "chunks":
        read = b"".join(body.iter_chunks(7))
    elif way == "some":
        read = b"".join(iter(lambda: body.read(7), b""))
    elif way == "iteration":
        read = b"".join(body)
    else:
        read = b"".join(body._raw_stream.stream())
    body.close()
    assert read == ANSWER
    assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})


def test_converse(client: Any, loopback: Loopback, seen: Seen) -> None:
    """What botocore reads itself is one event."""
    loopback.replies = [Reply([json.dumps(CONVERSED).encode()])]
    assert client.converse(modelId=MODEL, messages=MESSAGES)["usage"]["inputTokens"] == 100
    assert (seen.one.http_status, seen.one.outcome) == (200, "ok")
    assert json.loads(loopback.asked[0].body)["messages"] == MESSAGES


def test_an_event_stream(client: Any, loopback: Loopback, seen: Seen) -> None:
    """Every byte of it is seen; the second message is not sent before the first has been read."""
    gate = threading.Event()
    loopback.replies = [Reply(STREAM, gates=[gate])]
    stream = client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    events = iter(stream)
    assert "messageStart" in next(events)
    gate.set()
    assert [next(iter(event)) for event in events] == ["contentBlockDelta", "messageStop", "metadata"]
    assert seen.one.outcome == "ok"
    assert seen.bodies == [b"".join(STREAM)]


def test_an_event_stream_of_chunks(client: Any, loopback: Loopback, seen: Seen) -> None:
    """The same for a model's own events, in whatever pieces they come."""
    parts = [frame("chunk", {"bytes": base64.b64encode(word).decode()}) for word in (b'{"a": 1}', b'{"b": 2}')]
    body = b"".join(parts)
    loopback.replies = [Reply([body[at : at + 9] for at in range(0, len(body), 9)])]
    stream = client.invoke_model_with_response_stream(modelId=MODEL, body=REQUEST)["body"]
    assert [event["chunk"]["bytes"] for event in stream] == [b'{"a": 1}', b'{"b": 2}']
    assert seen.events
    assert seen.bodies == [body]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the socket that is dropped
@pytest.mark.parametrize("way", ["close", "drop"])
def test_a_stream_left_early(way: str, client: Any, loopback: Loopback, seen: Seen) -> None:
    """Its call ends when it is closed, or when nobody holds it."""
    loopback.replies = [Reply(STREAM, gates=[threading.Event()])]
    answer = client.converse_stream(modelId=MODEL, messages=MESSAGES)
    next(iter(answer["stream"]))
    if way == "close":
        answer["stream"].close()
    del answer
    collect()
    assert seen.one.outcome == "aborted"
    assert seen.bodies == [STREAM[0]]


def test_a_stream_that_breaks_off(client: Any, loopback: Loopback, seen: Seen) -> None:
    """The application gets botocore's error, the event the one beneath."""
    loopback.replies = [Reply(STREAM[:2], breaks=True)]
    with pytest.raises(urllib3.exceptions.ProtocolError):
        list(client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])
    assert (seen.one.outcome, seen.one.error_type) == ("error", "ProtocolError")


def test_retries_are_attempts_of_one_call(loopback: Loopback, seen: Seen) -> None:
    """Each of botocore's attempts is an event with its status, joined to the others."""
    refusal = Reply([b'{"message": "slow down"}'], status=429, headers={"x-amzn-errortype": "ThrottlingException"})
    loopback.replies = [refusal, Reply(silent=True), Reply([json.dumps(CONVERSED).encode()])]
    client = bedrock(loopback, retries={"total_max_attempts": 3, "mode": "standard"})
    client.meta.events.register_first("needs-retry", lambda **told: None if told["attempts"] > 2 else 0)
    client.converse(modelId=MODEL, messages=MESSAGES)
    client.close()
    assert [(e.http_status, e.outcome, e.attempt) for e in seen.events] == [
        (429, "error", 1),
        (None, "error", 2),
        (200, "ok", 3),
    ]
    assert len({e.call_group for e in seen.events}) == 1


def test_a_timeout(loopback: Loopback, seen: Seen) -> None:
    """botocore's own error tells it."""
    gate = threading.Event()

    def sleepy(asked: Asked) -> Reply:
        gate.wait(5)
        return Reply()

    loopback.replies = [sleepy]
    client = bedrock(loopback, read_timeout=0.2)
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        client.converse(modelId=MODEL, messages=MESSAGES)
    gate.set()
    client.close()
    assert (seen.one.outcome, seen.one.error_type) == ("timeout", "ReadTimeoutError")


def test_headers_of_the_call(client: Any, loopback: Loopback, seen: Seen) -> None:
    """xProxy headers that a handler gives are read and taken off before the request is signed, attempt by attempt."""

    def tell(params: Any, **more: Any) -> None:
        params["headers"] |= {"xProxy-User-ID": "john", "x-other": "1"}

    client.meta.events.register("before-call.bedrock-runtime", tell)
    loopback.replies = [Reply(status=503), Reply()]
    client.meta.events.register_first("needs-retry", lambda **told: None if told["attempts"] > 1 else 0)
    with track(user_id="jane"):
        client.invoke_model(modelId=MODEL, body=REQUEST)["body"].read()
    assert [e.user_id for e in seen.events] == ["john", "john"]
    for asked in loopback.asked:
        assert "xproxy-user-id" not in asked.headers
        assert "x-other" in signed(asked)


def test_headers_that_come_too_late(client: Any, loopback: Loopback, seen: Seen) -> None:
    """One that is signed goes out, or the provider would refuse the request; one added after that is taken off."""
    client.meta.events.register(
        "before-sign", lambda request, **more: request.headers.add_header("xProxy-User-ID", "john")
    )
    client.meta.events.register(
        "before-send", lambda request, **more: request.headers.__setitem__("xProxy-Account-Name", "Doe")
    )
    client.invoke_model(modelId=MODEL, body=REQUEST)["body"].read()
    (asked,) = loopback.asked
    assert (seen.one.user_id, seen.one.account_name) == ("john", "Doe")
    assert (asked.headers["xproxy-user-id"], asked.headers["xproxy-account-name"]) == ("john", None)
    assert "xproxy-user-id" in signed(asked)
    assert health.counters()["own_header_signed"] == 1


def test_headers_of_a_call_that_is_not_signed(loopback: Loopback, seen: Seen) -> None:
    """As with Bedrock's API keys: nothing is too late."""
    client = bedrock(loopback, signature_version=botocore.UNSIGNED)
    client.meta.events.register(
        "before-send", lambda request, **more: request.headers.__setitem__("xProxy-User-ID", "john")
    )
    client.invoke_model(modelId=MODEL, body=REQUEST)["body"].read()
    client.close()
    assert seen.one.user_id == "john"
    assert "xproxy-user-id" not in loopback.asked[0].headers


class Session:
    """An HTTP session that is not botocore's own."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def send(self, request: Any) -> Any:
        return botocore.awsrequest.AWSResponse(request.url, 200, {}, io.BytesIO(self.body))

    def close(self) -> None:
        pass


def test_a_session_of_the_applications_own(client: Any, loopback: Loopback, seen: Seen) -> None:
    """Whatever sends is seen."""
    client._endpoint.http_session = Session(ANSWER)
    assert client.invoke_model(modelId=MODEL, body=REQUEST)["body"].read() == ANSWER
    assert seen.one.units == {"text": (100, 20)}
    assert loopback.asked == []


def test_an_answer_that_a_handler_makes(client: Any, loopback: Loopback, seen: Seen) -> None:
    """As mocks do: nothing is sent, and nothing consumed."""
    answer = botocore.awsrequest.AWSResponse("", 200, {}, io.BytesIO())
    answer._content = json.dumps(CONVERSED).encode()
    client.meta.events.register("before-send", lambda **told: answer)
    client.converse(modelId=MODEL, messages=MESSAGES)
    assert (loopback.asked, seen.events) == ([], [])


def test_who_is_no_provider(client: Any, loopback: Loopback, seen: Seen) -> None:
    """Another service, or a call that consumes nothing, is no event, and none when the hook is gone."""
    with Loopback() as other:
        seen.meter.hosts._known["localhost"] = None
        elsewhere = bedrock(other)
        elsewhere._endpoint.host = f"http://localhost:{other.host.partition(':')[2]}"
        elsewhere.meta.events.register(
            "before-call",
            lambda params, **more: params.update(url=f"http://localhost:{other.host.partition(':')[2]}/x"),
        )
        elsewhere.invoke_model(modelId=MODEL, body=REQUEST)
        assert other.asked
    client.meta.events.register("before-call.bedrock-runtime.ApplyGuardrail", lambda **told: None)
    loopback.replies = [Reply([b"{}"])]
    client.apply_guardrail(
        guardrailIdentifier="a", guardrailVersion="1", source="INPUT", content=[{"text": {"text": "a"}}]
    )
    uninstrument()
    client.invoke_model(modelId=MODEL, body=REQUEST)
    assert seen.events == []


def test_faults_of_ours(client: Any, loopback: Loopback, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is counted and logged; the application gets its answer."""

    def fault(*args: Any) -> Any:
        raise RuntimeError("ours")

    for name in ("take_own", "path_of", "_raw"):
        with monkeypatch.context() as patching:
            patching.setattr(face, name, fault)
            assert client.invoke_model(modelId=MODEL, body=REQUEST)["body"].read() == ANSWER
    assert (health.counters()["call_begin"], health.counters()["tap"]) == (3, 1)
    assert [e.outcome for e in seen.events] == ["ok", "ok", "unknown"]  # the first two are seen by urllib3's face


def test_a_version_without_the_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is patched, and the doctor is told."""
    monkeypatch.delattr(botocore.endpoint.Endpoint, "_send")
    assert face.hook(None) == "unsupported"  # type: ignore[arg-type]


def test_what_is_read_stays_copyable(client: Any, loopback: Loopback, seen: Seen) -> None:
    """An answer's own attributes are its own."""
    client._endpoint.http_session = Session(ANSWER)
    raw = client.invoke_model(modelId=MODEL, body=REQUEST)["body"]._raw_stream
    assert not raw.closed
    assert copy.copy(raw).seekable()
