"""Streams over the bound, of which the two ends were kept: the last event decides, however large it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import endpoint, named_events

from payi_middleware.body import Body
from payi_middleware.providers import Endpoint, Reading

CHAT = endpoint("api.x.ai", "/v1/chat/completions")
RESPONSES = endpoint("api.openai.com", "/v1/responses")
MESSAGES = endpoint("api.anthropic.com", "/v1/messages")
GEMINI = endpoint("generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash-image:streamGenerateContent")
LARGE = "A" * 2_000_000


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"


def read(asked: Endpoint, data: bytes) -> Reading:
    """Reads a stream as it comes out of the bounds."""
    kept = Body()
    for at in range(0, len(data), 1 << 14):
        kept.add(data[at : at + (1 << 14)])
    head, tail = kept.parts()
    assert tail
    assert len(head) + len(tail) < 500_000
    return asked.read_stream(head, tail, kept.cut)


def gemini(*parts: dict[str, Any], finish: str | None = None, **usage: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts)}, "finishReason": finish}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-flash-image"}


IMAGE = {"inlineData": {"mimeType": "image/png", "data": LARGE}}
COUNTS = {"promptTokenCount": 10, "candidatesTokenCount": 1290}


def test_a_picture_in_the_last_chunk() -> None:
    """The figures behind a picture of megabytes hold, not those of the chunk before it."""
    details = [{"modality": "IMAGE", "tokenCount": 1290}]
    last = gemini(IMAGE, finish="STOP", **COUNTS, candidatesTokensDetails=details)

    reading = read(GEMINI, event(gemini({"text": "Here"}, promptTokenCount=10)) + event(last))

    assert reading.units == {"text": (10, 0), "image": (0, 1290)}
    assert (reading.model, reading.complete, reading.estimated) == ("gemini-2.5-flash-image", True, False)


def test_a_picture_in_the_last_chunk_of_an_array() -> None:
    """The same where the stream is one JSON array."""
    chunks = [gemini({"text": "Here"}, promptTokenCount=10), gemini(IMAGE, finish="STOP", **COUNTS)]

    reading = read(GEMINI, json.dumps(chunks).encode())

    assert (reading.units, reading.complete) == ({"text": (10, 1290)}, True)


def test_a_stream_that_breaks_off_within_a_picture() -> None:
    """An earlier chunk's figures are no usage: what follows from them is an estimate."""
    data = event(gemini({"text": "Here" * 5}, promptTokenCount=10)) + event(gemini(IMAGE, **COUNTS))[:-200]

    reading = read(GEMINI, data)

    assert (reading.units is not None and reading.units["text"][0], reading.estimated) == (10, True)
    assert reading.complete is False


def responses(tier: str | None, *, output: Any = None, **more: Any) -> bytes:
    """A streamed response whose last event is huge."""
    created = {"id": "resp_1", "model": "gpt-5", "status": "in_progress", "service_tier": "auto", "usage": None}
    done = created | {"status": "completed", "output": output or [{"type": "image_generation_call", "result": LARGE}]}
    del done["service_tier"], done["usage"]
    done |= ({"service_tier": tier} if tier else {}) | more
    done["usage"] = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}
    return named_events(
        {"type": "response.created", "response": created}, {"type": "response.completed", "response": done}
    )


@pytest.mark.parametrize("tier", ["flex", "priority", "default"])
def test_a_response_larger_than_the_tail(tier: str) -> None:
    """The tier is the last event's, and what tools it called is said to be unknown."""
    reading = read(RESPONSES, responses(tier))

    assert reading.units == {"text": (100, 50)}
    assert (reading.model, reading.response_id, reading.service_tier) == ("gpt-5", "resp_1", tier)
    assert (reading.complete, reading.estimated) == (True, False)
    assert [u.unit for u in reading.unpriced] == ["hosted_tool"]


def test_a_tier_that_was_asked_for_is_not_the_one_served() -> None:
    """`auto` in the first event says nothing; where the last does not show the tier, that is said."""
    reading = read(RESPONSES, responses(None))

    assert reading.service_tier is None
    assert [u.unit for u in reading.unpriced] == ["service_tier", "hosted_tool"]


def chunk(text: str, count: int, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    usage = {"prompt_tokens": 1000, "completion_tokens": count, "total_tokens": 1000 + count}
    return {"id": "c", "model": "grok-4", "choices": [choice], "usage": usage, "service_tier": "auto"}


def test_usage_in_a_chunk_larger_than_the_tail() -> None:
    """Where every chunk tells the usage so far, a huge last one wins over those before it."""
    reading = read(CHAT, event(chunk("a", 1)) + event(chunk(LARGE, 500_000, "stop")) + b"data: [DONE]\n\n")

    assert (reading.units, reading.complete, reading.service_tier) == ({"text": (1000, 500_000)}, True, None)


def test_usage_that_only_the_head_tells() -> None:
    """A stream that breaks off within a huge chunk keeps its early figures, as an estimate."""
    reading = read(CHAT, event(chunk("a", 1)) + event(chunk(LARGE, 500_000))[:-400])

    assert (reading.units is not None and reading.units["text"][0], reading.estimated) == (1000, True)
    assert reading.complete is False


def test_text_left_out_of_the_middle_counts_by_its_share() -> None:
    """What was received of a long stream that broke off is more than what was kept of it."""
    start = {
        "type": "message_start",
        "message": {"model": "claude-x", "usage": {"input_tokens": 5, "output_tokens": 1}},
    }
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "abcdefghij klmnopqr "}}

    reading = read(MESSAGES, named_events(start, *[delta] * 12_000))

    assert reading.units is not None
    taken, made = reading.units["text"]
    assert taken == 5
    assert made == pytest.approx(12_000 * 20 / 3.8, rel=0.01)
    assert (reading.complete, reading.estimated) == (False, True)


def test_a_long_stream_that_ended() -> None:
    """Input from the head, output from the tail."""
    start = {
        "type": "message_start",
        "message": {"model": "claude-x", "usage": {"input_tokens": 5, "output_tokens": 1}},
    }
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 1000}}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 900}}

    reading = read(MESSAGES, named_events(start, *[delta] * 1200, last, {"type": "message_stop"}))

    assert (reading.units, reading.complete, reading.estimated) == ({"text": (5, 900)}, True, False)


@pytest.mark.parametrize("asked", [CHAT, RESPONSES, MESSAGES, GEMINI])
def test_a_body_in_a_stream_s_place(asked: Endpoint) -> None:
    """A stream that was answered by a large JSON body is read by its ends."""
    usage = {"prompt_tokens": 4, "completion_tokens": 2, "input_tokens": 4, "output_tokens": 2}
    told = {"usage": usage, "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2}}

    assert read(asked, json.dumps({"x": LARGE, **told}).encode()).units == {"text": (4, 2)}
    assert asked.read_cut(json.dumps({**told, "x": "A"}).encode(), b'A"}').units == {"text": (4, 2)}
