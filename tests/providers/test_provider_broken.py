"""Whatever JSON of familiar names, whole, as events, as lines or cut: units or a reason, and no exception."""

from __future__ import annotations

import json

from answers import endpoint
from hypothesis import given, note, settings
from hypothesis import strategies as st

from payi_middleware.providers import Asked, Endpoint, Reading, named
from payi_middleware.providers.base import Facts


def behind(name: str, method: str, path: str) -> Endpoint:
    route = named(name).route(method, path)
    assert route is not None, path
    return route.endpoint


ENDPOINTS = {
    "cohere": endpoint("api.cohere.com", "/v2/chat"),
    "deepgram": endpoint("api.deepgram.com", "/v1/listen"),
    "elevenlabs": endpoint("api.elevenlabs.io", "/v1/text-to-speech/v"),
    "groq": endpoint("api.groq.com", "/openai/v1/chat/completions"),
    "groq audio": endpoint("api.groq.com", "/openai/v1/audio/transcriptions"),
    "huggingface": endpoint("router.huggingface.co", "/v1/chat/completions"),
    "litellm": behind("litellm", "POST", "/v1/chat/completions"),
    "mistral audio": endpoint("api.mistral.ai", "/v1/audio/transcriptions"),
    "mistral chat": endpoint("api.mistral.ai", "/v1/chat/completions"),
    "mistral conversation": endpoint("api.mistral.ai", "/v1/conversations"),
    "mistral pages": endpoint("api.mistral.ai", "/v1/ocr"),
    "ollama": behind("ollama", "POST", "/api/chat"),
    "openrouter": endpoint("openrouter.ai", "/api/v1/chat/completions"),
    "openrouter rest": endpoint("openrouter.ai", "/api/v1/audio/speech"),
    "perplexity": endpoint("api.perplexity.ai", "/chat/completions"),
    "perplexity job": behind("perplexity", "GET", "/async/chat/completions/j"),
    "perplexity search": endpoint("api.perplexity.ai", "/search"),
    "portkey": endpoint("api.portkey.ai", "/v1/chat/completions"),
    "replicate": endpoint("api.replicate.com", "/v1/predictions"),
    "vercel": endpoint("ai-gateway.vercel.sh", "/v1/chat/completions"),
    "watsonx": endpoint("us-south.ml.cloud.ibm.com", "/ml/v1/text/generation"),
    "watsonx vectors": endpoint("us-south.ml.cloud.ibm.com", "/ml/v1/text/embeddings"),
    "workers ai": endpoint("api.cloudflare.com", "/client/v4/accounts/a/ai/run/@cf/m"),
    "xai pictures": endpoint("api.x.ai", "/v1/images/generations"),
    "xai video": behind("x-ai", "GET", "/v1/videos/v"),
}

NAMES = [
    "billed_units",
    "choices",
    "completion_tokens",
    "connectors",
    "content",
    "cost",
    "cost_in_usd_ticks",
    "data",
    "delta",
    "deferred",
    "done",
    "duration",
    "error",
    "errors",
    "eval_count",
    "event_type",
    "executed_tools",
    "gateway",
    "generated_token_count",
    "id",
    "index",
    "input",
    "input_token_count",
    "input_tokens",
    "invocation",
    "message",
    "messages",
    "meta",
    "metrics",
    "model",
    "models",
    "output_tokens",
    "pages_processed",
    "prompt_audio_seconds",
    "prompt_eval_count",
    "prompt_tokens",
    "request_id",
    "response",
    "result",
    "results",
    "search_context_size",
    "server_tool_use",
    "status",
    "stream",
    "text",
    "tool_calls_details",
    "total_cost",
    "total_tokens",
    "type",
    "usage",
    "usage_breakdown",
    "usage_info",
    "video",
    "web_search_requests",
    "x_groq",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=24,
)


def _check(reading: Reading) -> None:
    assert reading.units is not None or reading.reason or reading.stated_ticks is not None
    assert all(type(side) is int and side >= 0 for sides in (reading.units or {}).values() for side in sides)
    assert reading.stated_ticks is None or reading.stated_ticks >= 0
    f"{reading}".encode()


@settings(max_examples=150, deadline=None)
@given(value=JSON, other=JSON, cut=st.integers(0, 200), raw=st.binary(max_size=60))
def test_nothing_raises(value: object, other: object, cut: int, raw: bytes) -> None:
    """Nor does what is refined of it, nor what is counted. All read the same, as making it up takes longest."""
    text, more = json.dumps(value).encode(), json.dumps(other).encode()
    for name, found in ENDPOINTS.items():
        note(name)
        _read(found, text, more, cut, raw)


def _read(found: Endpoint, text: bytes, more: bytes, cut: int, raw: bytes) -> None:
    for data in (
        text,
        b"data: " + text + b"\n\ndata: " + more + b"\n\n",
        text + b"\n" + more,
        text[:cut],
        raw,
        text + raw,
    ):
        for streamed, reading in (
            (False, found.read(data)),
            (False, found.read_cut(data, more)),
            (True, found.read_stream(data)),
            (True, found.read_stream(data, more, 7)),
        ):
            _check(reading)
            if found.refine is not None:
                _check(found.refine(reading, Facts("h", "/p", more, Asked("m:groq"), {}, data, streamed)))
        found.ask(data)
        if found.texts is not None:
            found.texts(more, data, True)
            found.texts(more, data, False)
