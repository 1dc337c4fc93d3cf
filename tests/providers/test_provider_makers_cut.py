"""Answers of Anthropic and Google that end anywhere: nothing raises, and no beginning costs more than the whole."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest
from answers import body, events, facts, named_events

from payi_middleware.costing import cost_of
from payi_middleware.pricing import Prices
from payi_middleware.providers import Reading, find
from payi_middleware.providers.base import Facts

AT = 1795000000 * 10**9  # 2026-11-18
CLAUDE, GEMINI = "api.anthropic.com", "generativelanguage.googleapis.com"
VERTEX = "/v1/projects/p/locations/us-central1/publishers/{}/models/{}"


class Case(NamedTuple):
    """An exchange."""

    host: str
    method: str
    path: str
    answer: bytes
    streamed: bool = False
    request: bytes | None = None


def claude(usage: Any, **more: Any) -> dict[str, Any]:
    return {"id": "m", "type": "message", "model": "claude-opus-4-8", "content": [{"text": "x"}], "usage": usage} | more


PASSES = [
    {"type": "message", "input_tokens": 100, "output_tokens": 40},
    {"type": "advisor_message", "model": "claude-fable-5", "input_tokens": 300, "output_tokens": 30},
    {"type": "message", "input_tokens": 120, "output_tokens": 60, "cache_read_input_tokens": 7},
]
USAGE = {
    "input_tokens": 220,
    "output_tokens": 100,
    "inference_geo": "us",
    "server_tool_use": {"web_search_requests": 2},
    "iterations": PASSES,
}
TOLD = {
    "promptTokenCount": 200,
    "candidatesTokenCount": 90,
    "thoughtsTokenCount": 20,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 80}, {"modality": "TEXT", "tokenCount": 10}],
}
GROUNDED = {"webSearchQueries": ["a", "b"], "groundingChunks": [{"maps": {"uri": "u"}}]}


def gemini(finish: str | None = "STOP", grounding: Any = None, **usage: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": "eight ch"}]}, "finishReason": finish, "groundingMetadata": grounding}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3.5-flash"}


CHUNKS = [
    gemini(None, promptTokenCount=200),
    gemini(None, GROUNDED, promptTokenCount=200, candidatesTokenCount=50),
    gemini(**TOLD),
]
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "eight ch"}}
TURN = {"id": "v1_1", "model": "gemini-3.5-flash", "status": "completed"}
FIGURES = {
    "total_input_tokens": 200,
    "total_output_tokens": 90,
    "grounding_tool_count": [{"type": "google_search", "count": 2}],
}
LINE = body({"custom_id": "a", "result": {"type": "succeeded", "message": claude(USAGE)}}) + b"\n"
RESULT = body({"key": "a", "response": gemini(grounding=GROUNDED, **TOLD)}) + b"\n"
GENERATE = "/v1beta/models/gemini-3.5-flash:generateContent"
STREAM = "/v1beta/models/gemini-3.5-flash:streamGenerateContent"

CASES = {
    "message": Case(CLAUDE, "POST", "/v1/messages", body(claude(USAGE))),
    "message stream": Case(
        CLAUDE,
        "POST",
        "/v1/messages",
        named_events(
            {"type": "message_start", "message": claude({"input_tokens": 100, "output_tokens": 1})},
            *[TEXT] * 5,
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
            {"type": "message_stop"},
        ),
        True,
    ),
    "claude on vertex": Case(
        "us-central1-aiplatform.googleapis.com",
        "POST",
        VERTEX.format("anthropic", "claude-opus-4-8") + ":rawPredict",
        body(claude(USAGE)),
    ),
    "batch": Case(CLAUDE, "GET", "/v1/messages/batches/b/results", LINE + LINE),
    "session": Case(CLAUDE, "GET", "/v1/sessions/s", body({"id": "s", "status": "terminated", "usage": USAGE})),
    "gemini": Case(GEMINI, "POST", GENERATE, body(gemini(grounding=GROUNDED, **TOLD))),
    "gemini stream": Case(GEMINI, "POST", STREAM, events(*CHUNKS, done=False), True),
    "gemini array": Case(GEMINI, "POST", STREAM, json.dumps(CHUNKS, indent=1).encode(), True),
    "gemini batch": Case(GEMINI, "GET", "/download/v1beta/files/batch-b:download", RESULT + RESULT),
    "interaction": Case(GEMINI, "POST", "/v1beta/interactions", body(TURN | {"usage": FIGURES})),
    "interaction stream": Case(
        GEMINI,
        "POST",
        "/v1beta/interactions",
        events({"interaction": TURN | {"status": "in_progress"}}, {"interaction": TURN | {"usage": FIGURES}}),
        True,
    ),
    "embeddings": Case(
        "us-central1-aiplatform.googleapis.com",
        "POST",
        VERTEX.format("google", "gemini-embedding-001") + ":predict",
        body({"predictions": [{"embeddings": {"statistics": {"token_count": 9}}}] * 2}),
    ),
    "images": Case(
        "us-central1-aiplatform.googleapis.com",
        "POST",
        VERTEX.format("google", "imagen-4.0-generate-001") + ":predict",
        body({"predictions": [{"bytesBase64Encoded": "aaaa"}] * 2}),
        False,
        b"{}",
    ),
}


@pytest.fixture(scope="module")
def prices() -> Prices:
    prices = Prices()
    prices.load()
    return prices


def read(case: Case, answer: bytes) -> tuple[Reading, str, str | None]:
    provider = find(case.host)
    assert provider is not None
    route = provider.route(case.method, case.path)
    assert route is not None
    endpoint = route.endpoint
    reading = endpoint.read_stream(answer) if case.streamed else endpoint.read(answer)
    if endpoint.refine is not None:
        reading = endpoint.refine(reading, known(case, answer))
    return reading, (route.provider or provider).id, reading.model or route.model


def known(case: Case, answer: bytes) -> Facts:
    return facts(case.request, case.path, host=case.host, answer=answer, streamed=case.streamed)


def ticks(prices: Prices, case: Case, answer: bytes) -> tuple[int, int]:
    """What an answer costs, and how much it counts."""
    reading, provider, model = read(case, answer)
    if reading.units is None or reading.untold:
        return 0, 0
    costed = cost_of(
        prices,
        provider,
        model or "claude-opus-4-8",
        reading.units,
        AT,
        reading.service_tier,
        terms=reading.terms,
        parts=reading.parts,
    )
    assert reading.units == {unit: sides for unit, sides in reading.units.items() if min(sides) >= 0}
    return costed.cost.total_ticks if costed.cost is not None else 0, sum(map(sum, reading.units.values()))


@pytest.mark.parametrize("name", CASES)
def test_no_beginning_costs_more_than_the_whole(name: str, prices: Prices) -> None:
    """Cut at each byte; the answer as it is told has a cost or at least a count."""
    case = CASES[name]
    whole = ticks(prices, case, case.answer)
    assert whole[1] > 0

    for end in range(len(case.answer)):
        cost, count = ticks(prices, case, case.answer[:end])
        assert cost <= whole[0], end
        assert count <= whole[1], end


@pytest.mark.parametrize("name", CASES)
def test_a_byte_that_is_wrong_raises_nothing(name: str) -> None:
    """Every byte in turn replaced by one that belongs nowhere."""
    case = CASES[name]
    for at in range(len(case.answer)):
        for wrong in (b"\xff", b"{", b'"'):
            reading, _, _ = read(case, case.answer[:at] + wrong + case.answer[at + 1 :])
            assert reading.units is None or min(map(min, reading.units.values())) >= 0
