"""The events of OpenAI's realtime and live sessions, as an application hands them in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from payi_middleware.providers import realtime

DONE = {
    "type": "response.done",
    "event_id": "event_1",
    "response": {
        "id": "resp_1",
        "object": "realtime.response",
        "output": [{"type": "message", "content": [{"transcript": "secret"}]}],
        "usage": {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 100,
                "audio_tokens": 20,
                "image_tokens": 12,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 50, "audio_tokens": 10, "image_tokens": 4},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        },
    },
}
UNITS = {
    "text": (50, 30),
    "text_cache_read": (50, 0),
    "audio": (10, 91),
    "audio_cache_read": (10, 0),
    "vision": (8, 0),
    "vision_cache_read": (4, 0),
}


@pytest.mark.parametrize("form", [dict, json.dumps, lambda event: json.dumps(event).encode()])
def test_a_response(form: Any) -> None:
    """A response tells its tokens by modality, the cached ones too, in whatever form the event is handed in."""
    reading = realtime.read(form(DONE), model="gpt-realtime")

    assert reading is not None
    assert (reading.model, reading.units, reading.once) == ("gpt-realtime", UNITS, "resp_1")
    assert "secret" not in repr(reading)


def test_cached_tokens_of_no_modality() -> None:
    """Cached tokens that no detail tells apart are text, and what is more than the text is sound."""
    usage = {"input_tokens": 50, "output_tokens": 1, "input_token_details": {"audio_tokens": 20, "cached_tokens": 40}}

    reading = realtime.read({"type": "response.done", "response": {"usage": usage}})

    assert reading is not None
    assert reading.units == {"text_cache_read": (30, 0), "audio": (10, 0), "audio_cache_read": (10, 0), "text": (0, 1)}


@pytest.mark.parametrize(
    ("usage", "units"),
    [
        (
            {
                "type": "tokens",
                "input_tokens": 26,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 26},
                "output_tokens": 5,
            },
            {"audio": (26, 0), "text": (0, 5)},
        ),
        ({"type": "duration", "seconds": 2.4}, {"audio_second": (3, 0)}),
        (None, None),
    ],
)
def test_what_was_said(usage: Any, units: Any) -> None:
    """What a user said is transcribed by a model of its own, once for each item."""
    event = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "item_1",
        "content_index": 0,
        "transcript": "secret",
        "usage": usage,
    }

    reading = realtime.read(event, model="gpt-realtime", transcriber="gpt-4o-transcribe")

    assert reading is not None
    assert (reading.model, reading.units, reading.once) == ("gpt-4o-transcribe", units, "item_1/0")
    assert (reading.reason is None) is (units is not None)
    unnamed = realtime.read({key: value for key, value in event.items() if key != "item_id"})
    assert unnamed is not None
    assert unnamed.once is None


def test_a_live_session() -> None:
    """A live session tells its seconds when it is over; what it tells before are parts of the same sum."""
    closed = {"type": "session.closed", "session": {"id": "sess_1", "model": "gpt-live-1"}, "usage": {"seconds": 90}}

    reading = realtime.read(closed)

    assert reading is not None
    assert (reading.model, reading.units, reading.once) == ("gpt-live-1", {"session_second": (90, 0)}, "sess_1")
    assert realtime.read({"type": "session.usage.updated", "usage": {"seconds": 30}}) is None
    empty = realtime.read({"type": "session.closed"}, model="gpt-live-1")
    assert empty is not None
    assert (empty.model, empty.units, empty.reason) == ("gpt-live-1", None, "usage is missing")


def test_what_a_live_session_had_done_for_it() -> None:
    """A delegated response tells its usage in its last event, as Responses does."""
    response = {"id": "resp_2", "model": "gpt-5.6-sol", "usage": {"input_tokens": 10, "output_tokens": 5}}

    reading = realtime.read({"type": "response.event", "event": {"type": "response.completed", "response": response}})

    assert reading is not None
    assert (reading.model, reading.units, reading.once) == ("gpt-5.6-sol", {"text": (10, 5)}, "resp_2")
    assert realtime.read({"type": "response.event", "event": {"type": "response.created", "response": {}}}) is None
    assert realtime.read({"type": "response.event"}) is None


@pytest.mark.parametrize("event", [b"", b"nope", "[]", {}, {"type": 7}, {"type": "response.audio.delta"}, {"x": {1}}])
def test_other_events(event: Any) -> None:
    """An event that tells nothing, or is none, is passed over."""
    assert realtime.read(event) is None


def test_malformed_counts() -> None:
    """A fault is named by its field."""
    reading = realtime.read({"type": "response.done", "response": {"id": "r", "usage": {"input_tokens": -1}}})

    assert reading is not None
    assert (reading.units, reading.reason) == (None, "response.usage.input_tokens: expected int >= 0")


def test_every_byte() -> None:
    """An event that is cut anywhere tells all or nothing."""
    raw = json.dumps(DONE).encode()
    assert all(realtime.read(raw[:end]) is None for end in range(len(raw)))
