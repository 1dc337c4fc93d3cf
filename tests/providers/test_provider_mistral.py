"""Mistral: audio on top of the prompt, pages, conversations, classifications."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, named_events
from exchanged import read, reads, survives

from payi_middleware.events import Units

HOST = "api.mistral.ai"


def chat(**usage: Any) -> dict[str, Any]:
    return {"id": "m-1", "model": "voxtral-small-latest", "choices": [], "usage": usage}


@pytest.mark.parametrize(
    ("usage", "units", "unpriced"),
    [
        (
            {"prompt_tokens": 3, "completion_tokens": 11, "total_tokens": 389, "prompt_audio_seconds": 4},
            {"text": (3, 11), "audio_second": (4, 0)},
            [],
        ),
        ({"prompt_tokens": 3, "completion_tokens": 11, "total_tokens": 389}, {"text": (3, 11)}, [("audio", 375)]),
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 11,
                "total_tokens": 398,
                "prompt_audio_seconds": 5,
                "prompt_tokens_details": {"audio_tokens": 375, "cached_tokens": 9},
            },
            {"text": (3, 11), "text_cache_read": (9, 0), "audio_second": (5, 0)},
            [],
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 11, "total_tokens": 14, "prompt_audio_seconds": {}},
            {"text": (3, 11)},
            [],
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "prompt_audio_seconds": True},
            {"text": (3, 1)},
            [],
        ),
    ],
)
def test_audio_is_billed_by_its_length(usage: dict[str, Any], units: Units, unpriced: list[tuple[str, int]]) -> None:
    """Audio tokens stand only in the total and have no rate; the seconds have one, and where they lack it is said."""
    reading = reads(HOST, "/v1/chat/completions", chat(**usage))

    assert reading.units == units
    assert [(found.unit, found.quantity) for found in reading.unpriced] == unpriced


@pytest.mark.parametrize(
    ("usage", "units"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 64}}, {"text": (36, 6), "text_cache_read": (64, 0)}),
        (
            {"num_cached_tokens": 64, "prompt_tokens_details": {"cached_tokens": 64}},
            {"text": (36, 6), "text_cache_read": (64, 0)},
        ),
        ({"num_cached_tokens": 32}, {"text": (100, 6)}),
        ({"num_cached_tokens": None}, {"text": (100, 6)}),
    ],
)
def test_cached_tokens_are_those_that_are_billed_so(usage: dict[str, Any], units: Units) -> None:
    """Answers from before Mistral billed cached tokens otherwise count them under another name."""
    reading = reads(
        HOST, "/v1/chat/completions", chat(prompt_tokens=100, completion_tokens=6, total_tokens=106, **usage)
    )

    assert reading.units == units
    assert reading.unpriced == ()


@pytest.mark.parametrize(
    ("request_", "unit"),
    [
        ({"model": "mistral-ocr-latest", "document": {}}, "document_page"),
        (
            {"model": "mistral-ocr-latest", "document_annotation_format": {"type": "json_schema"}},
            "annotated_document_page",
        ),
        ({"model": "mistral-ocr-latest", "document_annotation_format": None}, "document_page"),
    ],
)
def test_pages_are_counted(request_: dict[str, Any], unit: str) -> None:
    """Pages that are annotated as well have a rate of their own."""
    answer = {"model": "mistral-ocr-2505", "pages": [], "usage_info": {"pages_processed": 3, "doc_size_bytes": None}}

    assert reads(HOST, "/v1/ocr", answer, request_).units == {unit: (3, 0)}


def test_transcription_costs_its_seconds() -> None:
    """The tokens of a transcription are told and not billed; a stream tells them in its last event."""
    usage = {"prompt_audio_seconds": 12, "prompt_tokens": 4, "completion_tokens": 30, "total_tokens": 400}
    answer = {"model": "voxtral-mini-2602", "text": "hello", "usage": usage}
    stream = named_events({"type": "transcription.text.delta", "text": "h"}, {"type": "transcription.done", **answer})

    assert reads(HOST, "/v1/audio/transcriptions", answer).units == {"audio_second": (12, 0)}
    reading = read(HOST, "/v1/audio/transcriptions", stream)
    assert reading.units == {"audio_second": (12, 0)}
    assert reading.model == "voxtral-mini-2602"
    survives(HOST, "/v1/audio/transcriptions", stream)


def test_a_conversation_and_its_connectors() -> None:
    """What connectors bring in is input; those with a fee are counted, others listed."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "connector_tokens": 50,
        "connectors": {"web_search": 2, "web_search_premium": 1, "code_interpreter": 1, "image_generation": 1},
    }
    outputs = [{"type": "tool.execution"}, {"type": "message.output", "model": "mistral-medium-2505", "content": "x"}]
    answer = {"conversation_id": "conv_1", "outputs": outputs, "usage": usage}

    reading = reads(HOST, "/v1/conversations/conv_1", answer, {"inputs": "hi"})

    assert reading.units == {
        "text": (150, 20),
        "web_search_request": (0, 3),
        "code_execution_request": (0, 1),
    }
    assert reading.model == "mistral-medium-2505"
    assert [(found.unit, found.quantity) for found in reading.unpriced] == [("connector_call", 1)]


def test_a_streamed_conversation() -> None:
    """Its last event tells the usage, an earlier one the model."""
    stream = named_events(
        {"type": "conversation.response.started", "conversation_id": "conv_1"},
        {"type": "message.output.delta", "model": "mistral-medium-2505", "content": "hello"},
        {"type": "conversation.response.done", "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
    )

    reading = read(HOST, "/v1/conversations", stream, {"inputs": "hi", "stream": True})

    assert reading.units == {"text": (7, 2)}
    assert reading.model == "mistral-medium-2505"
    survives(HOST, "/v1/conversations", stream, {"inputs": "hi", "stream": True})


def test_classifications_cost_their_input() -> None:
    """A classifier has no output tokens."""
    answer = {"id": "c", "model": "mistral-moderation-2411", "results": [], "usage": {"prompt_tokens": 9}}

    assert reads(HOST, "/v1/moderations", answer).units == {"text": (9, 0)}


@pytest.mark.parametrize(
    ("path", "answer", "reason"),
    [
        ("/v1/ocr", {"usage_info": {"pages_processed": -1}}, "usage_info.pages_processed: malformed"),
        ("/v1/ocr", {"usage_info": {"pages_processed": 10**9}}, "usage_info.pages_processed: malformed"),
        ("/v1/ocr", {}, "usage is missing"),
        ("/v1/ocr", {"usage_info": {}}, "usage counts nothing"),
        ("/v1/conversations", {"usage": {"connectors": [1]}}, "usage.connectors: malformed"),
        ("/v1/moderations", {"usage": {"prompt_tokens": "9"}}, "usage.prompt_tokens: malformed"),
        ("/v1/ocr", {"error": {"code": "bad_file"}}, "the answer is an error"),
    ],
)
def test_malformed_counts_price_nothing(path: str, answer: dict[str, Any], reason: str) -> None:
    """What is no count is named and prices nothing."""
    reading = reads(HOST, path, answer)

    assert reading.units is None
    assert reading.reason == reason


def test_a_body_that_is_none() -> None:
    """Sounds, arrays and nothing at all are no answers."""
    assert read(HOST, "/v1/ocr", b"RIFF\x00\x01").reason == "the answer is not whole JSON"
    assert read(HOST, "/v1/ocr", b"").reason == "the answer is empty"
    assert read(HOST, "/v1/ocr", b"[]").reason == "the answer is not a JSON object"
    assert read(HOST, "/v1/ocr", body({"error": "x"})).error_type == "error"


def test_a_large_body_is_read_at_its_end() -> None:
    """Pages can be long; what was counted stands behind them."""
    answer = {"model": "mistral-ocr-2505", "pages": ["x" * 300_000], "usage_info": {"pages_processed": 3}}

    reading = reads(HOST, "/v1/ocr", answer, {"model": "m"})

    assert reading.units == {"document_page": (3, 0)}
    assert reading.model == "mistral-ocr-2505"
