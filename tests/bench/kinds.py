"""A plain answer of 2 kB from each provider whose answers take more than OpenAI's to read or to complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from answers import body, openai_usage

from payi_middleware.costing import cost_of
from payi_middleware.pricing import Prices
from payi_middleware.providers import find
from payi_middleware.providers.base import Facts

__all__ = ["runs"]

_TEXT = "The quick brown fox jumps over the lazy dog, and then it does so again. " * 21
_CHOICES = [{"message": {"role": "assistant", "content": _TEXT}}]
_BLOCKS = [{"type": "text", "text": _TEXT}]
_ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": _TEXT}]}
_CLAUDE = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/"
_AWS = "bedrock-runtime.us-east-1.amazonaws.com"
_STATED = {"cost": 0.0123, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}
_OURS = {"prompt_tokens": 1200, "completion_tokens": 340, "total_tokens": 1540}
_GEMINI = {
    "candidates": [{"content": {"parts": [{"text": _TEXT}], "role": "model"}, "finishReason": "STOP"}],
    "usageMetadata": {
        "promptTokenCount": 1200,
        "candidatesTokenCount": 340,
        "thoughtsTokenCount": 60,
        "totalTokenCount": 1600,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1200}],
    },
    "modelVersion": "gemini-2.5-flash",
}


class _Kind(NamedTuple):
    host: str
    path: str
    answer: dict[str, Any]
    model: str | None = None
    """As the request names it."""


_KINDS = (
    _Kind(
        _AWS,
        f"{_CLAUDE}converse",
        {"output": {"message": {"content": [{"text": _TEXT}]}}, "usage": {"inputTokens": 1200, "outputTokens": 340}},
    ),
    _Kind(
        _AWS,
        f"{_CLAUDE}invoke",
        {"id": "m", "content": _BLOCKS, "usage": {"input_tokens": 1200, "output_tokens": 340}},
    ),
    _Kind(
        "bedrock-mantle.us-east-1.api.aws",
        "/v1/chat/completions",
        {"model": "openai.gpt-oss-120b", "choices": _CHOICES, "usage": openai_usage(1200, 340)},
        "openai.gpt-oss-120b",
    ),
    _Kind(
        "api.perplexity.ai",
        "/chat/completions",
        {"model": "sonar", "choices": _CHOICES, "usage": _OURS | {"search_context_size": "low"}},
        "sonar",
    ),
    _Kind(
        "us-south.ml.cloud.ibm.com",
        "/ml/v1/text/generation",
        {
            "model_id": "ibm/granite-3-8b-instruct",
            "results": [{"generated_text": _TEXT, "generated_token_count": 340, "input_token_count": 1200}],
        },
        "ibm/granite-3-8b-instruct",
    ),
    _Kind(
        "api.groq.com",
        "/openai/v1/chat/completions",
        {
            "model": "openai/gpt-oss-120b",
            "choices": _CHOICES,
            "usage": _OURS | {"queue_time": 0.1, "total_time": 0.5},
            "usage_breakdown": None,
            "service_tier": "on_demand",
        },
        "openai/gpt-oss-120b",
    ),
    _Kind(
        "openrouter.ai",
        "/api/v1/chat/completions",
        {"model": "openai/gpt-4o", "choices": _CHOICES, "usage": openai_usage(1200, 340) | _STATED},
        "openai/gpt-4o",
    ),
    _Kind("generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:generateContent", _GEMINI),
    _Kind(
        "us-central1-aiplatform.googleapis.com",
        "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash:generateContent",
        _GEMINI,
    ),
    _Kind(
        "api.anthropic.com",
        "/v1/messages",
        {
            "model": "claude-sonnet-4-6",
            "content": _BLOCKS,
            "usage": {"input_tokens": 1200, "cache_read_input_tokens": 1000, "output_tokens": 340},
        },
        "claude-sonnet-4-6",
    ),
)


def runs(prices: Prices, now: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(host, what takes an answer of it to its cost), as a call does it."""
    for kind in _KINDS:
        yield kind.host, _run(kind, prices, now)


def _run(kind: _Kind, prices: Prices, now: int) -> Callable[[], Any]:
    provider = find(kind.host)
    assert provider is not None
    route = provider.route("POST", kind.path)
    assert route is not None
    sent, answer, endpoint = body(_ASKED | {"model": kind.model}), body(kind.answer), route.endpoint
    asked, host, path, id = endpoint.ask(sent), kind.host, kind.path, provider.id

    def run() -> Any:
        reading = endpoint.read(answer)
        if endpoint.refine is not None:
            reading = endpoint.refine(reading, Facts(host, path, sent, asked, {}, answer, False))
        assert reading.units is not None
        costed = cost_of(
            prices,
            id,
            reading.model or route.model or asked.model,
            reading.units,
            now,
            reading.service_tier,
            reading.stated_ticks,
            terms=reading.terms,
        )
        assert costed.cost is not None
        return costed

    return run
