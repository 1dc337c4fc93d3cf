"""Gemini's interactions: at once, streamed, in the background."""

from __future__ import annotations

import re
from typing import Any

import pytest
from answers import body, endpoint, events, facts

from payi_middleware.providers import Endpoint, Reading, find
from payi_middleware.providers._received import received

POST = endpoint("generativelanguage.googleapis.com", "/v1beta/interactions")
PATH = "/v1beta/interactions/v1_1"
USAGE = {
    "total_tokens": 1983,
    "total_input_tokens": 22,
    "input_tokens_by_modality": [{"modality": "text", "tokens": 12}, {"modality": "image", "tokens": 10}],
    "total_cached_tokens": 5,
    "cached_tokens_by_modality": [{"modality": "text", "tokens": 5}],
    "total_output_tokens": 590,
    "output_tokens_by_modality": [{"modality": "image", "tokens": 500}],
    "total_thought_tokens": 198,
    "total_tool_use_tokens": 1173,
}
UNITS = {
    "text_cache_read": (5, 0),
    "text": (7 + 1173, 90),
    "vision": (10, 0),
    "image": (0, 500),
    "reasoning": (0, 198),
}


def poll() -> Endpoint:
    provider = find("generativelanguage.googleapis.com")
    assert provider is not None
    route = provider.route("GET", PATH)
    assert route is not None
    return route.endpoint


GET = poll()


def told(status: str = "completed", usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    ended = {"id": "v1_1", "status": status, "model": "gemini-2.5-flash", "service_tier": "flex", "usage": usage}
    return ended | {"steps": [{"type": "model_output", "content": [{"type": "text", "text": '"usage": {}'}]}]} | more


def polled(value: Any) -> Reading:
    assert GET.refine is not None
    return GET.refine(GET.read(body(value)), facts(path=PATH))


def stream(*middle: dict[str, Any], usage: Any = USAGE, status: str = "completed") -> bytes:
    first = {"event_type": "interaction.created", "interaction": told("in_progress", None, steps=None)}
    last = {"event_type": "interaction.completed", "interaction": told(status, usage, steps=None, model=None)}
    return events(first, *middle, last)


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": words}} | more


def test_figures_beside_one_another() -> None:
    """Thoughts and what tools fed back come on top, the cached stand within the input."""
    assert POST.read(body(told())) == Reading(
        model="gemini-2.5-flash", response_id="v1_1", units=UNITS, service_tier="flex", once="v1_1"
    )
    assert sum(map(sum, UNITS.values())) == USAGE["total_tokens"]


def test_a_stream() -> None:
    """The last event tells the figures, the first one the model."""
    data = stream(text("a"), text("b", metadata={"usage": {"total_input_tokens": 22, "total_output_tokens": 1}}))

    assert POST.read_stream(data) == POST.read(body(told()))
    assert POST.read(data) == POST.read(body(told()))


def test_a_stream_that_breaks_off() -> None:
    """Early figures are a lower bound; what came is estimated, and has no id that a later poll would miss."""
    early = text("x" * 400, metadata={"total_usage": {"total_input_tokens": 22, "total_output_tokens": 1}})

    first = {"event_type": "interaction.created", "interaction": told("in_progress", None, steps=None)}

    reading = POST.read_stream(events(first, early, text("y" * 400), done=False))

    made = received(re.compile(b"(x+)"), b"x" * 800, b"", 0, "gemini-2.5-flash")
    assert (reading.units, reading.estimated, reading.complete) == ({"text": (22, made)}, True, False)
    assert reading.once is None
    whole = stream(text("a" * 2000), early)
    for end in range(len(whole)):
        units = POST.read_stream(whole[:end]).units
        assert units is None or sum(made for _, made in units.values()) <= 788


@pytest.mark.parametrize("status", ["in_progress", "queued"])
def test_one_in_the_background(status: str) -> None:
    """It tells nothing yet, and a poll of it is no event."""
    begun = told(status, None, model=None, agent="deep-research-pro-preview-12-2025")

    reading = POST.read(body(begun))

    assert (reading.units, reading.pending, reading.untold) == (None, True, False)
    assert reading.model == "deep-research-pro-preview-12-2025"
    assert "later poll" in (reading.reason or "")
    assert polled(begun).untold


def test_one_that_has_ended() -> None:
    """A poll after the end is the event of the interaction, whoever asks for it and however often."""
    assert polled(told()).once == POST.read(body(told())).once == "v1_1"
    assert polled(told("incomplete")).once == "v1_1"
    assert polled(told("failed", None)).untold
    assert GET.refine is not None
    broken = GET.refine(GET.read_stream(stream(text("a"))[:300]), facts(path=PATH))
    assert broken.untold
    failed = polled(told("failed", None, error={"code": "internal"}))
    assert (failed.once, failed.error_type) == ("v1_1", "internal")


@pytest.mark.parametrize(("model", "searches", "maps"), [("gemini-2.5-flash", 1, 1), ("gemini-3.5-flash", 3, 2)])
def test_grounding_is_counted(model: str, searches: int, maps: int) -> None:
    """By the usage, or by the steps where it does not count."""
    counts = [{"type": "google_search", "count": 3}, {"type": "google_maps", "count": 2}, {"type": "retrieval"}]
    steps: list[Any] = [
        {"type": "google_search_call", "arguments": {"queries": ["a", "b"]}},
        {"type": "google_search_call"},
        {"type": "google_maps_call", "arguments": {"queries": ["c"]}},
        {"type": "google_maps_call"},
    ]
    begun = [{"event_type": "step.start", "index": n, "step": step} for n, step in enumerate(steps)]
    usage = {"total_input_tokens": 1, "total_output_tokens": 1}
    first = {"interaction": {"id": "v1_1", "model": model, "status": "in_progress"}}
    last = {"interaction": {"id": "v1_1", "status": "completed", "usage": usage}}

    for reading in (
        POST.read(body(told(usage=usage | {"grounding_tool_count": counts}, model=model))),
        POST.read(body(told(usage=usage, model=model, steps=steps))),
        POST.read_stream(events(first, *begun, last)),
    ):
        assert reading.units == {"text": (1, 1), "web_search_request": (0, searches), "maps_request": (0, maps)}


def test_ask() -> None:
    """A model or an agent is asked, in a small request or a large one."""
    assert POST.ask(body({"model": "gemini-2.5-flash", "input": "x", "stream": True})) == ("gemini-2.5-flash", True)
    assert POST.ask(body({"agent": "deep-research", "background": True})) == ("deep-research", False)
    assert POST.ask(b"[") == (None, False)
    large = {"input": "x" * (1 << 17), "model": "gemini-2.5-flash", "stream": True}
    assert POST.ask(body(large)) == ("gemini-2.5-flash", True)


def test_texts() -> None:
    """What is counted if no usage comes."""
    assert POST.texts is not None
    request = body({"system_instruction": "be brief", "input": [{"type": "text", "text": "why"}]})

    texts = POST.texts(request, stream(text("be"), text("cause")), True)

    assert (texts.prompt, texts.answer) == (["be brief", "why"], ["because"])
    assert POST.texts(request, body(told()), False).answer == ['"usage": {}']


def test_bad_answers() -> None:
    """Nothing raises, and nothing is priced that was not told."""
    raw = body(told())
    for end in range(len(raw)):
        assert POST.read(raw[:end]).units is None
    assert POST.read(b'{"error":{"code":"invalid_request"}}').error_type == "invalid_request"
    assert POST.read(body(told(usage={"total_input_tokens": -1}))).units is None
    assert POST.read(body(told(usage={"total_input_tokens": 0}))).reason == "usage counts nothing"
    assert POST.read(body(told(usage={}))).units is None
    assert POST.read_stream(b"data: {\n\ndata: []\n\n").units is None
    assert POST.read_stream(raw).units == UNITS
    assert POST.read_cut(raw[:700], raw[-40:]).units == UNITS
    assert POST.read_stream(raw[:700], raw[-40:]).units == UNITS
    assert POST.read_stream(events({"error": {"code": "quota"}}, done=False)).error_type == "quota"
    spread = stream(text("a")).replace(b'"usage": {"total', b'\ndata: "usage": {"total')
    assert POST.read_stream(spread).units == UNITS
