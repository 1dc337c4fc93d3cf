"""Cohere's answers: what it bills stands in `billed_units`, beside the larger `tokens` that it does not bill.

Version 1 tells them under `meta`, version 2 under `usage` (chat) or `meta` (embed, rerank). A stream of version 1 is
JSON lines that end with `stream-end`, of version 2 events that end with `message-end`. No answer names the model.
Source: docs.cohere.com/reference and docs.cohere.com/docs/how-does-cohere-pricing-work, looked at on 2026-11-25.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..events import Units, Unpriced
from . import _lines, _sse
from ._asking import ask
from ._json import BAD, NOT_JSON, Calls, Count, Name, fill, key_string, last_object, lenient, parse
from ._plain import Counts
from ._received import broken_off, strings
from ._texts import Texter, named_texts
from .base import Endpoint, Reading

__all__ = ["endpoint"]

_KEY: Final = b'"billed_units"'
_LARGE: Final = 1 << 18
_END: Final = 1 << 12
_ENDED: Final = (b'"message-end"', b'"stream-end"')
_RECEIVED: Final = strings("text", "tool_plan", "arguments", "thinking")
_TEXTS: Final = named_texts(
    ("preamble", "messages", "chat_history", "message", "documents", "prompt", "texts"),
    ("message", "delta", "text", "generations"),
    "messages",
)
_IMAGES: Final = "images are billed by the piece, for which this model has no unit here"


class _Billed(msgspec.Struct, gc=False):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    image_tokens: Count | None = None
    images: Calls | None = None
    search_units: Calls | None = None
    classifications: Calls | None = None
    pages: Calls | None = None


class _Told(msgspec.Struct, gc=False):
    billed_units: _Billed | None = None


class _Answer(msgspec.Struct, gc=False):
    id: Name | None = None
    generation_id: Name | None = None
    response_id: Name | None = None
    usage: _Told | None = None
    meta: _Told | None = None
    message: Any = None
    finish_reason: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Reading:
    """Reads a whole body, or the lines of a stream of version 1."""
    if len(body) > _LARGE and (reading := read_cut(body[:_END], body[-_END:])).units is not None:
        return reading
    try:
        answer = _decode(body)
    except BAD:
        return _read_patiently(body)
    return _reading(answer)


def _read_patiently(body: bytes) -> Reading:
    if _sse.looks_like_events(body):
        return read_stream(body)
    if b"}\n{" in body or b'"event_type"' in body[:512]:
        return _read_lines(body)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _rounded(answer, wrong, body)


def _rounded(answer: _Answer, wrong: str | None, body: bytes) -> Reading:
    """Its schema calls the units numbers, so 5.0 is one."""
    billed = last_object(body, _KEY) if wrong else None
    if billed is None:
        return _reading(answer, wrong)
    counts = Counts(billed, "billed_units")
    mended = {name: counts.get(name) for name in _Billed.__struct_fields__ if name in counts}
    if counts.faults:
        return _reading(answer, "; ".join(counts.faults))
    answer.usage, _ = fill({"billed_units": mended}, _Told)
    return _reading(answer)


def _reading(answer: _Answer, wrong: str | None = None, complete: bool = True) -> Reading:
    told = answer.usage or answer.meta
    id = answer.id or answer.generation_id or answer.response_id
    billed = None if told is None else told.billed_units
    if billed is None:
        # An error has a message of plain text and no finish reason.
        failed = "error" if isinstance(answer.message, str) and answer.finish_reason is None else None
        reason = wrong or ("the answer is an error" if failed else "usage is missing")
        return Reading(None, id, None, complete, reason=reason, error_type=failed)
    units, unpriced = _units(billed)
    if not units and not unpriced:
        return Reading(None, id, None, complete, reason=wrong or "usage counts nothing")
    return Reading(None, id, units, complete, reason=wrong, unpriced=unpriced)


def _units(billed: _Billed) -> tuple[Units, tuple[Unpriced, ...]]:
    units: Units = {}
    if billed.input_tokens or billed.output_tokens:
        units["text"] = (billed.input_tokens or 0, billed.output_tokens or 0)
    if billed.image_tokens:
        units["vision"] = (billed.image_tokens, 0)
    if billed.search_units:
        units["rerank_search"] = (0, billed.search_units)
    if billed.classifications:
        units["classification_request"] = (0, billed.classifications)
    if billed.pages:
        units["document_page"] = (billed.pages, 0)
    if billed.images and not billed.image_tokens:
        return units, (Unpriced("image", billed.images, _IMAGES),)
    return units, ()


def _read_lines(data: bytes, head: bytes = b"", cut: int = 0) -> Reading:
    """A stream of version 1; the last event repeats the whole answer as it is without a stream."""
    head = head or data
    reading = _of_event(_lines.last_with(data, _KEY) or _lines.last_with(data, b'"stream-end"'))
    if reading.complete and reading.error_type is None:
        return reading
    return broken_off(reading, _RECEIVED, head, b"" if head is data else data, cut)


def _of_event(event: dict[str, Any] | None) -> Reading:
    """The event that ends a stream: of version 1 around a response, of version 2 around a delta."""
    if event is None:
        return Reading(complete=False, reason="usage is missing")
    inner = event.get("response") or event.get("delta") or event
    answer, wrong = fill(inner if isinstance(inner, dict) else {}, _Answer)
    answer.message = None
    ended = event.get("type") == "message-end" or event.get("event_type") == "stream-end"
    failed = isinstance(inner, dict) and (inner.get("error") or inner.get("finish_reason") in ("ERROR", "ERROR_TOXIC"))
    reading = _reading(answer, wrong, ended or "finish_reason" in event or "is_finished" in event)
    return reading._replace(error_type="error") if failed else reading


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream of events (version 2, and version 1 where it is asked for them)."""
    data = tail or head
    if head[:1] == b"{":
        return _read_lines(data, head, cut) if tail else read(head)
    payload = next((line for line in reversed(list(_sse.events(data))) if any(end in line for end in _ENDED)), None)
    event = parse(payload) if payload is not None else None
    reading = _of_event(event if isinstance(event, dict) else None)
    if reading.complete and reading.error_type is None:
        return reading._replace(response_id=reading.response_id or key_string(head[:_END], "id"))
    return broken_off(reading, _RECEIVED, head, tail, cut)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a large body: what is billed stands in either, before or behind the vectors."""
    billed = last_object(tail, _KEY) or last_object(head, _KEY)
    answer, wrong = fill({"usage": {"billed_units": billed}} if billed else {}, _Answer)
    answer.id = key_string(head, "id") or key_string(tail, "id")
    return _reading(answer, wrong, tail.rstrip()[-1:] == b"}")


def endpoint(template: str, texts: Texter | None = _TEXTS) -> Endpoint:
    """One of Cohere's endpoints."""
    return Endpoint(template, ask, read, read_cut, read_stream, texts)
