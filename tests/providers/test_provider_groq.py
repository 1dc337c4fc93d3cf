"""Groq: compound systems, speech and transcription."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, events, openai_usage
from exchanged import read, reads, survives

HOST = "api.groq.com"
CHAT = "/openai/v1/chat/completions"
SMALL = {"model": "llama-3.3-70b-versatile", "usage": {"prompt_tokens": 10, "completion_tokens": 4}}
LARGE = {
    "model": "openai/gpt-oss-120b",
    "usage": {"prompt_tokens": 90, "completion_tokens": 26, "prompt_tokens_details": {"cached_tokens": 64}},
}
SEARCH = {"index": 0, "type": "search", "arguments": "{}"}


def compound(*tools: dict[str, Any], models: Any = (SMALL, LARGE)) -> dict[str, Any]:
    return {
        "id": "c-1",
        "model": "groq/compound",
        "choices": [{"message": {"content": "x", "executed_tools": list(tools)}, "finish_reason": "stop"}],
        "service_tier": "on_demand",
        "usage": openai_usage(100, 30),
        "usage_breakdown": {"models": models},
    }


def test_each_model_of_a_compound_is_a_part() -> None:
    """The parts are what the breakdown tells; the tools of the system cost the same with any model."""
    reading = reads(HOST, CHAT, compound(SEARCH, {"index": 1, "type": "visit"}, {"index": 2, "type": "python"}))

    assert [(part.model, part.units) for part in reading.parts] == [
        ("llama-3.3-70b-versatile", {"text": (10, 4)}),
        ("openai/gpt-oss-120b", {"text": (26, 26), "text_cache_read": (64, 0)}),
        ("llama-3.3-70b-versatile", {"web_search_request": (0, 1), "visit_request": (0, 1)}),
    ]
    assert reading.units == {
        "text": (36, 30),
        "text_cache_read": (64, 0),
        "web_search_request": (0, 1),
        "visit_request": (0, 1),
    }
    assert [(found.unit, found.quantity) for found in reading.unpriced] == [("code_execution_request", 1)]


@pytest.mark.parametrize("models", [None, [], "x", [{"model": "m", "usage": {"prompt_tokens": -1}}], [{"usage": {}}]])
def test_a_broken_breakdown_leaves_the_whole(models: Any) -> None:
    """Then the system's own usage stands, with its tools beside it."""
    reading = reads(HOST, CHAT, compound(SEARCH, models=models))

    assert reading.parts == ()
    assert reading.units == {"text": (100, 30), "web_search_request": (0, 1)}


def test_a_stream_tells_a_tool_more_than_once() -> None:
    """It counts by its index; the breakdown comes with the last chunk."""

    def chunk(*tools: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"id": "c-1", "model": "groq/compound", "choices": [{"delta": {"executed_tools": list(tools)}}], **more}

    last = {"usage": openai_usage(100, 30), "usage_breakdown": {"models": [SMALL]}}
    stream = events(chunk(SEARCH), chunk(SEARCH | {"output": "x"}), chunk(SEARCH | {"index": 1}), chunk(x_groq=last))

    reading = read(HOST, CHAT, stream, {"model": "groq/compound", "stream": True})

    assert reading.units == {"text": (10, 4), "web_search_request": (0, 2)}
    survives(HOST, CHAT, stream, {"model": "groq/compound", "stream": True})


def test_an_ordinary_answer_is_left_alone() -> None:
    """No breakdown, no parts."""
    reading = reads(HOST, CHAT, {"id": "c", "model": "llama-3.1-8b-instant", "usage": openai_usage(10, 3)})

    assert reading.parts == ()
    assert reading.units == {"text": (10, 3)}


@pytest.mark.parametrize(("duration", "seconds"), [(3, 10), (10.2, 11), (61.0, 61)])
def test_audio_is_billed_for_ten_seconds_at_least(duration: float, seconds: int) -> None:
    """A verbose answer tells the length."""
    answer = {"text": "hello", "duration": duration, "task": "transcribe"}

    reading = reads(HOST, "/openai/v1/audio/transcriptions", answer)

    assert reading.units == {"audio_second": (seconds, 0)}


def test_a_plain_transcription_does_not_tell_its_length() -> None:
    """Nothing else in the exchange does."""
    reading = reads(HOST, "/openai/v1/audio/translations", {"text": "hello", "x_groq": {"id": "r"}})

    assert reading.units is None
    assert reading.reason == "the length of the audio is told only in a verbose answer"


def test_speech_is_billed_by_characters() -> None:
    """The sound tells nothing, the request does."""
    asked = {"model": "canopylabs/orpheus-v1-english", "input": "Grüße an alle", "voice": "x"}

    reading = read(HOST, "/openai/v1/audio/speech", b"RIFF\x24\x00\x00\x00WAVE" + bytes(400_000), asked)

    assert reading.units == {"text_character": (13, 0)}
    assert reading.complete
    assert read(HOST, "/openai/v1/audio/speech", b"RIFF").units is None
    survives(HOST, "/openai/v1/audio/speech", body({"error": {"code": "x"}}), asked)
