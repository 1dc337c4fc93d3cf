"""Mistral's endpoints that are no chat: pages that were read, audio that was heard, texts that were classified.

Source: docs.mistral.ai/api and the types of `mistralai` 3.7, looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..events import Units, Unpriced
from ._plain import Counts, name_of, plain, told
from ._texts import named_texts
from .base import Facts, Reading

__all__ = ["CONVERSATION", "MODERATION", "OCR", "TRANSCRIPTION"]

_MOST_PAGES: Final = 10**5
_MOST_SECONDS: Final = 10**6
_MOST_CALLS: Final = 10**5
_ANNOTATED: Final = re.compile(rb'"(?:bbox|document)_annotation_format"\s*:\s*\{')
_CONNECTORS: Final = {"web_search": "web_search_request", "code_interpreter": "code_execution_request"}


def _read_pages(value: dict[str, Any]) -> Reading:
    counts = Counts(value.get("usage_info"), "usage_info")
    units: Units = {"document_page": (counts.get("pages_processed", _MOST_PAGES), 0)}
    return told(units, counts, model=name_of(value), response_id=name_of(value, "id"))


def _annotated(reading: Reading, facts: Facts) -> Reading:
    """Pages cost more where annotations were asked for."""
    if reading.units is None or _ANNOTATED.search(facts.request or b"") is None:
        return reading
    return reading._replace(units={"annotated_document_page": reading.units["document_page"]})


def _read_audio(value: dict[str, Any]) -> Reading:
    """The models that only transcribe bill the length alone; their tokens are told and not billed."""
    counts = Counts(value.get("usage"))
    seconds = counts.get("prompt_audio_seconds", _MOST_SECONDS)
    if seconds:
        return told({"audio_second": (seconds, 0)}, counts, model=name_of(value))
    units: Units = {"text": (counts.get("prompt_tokens"), counts.get("completion_tokens"))}
    return told(units, counts, model=name_of(value))


def _read_conversation(value: dict[str, Any]) -> Reading:
    """A turn of a conversation: connectors are counted by name, their tokens are billed like a prompt."""
    inner = value.get("response") if isinstance(value.get("response"), dict) else None
    value = inner or value
    counts = Counts(value.get("usage"))
    prompt = counts.get("prompt_tokens") + counts.get("connector_tokens")
    units: Units = {"text": (prompt, counts.get("completion_tokens"))}
    unpriced: tuple[Unpriced, ...] = ()
    called = counts.inner("connectors")
    for connector in called:
        calls = called.get(connector, _MOST_CALLS)
        unit = _CONNECTORS.get(connector.removesuffix("_premium"))
        if unit is not None and calls:
            units[unit] = (0, calls + units.get(unit, (0, 0))[1])
        elif calls:
            unpriced += (Unpriced("connector_call", calls, "a connector without a unit of ours"),)
    id = name_of(value, "conversation_id") or name_of(value, "id")
    return told(units, counts, model=name_of(value) or _model_of(value), response_id=id, unpriced=unpriced)


def _model_of(value: dict[str, Any]) -> str | None:
    """The model stands at the entries that it wrote."""
    entries = value.get("outputs")
    written = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return next((name for entry in reversed(written) if (name := name_of(entry)) is not None), None)


def _read_moderation(value: dict[str, Any]) -> Reading:
    counts = Counts(value.get("usage"))
    units: Units = {"text": (counts.get("prompt_tokens"), 0)}
    return told(units, counts, model=name_of(value), response_id=name_of(value, "id"))


OCR: Final = plain("/v1/ocr", _read_pages, keys=("usage_info",), refine=_annotated)
TRANSCRIPTION: Final = plain("/v1/audio/transcriptions", _read_audio)
CONVERSATION: Final = plain(
    "/v1/conversations",
    _read_conversation,
    texts=named_texts(("instructions", "inputs"), ("outputs", "content"), "inputs"),
)
MODERATION: Final = plain("/v1/moderations", _read_moderation)
