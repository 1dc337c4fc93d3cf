"""Cohere: what it bills, in both versions of its API, and in their streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from answers import body, events, named_events
from exchanged import read, reads, survives

from payi_middleware.events import Units

HOST = "api.cohere.com"
BILLED = {"billed_units": {"input_tokens": 5, "output_tokens": 9}, "tokens": {"input_tokens": 71, "output_tokens": 9}}
CHAT = {"model": "command-a-03-2025", "messages": [{"role": "user", "content": "hello there"}]}


def answer(usage: Any = BILLED) -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"type": "text", "text": 'say "billed_units"'}]}
    return {"id": "c-1", "finish_reason": "COMPLETE", "message": message, "usage": usage}


def lines(*values: dict[str, Any]) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


V1_STREAM = lines(
    {"is_finished": False, "event_type": "stream-start", "generation_id": "g-1"},
    {"is_finished": False, "event_type": "text-generation", "text": "Hello, and good morning to you."},
    {
        "is_finished": True,
        "event_type": "stream-end",
        "response": {"response_id": "r-1", "text": "Hello", "meta": BILLED},
        "finish_reason": "COMPLETE",
    },
)
V2_STREAM = named_events(
    {"type": "message-start", "id": "c-1", "delta": {"message": {"role": "assistant"}}},
    {
        "type": "content-delta",
        "index": 0,
        "delta": {"message": {"content": {"text": "Hello, and good morning to you."}}},
    },
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": BILLED}},
)


def test_only_billed_units_count() -> None:
    """The larger `tokens` are not billed, and the model is the one asked for."""
    reading = reads(HOST, "/v2/chat", answer(), CHAT)

    assert reading.units == {"text": (5, 9)}
    assert reading.response_id == "c-1"
    assert reading.model is None
    assert reading.complete


@pytest.mark.parametrize(
    ("path", "billed", "units"),
    [
        ("/v2/rerank", {"search_units": 3}, {"rerank_search": (0, 3)}),
        ("/v1/rerank", {"search_units": 1}, {"rerank_search": (0, 1)}),
        ("/v2/embed", {"input_tokens": 4, "image_tokens": 0}, {"text": (4, 0)}),
        ("/v2/embed", {"input_tokens": 4, "image_tokens": 80, "images": 1}, {"text": (4, 0), "vision": (80, 0)}),
        ("/v1/classify", {"classifications": 7}, {"classification_request": (0, 7)}),
        ("/v2/parse", {"pages": 2}, {"document_page": (2, 0)}),
        ("/v1/generate", {"input_tokens": 5.0, "output_tokens": 2.5}, {"text": (5, 3)}),
    ],
)
def test_each_unit_that_is_billed(path: str, billed: dict[str, Any], units: Units) -> None:
    """Searches, images, classifications and pages have units of their own; a number may be written 5.0."""
    assert reads(HOST, path, {"id": "x", "meta": {"billed_units": billed}}).units == units


def test_pieces_without_tokens_are_listed() -> None:
    """Images that are billed by the piece are named, not priced as something else."""
    reading = reads(HOST, "/v1/embed", {"id": "x", "meta": {"billed_units": {"images": 2}}})

    assert [(found.unit, found.quantity) for found in reading.unpriced] == [("image", 2)]


@pytest.mark.parametrize(
    ("path", "stream", "id"),
    [
        ("/v1/chat", V1_STREAM, "r-1"),
        ("/v1/chat", events(*map(json.loads, V1_STREAM.splitlines()), done=False), "r-1"),
        ("/v2/chat", V2_STREAM, "c-1"),
    ],
)
def test_the_last_event_of_a_stream(path: str, stream: bytes, id: str) -> None:
    """JSON lines and events both end with what is billed."""
    reading = read(HOST, path, stream, CHAT | {"stream": True})

    assert reading.units == {"text": (5, 9)}
    assert reading.response_id == id
    assert reading.complete


@pytest.mark.parametrize(("path", "stream"), [("/v1/chat", V1_STREAM), ("/v2/chat", V2_STREAM)])
def test_a_stream_that_breaks_off(path: str, stream: bytes) -> None:
    """Without its last event a stream tells nothing, and says that it is not whole."""
    broken = stream[: stream.index(b"COMPLETE") - 60]

    reading = read(HOST, path, broken, CHAT | {"stream": True})

    assert reading.units is None
    assert not reading.complete
    assert reading.reason == "usage is missing"


@pytest.mark.parametrize(("path", "stream"), [("/v1/chat", V1_STREAM), ("/v2/chat", V2_STREAM)])
def test_nothing_raises_wherever_it_is_cut(path: str, stream: bytes) -> None:
    """Bodies and streams cut at each byte."""
    survives(HOST, path, stream, CHAT | {"stream": True})
    survives(HOST, path, body(answer()), CHAT)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"message": "invalid api token"}, "the answer is an error"),
        ({"finish_reason": "COMPLETE"}, "usage is missing"),
        ({"usage": {"billed_units": {}}}, "usage counts nothing"),
        ({"usage": {"billed_units": {"input_tokens": -1}}}, "billed_units.input_tokens: malformed"),
        ({"usage": {"billed_units": {"input_tokens": "7"}}}, "billed_units.input_tokens: malformed"),
        ({"usage": {"billed_units": {"search_units": 10**9}}}, "billed_units.search_units: malformed"),
        ({"usage": {"billed_units": {"output_tokens": True}}}, "billed_units.output_tokens: malformed"),
    ],
)
def test_malformed_units_price_nothing(given: dict[str, Any], reason: str) -> None:
    """A count that is none leaves the call unpriced, with a reason that shows no value."""
    reading = reads(HOST, "/v2/chat", given)

    assert reading.units is None
    assert reading.reason is not None
    assert reading.reason.startswith(reason) or "malformed" in reason


def test_a_stream_that_fails() -> None:
    """A stream may end in an error of the provider's."""
    stream = named_events({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "overloaded"}})

    assert read(HOST, "/v2/chat", stream, CHAT | {"stream": True}).error_type == "error"


def test_large_embeddings_are_read_at_their_ends() -> None:
    """The units stand behind vectors of any size."""
    large = {"embeddings": {"float": [[0.123456] * 40_000]}, "id": "e-1", "meta": {"billed_units": {"input_tokens": 4}}}

    reading = reads(HOST, "/v2/embed", large)

    assert reading.units == {"text": (4, 0)}


def test_the_texts_of_a_stream_are_found() -> None:
    """Where nothing was told, the texts of either version can be counted."""
    from answers import endpoint

    for path, stream in (("/v1/chat", V1_STREAM), ("/v2/chat", V2_STREAM)):
        texter = endpoint(HOST, path).texts
        assert texter is not None
        texts = texter(body(CHAT), stream, True)
        assert "hello there" in texts.prompt
        assert "good morning" in texts.answer[0]
