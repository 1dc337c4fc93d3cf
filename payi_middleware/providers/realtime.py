"""OpenAI's realtime and live sessions: the events that tell usage, for applications that hand them in.

    reading = realtime.read(event, model="gpt-realtime", transcriber="gpt-4o-transcribe")
    if reading is not None: ...  # what the event tells was consumed

A session is no HTTP exchange, so nobody sees its events but the application. Each of these tells what is told nowhere
else, and carries an id (`once`), so that one that is handed in twice counts once:

    response.done                                            a response: tokens by modality
    conversation.item.input_audio_transcription.completed    what was said: tokens or seconds, of another model
    response.event                                           a live session's response, as Responses tells it
    session.closed                                           a live session's seconds in all

Source: OpenAI's API reference of realtime and live server events, read 2026-11.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from . import _responses
from ._by_modality import ModalUsage, Seconds, told_by_modality, whole_seconds
from ._json import BAD, Name, lenient
from .base import Reading

__all__ = ["read"]

_MISSING: Final = "usage is missing"


class _Response(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None
    usage: ModalUsage | None = None


class _Session(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None


class _Event(msgspec.Struct, gc=False):
    type: Name | None = None
    item_id: Name | None = None
    content_index: int | None = None
    response: _Response | None = None
    session: _Session | None = None
    usage: ModalUsage | None = None
    event: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Event).decode


def read(
    event: bytes | str | Mapping[str, Any], *, model: str | None = None, transcriber: str | None = None
) -> Reading | None:
    """What a server event of a session tells was consumed; None for an event that tells nothing. Never raises.

    Args:
        event: As it came over the wire, or decoded.
        model: The model of the session, which its events do not name.
        transcriber: The model that transcribes what is said, another than the session's.
    """
    raw = _bytes(event)
    try:
        told: _Event | None = _decode(raw)
        wrong = None
    except BAD:
        told, wrong = lenient(raw, _Event)
    if told is None:
        return None
    if told.type == "response.done":
        return _response(told.response or _Response(), model, wrong)
    if told.type == "conversation.item.input_audio_transcription.completed":
        reading = _counted(told.usage, transcriber, told.item_id, wrong)
        return reading._replace(once=f"{told.item_id}/{told.content_index or 0}") if told.item_id else reading
    if told.type == "response.event":
        return _delegated(bytes(told.event))
    if told.type == "session.closed":
        return _closed(told, model, wrong)
    return None


def _bytes(event: bytes | str | Mapping[str, Any]) -> bytes:
    if isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return event.encode("utf-8", "replace")
    return json.dumps(event, default=str).encode()


def _response(response: _Response, model: str | None, wrong: str | None) -> Reading:
    return _counted(response.usage, response.model or model, response.id, wrong)._replace(once=response.id)


def _counted(usage: ModalUsage | None, model: str | None, id: str | None, wrong: str | None) -> Reading:
    if usage is None:
        return Reading(model, id, reason=wrong or _MISSING)
    units, odd = told_by_modality(usage)
    return Reading(model, id, units, reason=wrong or odd)


def _delegated(event: bytes) -> Reading | None:
    """A response that a live session had made for it: only its last event tells usage."""
    reading = _responses.read_stream(b"data: " + event.replace(b"\n", b" ") + b"\n\n")
    if reading.units is None or not reading.complete:
        return None
    return reading._replace(once=reading.response_id)


def _closed(event: _Event, model: str | None, wrong: str | None) -> Reading:
    """A live session that is over; earlier events tell parts of the same sum."""
    session = event.session or _Session()
    seconds: Seconds | None = None if event.usage is None else event.usage.seconds
    if seconds is None:
        return Reading(session.model or model, session.id, reason=wrong or _MISSING, once=session.id)
    units = {"session_second": (whole_seconds(seconds), 0)}
    return Reading(session.model or model, session.id, units, reason=wrong, once=session.id)
