"""Bodies that are not as they should be: no exception, a plain reason, and nobody's text in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import body, endpoint
from hypothesis import given, note, settings
from hypothesis import strategies as st

from payi_middleware.providers import Asked, Endpoint, Reading, named
from payi_middleware.providers.base import Facts, summed


def again(path: str) -> Endpoint:
    """The endpoint behind a GET."""
    route = named("openai").route("GET", path)
    assert route is not None, path
    return route.endpoint


CHAT = endpoint("api.openai.com", "/v1/chat/completions")
ENDPOINTS = {
    "chat": CHAT,
    "azure": endpoint("x.openai.azure.com", "/openai/deployments/d/chat/completions"),
    "openrouter": endpoint("openrouter.ai", "/api/v1/chat/completions"),
    "embeddings": endpoint("api.openai.com", "/v1/embeddings"),
    "responses": endpoint("api.openai.com", "/v1/responses"),
    "messages": endpoint("api.anthropic.com", "/v1/messages"),
    "gemini": endpoint("generativelanguage.googleapis.com", "/v1beta/models/m:generateContent"),
    "other": endpoint("api.openai.com", "/v1/something/new"),
    "images": endpoint("api.openai.com", "/v1/images/edits"),
    "speech": endpoint("api.openai.com", "/v1/audio/speech"),
    "transcriptions": endpoint("api.openai.com", "/v1/audio/transcriptions"),
    "videos": endpoint("api.openai.com", "/v1/videos/extensions"),
    "containers": endpoint("api.openai.com", "/v1/containers"),
    "searches": endpoint("api.openai.com", "/v1/vector_stores/vs_1/search"),
    "sessions": endpoint("api.openai.com", "/v1/realtime/calls"),
    "live": endpoint("api.openai.com", "/v1/live/sessions"),
    "runs": endpoint("api.openai.com", "/v1/threads/runs"),
    "batches": again("/v1/files/file-1/content"),
    "polls": again("/v1/responses/resp_1"),
}

OPENAI_FAULTS = [
    (b'{"usage":{"prompt_tokens":-1,"completion_tokens":2}}', "usage.prompt_tokens: expected int >= 0"),
    (b'{"usage":{"prompt_tokens":"12","completion_tokens":2}}', "usage.prompt_tokens: expected int, got str"),
    (b'{"usage":{"prompt_tokens":true,"completion_tokens":2}}', "usage.prompt_tokens: expected int, got bool"),
    (b'{"usage":{"prompt_tokens":1.5,"completion_tokens":2}}', "usage.prompt_tokens: expected int, got float"),
    (b'{"usage":{"prompt_tokens":NaN,"completion_tokens":2}}', "usage.prompt_tokens: expected int, got float"),
    (b'{"usage":{"prompt_tokens":1e400,"completion_tokens":2}}', "usage.prompt_tokens: expected int, got float"),
    (b'{"usage":{"prompt_tokens":99999999999999999999}}', "usage.prompt_tokens: expected int <= 100000000"),
    (b'{"usage":{"prompt_tokens":100000001}}', "usage.prompt_tokens: expected int <= 100000000"),
    (
        b'{"usage":{"prompt_tokens":4,"prompt_tokens_details":[1]}}',
        "usage.prompt_tokens_details: expected object, got array",
    ),
    (
        b'{"usage":{"prompt_tokens":4,"prompt_tokens_details":{"cached_tokens":"x"}}}',
        "usage.prompt_tokens_details.cached_tokens: expected int, got str",
    ),
    (b'{"usage":[1]}', "usage: expected object, got array"),
    (b'{"usage":"secret"}', "usage: expected object, got str"),
    (b'{"usage":{}}', "usage has no token counts"),
    (b'{"usage":null}', "usage is missing"),
    (b"{}", "usage is missing"),
    (b"", "the answer is empty"),
    (b"  \n", "the answer is empty"),
    (b"[]", "the answer is not a JSON object"),
    (b'"secret"', "the answer is not a JSON object"),
    (b"null", "the answer is not whole JSON"),
    (b"<html>secret</html>", "the answer is not whole JSON"),
    (b'{"usage":{"prompt_tokens":4,', "the answer is not whole JSON"),
    (b"\xff\xfe\x00", "the answer is not whole JSON"),
    (b'{"x":' + b"[" * 100_000, "the answer is not whole JSON"),
    (b'{"x":1e99999999999999999999,"usage":[]}', "the answer is not whole JSON"),
]


@pytest.mark.parametrize(("raw", "reason"), OPENAI_FAULTS, ids=range(len(OPENAI_FAULTS)))
def test_the_reason_names_the_field(raw: bytes, reason: str) -> None:
    """A fault is told by field and type, and never shows a value."""
    reading = CHAT.read(raw)

    assert reading.units is None
    assert reading.reason is not None
    assert reading.reason.replace(", got decimal", ", got float") == reason
    assert "secret" not in repr(reading)


@pytest.mark.parametrize(
    "raw", [b'{"model":"gpt-\xff"}', b'{"model":"gpt-\\ud800"}', b'{"model":7,"id":[1],"service_tier":{}}']
)
def test_broken_names_leave_the_usage(raw: bytes) -> None:
    """Names that are broken or no strings do not cost the usage, and what is kept can be written."""
    raw = raw[:-1] + b',"usage":{"prompt_tokens":4,"completion_tokens":2}}'

    reading = CHAT.read(raw)

    assert reading.units == {"text": (4, 2)}
    (reading.model or "").encode()


@pytest.mark.parametrize(
    ("raw", "units", "reason"),
    [
        (
            b'{"usage":{"prompt_tokens":"\\ud800","completion_tokens":2}}',
            None,
            "usage.prompt_tokens: expected int, got str",
        ),
        (b'{"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":"\\udc00"}}', {"text": (1, 2)}, "usage.cost: "),
        (b'{"x":[{"\\ud800":"\\ud800"}],"usage":{"cost":"\\udc00","prompt_tokens":[]}}', None, "usage."),
        (
            b'{"x":' + b"[" * 200 + b"]" * 200 + b',"usage":{"prompt_tokens":1,"cost":"\\udc00"}}',
            {"text": (1, 0)},
            "usage.cost: ",
        ),
    ],
)
def test_half_a_surrogate_pair_in_a_number_s_place(raw: bytes, units: object, reason: str) -> None:
    """Half a surrogate pair, which msgspec cannot even refuse, is a malformed member like any other."""
    reading = CHAT.read(raw)

    assert reading.units == units
    assert (reading.reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        (
            "messages",
            b'{"usage":{"input_tokens":1,"output_tokens":1,"server_tool_use":{"web_search_requests":1099511627776}}}',
        ),
        ("chat", b'{"usage":{"prompt_tokens":1,"server_side_tool_usage_details":{"web_search_calls":1000001}}}'),
        ("chat", b'{"usage":{"prompt_tokens":1,"server_tool_use_details":{"web_search_requests":1000001}}}'),
    ],
)
def test_an_absurd_number_of_calls_is_malformed(name: str, raw: bytes) -> None:
    """Each call of a tool has a fee, so more than a million of them in one answer are a fault."""
    reading = ENDPOINTS[name].read(raw)

    assert reading.units is None
    assert (reading.reason or "").endswith("expected int <= 1000000")


ABSURD = 10**8 + 1
ABSURD_COUNTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("api.openai.com", "/v1/chat/completions", {"usage": {"prompt_tokens": ABSURD, "completion_tokens": 1}}),
    "responses": ("api.openai.com", "/v1/responses", {"usage": {"input_tokens": ABSURD, "output_tokens": 1}}),
    "messages": ("api.anthropic.com", "/v1/messages", {"usage": {"input_tokens": ABSURD, "output_tokens": 1}}),
    "gemini": (
        "generativelanguage.googleapis.com",
        "/v1beta/models/gemini-2.5-flash:generateContent",
        {"usageMetadata": {"promptTokenCount": ABSURD, "candidatesTokenCount": 1}},
    ),
    "converse": (
        "bedrock-runtime.us-east-1.amazonaws.com",
        "/model/amazon.nova-pro-v1:0/converse",
        {"usage": {"inputTokens": ABSURD, "outputTokens": 1}},
    ),
    "cohere": (
        "api.cohere.com",
        "/v2/chat",
        {"usage": {"billed_units": {"input_tokens": ABSURD, "output_tokens": 1}}},
    ),
    "cloudflare": (
        "api.cloudflare.com",
        "/client/v4/accounts/a/ai/run/@cf/meta/llama-3.1-8b-instruct",
        {"result": {"response": "hi", "usage": {"prompt_tokens": ABSURD, "completion_tokens": 1}}},
    ),
}


@pytest.mark.parametrize("name", ABSURD_COUNTS)
def test_more_tokens_than_an_answer_can_have_are_malformed(name: str) -> None:
    """A hundred times the largest window in one answer would be a fortune, and fill every limit: none of it is counted."""
    host, path, answer = ABSURD_COUNTS[name]

    reading = endpoint(host, path).read(body({"model": "m", **answer}))

    assert not reading.units or not any(map(any, reading.units.values()))
    assert "malformed" in (reading.reason or "") or "<= 100000000" in (reading.reason or "")


def test_the_largest_of_answers_is_believed() -> None:
    """A hundred million tokens are no fault; nor are a batch's, which are many answers'."""
    raw = {"model": "gpt-5", "usage": {"prompt_tokens": 10**8, "completion_tokens": 1}}
    line = body({"custom_id": "a", "response": {"status_code": 200, "body": {"object": "chat.completion", **raw}}})

    assert CHAT.read(body(raw)).units == {"text": (10**8, 1)}
    assert ENDPOINTS["batches"].read(b"\n".join([line] * 3)).units == {"text": (3 * 10**8, 3)}


def test_an_absurd_number_of_searches_of_a_response_is_dropped() -> None:
    """What a response tells of its tools stands apart from its tokens, and costs them nothing."""
    raw = body({"usage": {"input_tokens": 1}, "tool_usage": {"web_search": {"num_requests": 1 << 40}}})

    reading = ENDPOINTS["responses"].read(raw)

    assert reading.units == {"text": (1, 0)}
    assert (reading.reason or "").endswith("expected int <= 1000000")


def test_endless_names_are_dropped() -> None:
    """A name of a megabyte is no name."""
    raw = body({"model": "m" * 1_000_000, "id": "i", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

    assert (CHAT.read(raw).model, CHAT.read(raw).response_id) == (None, "i")


def test_a_body_cut_short_is_not_complete() -> None:
    """A body that ends in the middle was not received whole."""
    assert not CHAT.read(b'{"id":"x","usage":{"prompt_tok').complete


@pytest.mark.parametrize(
    ("endpoint", "raw", "reason"),
    [
        ("messages", b'{"usage":{"input_tokens":"4"}}', "usage.input_tokens: expected int, got str"),
        ("messages", b'{"usage":{"output_tokens_details":{}}}', "usage has no token counts"),
        ("messages", b"{}", "usage is missing"),
        ("responses", b'{"usage":{"input_tokens":-4}}', "usage.input_tokens: expected int >= 0"),
        (
            "gemini",
            b'{"usageMetadata":{"promptTokenCount":"4"}}',
            "usageMetadata.promptTokenCount: expected int, got str",
        ),
        (
            "gemini",
            b'{"usageMetadata":{"promptTokensDetails":[{"tokenCount":1},{"tokenCount":-1}]}}',
            "usageMetadata.promptTokensDetails[1].tokenCount: expected int >= 0",
        ),
        ("messages", b"", "the answer is empty"),
        ("responses", b"nope", "the answer is not whole JSON"),
        ("gemini", b"", "the answer is empty"),
    ],
)
def test_faults_of_the_other_shapes(endpoint: str, raw: bytes, reason: str) -> None:
    """The other shapes name their faults the same way."""
    reading = ENDPOINTS[endpoint].read(raw)

    assert (reading.units, reading.reason) == (None, reason)


@pytest.mark.parametrize("name", ["chat", "responses", "messages", "gemini"])
def test_malformed_usage_in_a_cut_body_and_a_stream(name: str) -> None:
    """A malformed usage is named wherever it is found."""
    key, count = ("usageMetadata", "promptTokenCount") if name == "gemini" else ("usage", "input_tokens")
    raw = b'{"%s":{"%s":"4"}}' % (key.encode(), count.encode())

    for reading in (ENDPOINTS[name].read_cut(raw, raw), ENDPOINTS[name].read_stream(b"data: " + raw + b"\n\n")):
        assert reading.units is None
        assert reading.reason == f"{key}.{count}: expected int, got str"


def test_hopeless_bodies_are_given_up() -> None:
    """With more faults than are worth repairing there is a reason and nothing else."""
    raw = body({"usage": {"input_tokens": 1}, "output": [{"type": n} for n in range(100)]})

    reading = ENDPOINTS["responses"].read(raw)

    assert (reading.units, reading.reason) == (None, "output[0].type: expected str, got int")
    assert ENDPOINTS["responses"].read_cut(raw, raw).units == {"text": (1, 0)}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "usage",
                    "usageMetadata",
                    "model",
                    "error",
                    "response",
                    "message",
                    "type",
                    "candidates",
                    "output",
                    "choices",
                    "delta",
                    "prompt_tokens",
                    "input_tokens",
                    "output_tokens",
                    "promptTokenCount",
                    "promptTokensDetails",
                    "tokenCount",
                    "cost",
                    "prompt_tokens_details",
                    "cached_tokens",
                    "iterations",
                    "x_groq",
                    "tool_usage",
                    "stream",
                    "data",
                    "duration",
                    "seconds",
                    "size",
                    "input",
                    "tools",
                    "custom_id",
                    "image_gen",
                    "svg_usage",
                    "messages",
                    "content",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=24,
)


def _all(endpoint: Endpoint, raw: bytes, other: bytes) -> None:
    for reading in (
        endpoint.read(raw),
        endpoint.read_stream(raw),
        endpoint.read_stream(raw, other, 7),
        endpoint.read_stream(other, raw, 7),
        endpoint.read_cut(raw, other),
        endpoint.read_cut(other, raw),
    ):
        if endpoint.refine is not None:
            for request in (None, raw, other):
                facts = Facts("h", "/v1/x/extensions", request, endpoint.ask(request or b""), {}, raw, False)
                _told(endpoint.refine(reading, facts))
        _told(reading)
    endpoint.ask(raw)
    if endpoint.texts is not None:
        for streamed in (True, False):
            endpoint.texts(raw, other, streamed)


def _told(reading: Reading) -> None:
    assert reading.units is not None or reading.reason or reading.untold or reading.model
    assert reading.units is None or all(side >= 0 for sides in reading.units.values() for side in sides)
    assert not reading.parts or reading.units == summed(reading.parts)
    (f"{reading}").encode()


@settings(max_examples=150, deadline=None)
@given(value=JSON, cut=st.integers(0, 200), raw=st.binary(max_size=60))
def test_nothing_raises(value: object, cut: int, raw: bytes) -> None:
    """Whatever JSON of familiar names, whole, as events or cut, and whatever bytes: units or a reason, no exception.

    All endpoints read the same, as making it up takes longest.
    """
    text = json.dumps(value).encode()
    for name, found in ENDPOINTS.items():
        note(name)
        for data in (text, b"data: " + text + b"\n\ndata: [DONE]\n\n", text[:cut], raw, text + raw):
            _all(found, data, raw)


def test_other_endpoints_are_seen_and_not_priced() -> None:
    """What is not priced yet says so, with the model and the kind of error where they are easily had."""
    other = ENDPOINTS["other"]
    big = b'{"id":"i","model":"gpt-image-1","data":"' + b"x" * 100_000 + b'"}'

    assert (other.read(b'{"model":"tts-1"}').model, other.read(big).model) == ("tts-1", "gpt-image-1")
    assert other.read(b"\x00audio" * 20_000) == other.read(b"\x00audio") == other.read_stream(b"\x00")
    assert other.read(b"{}").reason == "endpoint is not priced yet"
    assert other.read_stream(b'data: {"model":"tts-1"}\n\n').model == "tts-1"
    assert other.read(b'{"error":{"code":"bad"}}').error_type == "bad"
    assert other.read(b'{"error":"secret"}').error_type == "error"


@pytest.mark.parametrize(
    ("raw", "asked"),
    [
        (b'{"model":"gpt-4o","stream":true}', Asked("gpt-4o", True)),
        (b'{"model":"gpt-4o","stream":null,"messages":[]}', Asked("gpt-4o")),
        (b'{"model":7,"stream":true}', Asked(None, True)),
        (b'{"model":"","stream":"yes"}', Asked()),
        (b'--boundary\r\nContent-Disposition: form-data; name="model"', Asked()),
        (b'{"model":"gpt-4o"', Asked()),
        (b"", Asked()),
        (b"--x" * 40_000, Asked()),
        (b'{"messages":["' + b"x" * 70_000 + b'"],"model":"gpt-4o","stream": true}', Asked("gpt-4o", True)),
        (b'{"model":"gpt-4o","messages":["' + b'\\"model\\":\\"no\\"' * 9_000 + b'"]}', Asked("gpt-4o")),
        (
            b'{"model":{"model":1},"tools":[' + b"1," * 40_000 + b'1],"x":{"model":{"type":"string"}},"model":"m"}',
            Asked("m"),
        ),
        (b'{"x":"' + b"x" * 70_000 + b'"}', Asked()),
    ],
)
def test_asked(raw: bytes, asked: Asked) -> None:
    """The request tells model and stream, a large one by its ends alone, a form nothing."""
    assert CHAT.ask(raw) == asked
