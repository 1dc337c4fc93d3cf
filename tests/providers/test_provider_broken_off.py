"""Streams that end before their last figures, where every chunk repeats the figures so far."""

from __future__ import annotations

from typing import Any

import pytest
from answers import endpoint, events

XAI = endpoint("api.x.ai", "/v1/chat/completions")
GEMINI = endpoint("generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:streamGenerateContent")
TEXT = "eight ch"


def chunk(count: int | None, finish: str | None = None, text: str = TEXT, **usage: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    told = {"prompt_tokens": 1000, "completion_tokens": count, "total_tokens": 1000 + (count or 0)} | usage
    return {"model": "grok-4", "choices": [choice], "usage": None if count is None else told}


def gemini(finish: str | None = None, **usage: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": TEXT}]}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1000} | usage}


@pytest.mark.parametrize(("told", "made"), [(3, 38), (90, 90)])
def test_the_output_is_what_was_told_or_received(told: int, made: int) -> None:
    """An early chunk's output is a lower bound, and so is the text that came: the larger of the two is estimated."""
    reading = XAI.read_stream(events(*[chunk(told)] * 20, done=False))

    assert (reading.units, reading.complete, reading.estimated) == ({"text": (1000, made)}, False, True)
    assert reading.reason is not None
    assert "broke off" in reading.reason
    assert reading.by_length == (told == 3)


def test_an_early_cost_is_not_the_stated_one() -> None:
    """What a host states in an early chunk is not what it charges in the end."""
    reading = XAI.read_stream(events(*[chunk(3, cost_in_usd_ticks=5)] * 20, done=False))

    assert reading.stated_ticks is None


def test_early_chunks_that_tell_the_prompt_alone() -> None:
    """Gemini's first chunks have no output yet, though text has come."""
    reading = GEMINI.read_stream(events(*[gemini()] * 20, done=False))

    assert (reading.units, reading.estimated) == ({"text": (1000, 40)}, True)


def test_thoughts_count_as_output_that_was_told() -> None:
    """What was thought is not received, but told: it is not counted on top."""
    reading = GEMINI.read_stream(events(*[gemini(thoughtsTokenCount=500)] * 20, done=False))

    assert reading.units == {"text": (1000, 0), "reasoning": (0, 500)}


def test_usage_before_the_end_of_the_text_is_an_early_one() -> None:
    """A stream that finishes after its only usage broke off before the last one, unless it ends whole."""
    data = [chunk(0), *[chunk(None)] * 20, chunk(None, "stop")]

    broken, whole = XAI.read_stream(events(*data, done=False)), XAI.read_stream(events(*data, chunk(7), done=False))

    assert (broken.units, broken.complete, broken.estimated) == ({"text": (1000, 41)}, False, True)
    assert (whole.units, whole.complete, whole.estimated) == ({"text": (1000, 7)}, True, False)


def test_a_malformed_last_chunk_does_not_hide_behind_an_early_one() -> None:
    """An early chunk tells less than the last: if that cannot be read there is no usage."""
    reading = XAI.read_stream(events(chunk(1), chunk(-1, "stop")))

    assert (reading.units, reading.reason) == (None, "usage.completion_tokens: expected int >= 0")


def test_a_last_chunk_cut_short_leaves_the_one_before() -> None:
    """A stream cut within a chunk is estimated by the last whole one."""
    reading = XAI.read_stream(events(chunk(1), chunk(2), done=False)[:-30])

    assert (reading.units, reading.estimated) == ({"text": (1000, 4)}, True)


def test_a_whole_stream_is_no_estimate() -> None:
    """With their last chunk both tell what they charge."""
    assert XAI.read_stream(events(chunk(1), chunk(2, "stop"))).estimated is False
    assert GEMINI.read_stream(events(gemini(), gemini("STOP", candidatesTokenCount=2), done=False)).estimated is False
