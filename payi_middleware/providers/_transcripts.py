"""OpenAI's transcriptions and translations: text made of sound.

Whisper is billed by the second, the GPT models by token; `usage` tells either, in a JSON body or in the last event of a
stream. `verbose_json` tells the duration. As plain text or subtitles an answer tells nothing: then its length is that of
the last timestamp or of the words, which is an estimate. Source: OpenAI's API reference of audio, read 2026-11.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

from ..events import Units
from . import _sse
from ._asking import ask, members, model_of
from ._by_modality import ModalUsage, told_by_modality, whole_seconds
from ._errors import Error, error_type
from ._json import BAD, Name, fill, last_object, lenient
from ._sound import AUDIO_IN, last_timestamp, seconds_of_text
from .base import Endpoint, Facts, Reading

__all__ = ["transcriptions", "translations"]

_MISSING: Final = "usage is missing"
_WHISPER: Final = "whisper-1"
_BY_SECONDS: Final = "nothing names a model; seconds are how whisper-1 is billed"
_CHARACTERS: Final = 4  # a token of the text, which is the smaller part of what a transcription costs
_BY_TOKENS: Final = re.compile(r"transcribe")
_MOST_SECONDS: Final = 10**7


class _Answer(msgspec.Struct, gc=False):
    model: Name | None = None
    usage: ModalUsage | None = None
    duration: Any = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Reading:
    """Reads a JSON body; of any other there is nothing to be read here."""
    if _sse.looks_like_events(body):
        return read_stream(body)
    if body[:64].lstrip()[:1] != b"{":
        return Reading(reason=_MISSING)
    wrong = None
    try:
        answer = _decode(body)
    except BAD:
        found, wrong = lenient(body, _Answer)
        answer = found or _Answer()
    failed = error_type(answer.error)
    if answer.usage is not None:
        units, odd = told_by_modality(answer.usage)
        return Reading(answer.model or None, None, units, reason=wrong or odd, error_type=failed)
    seconds = _length(answer.duration)
    units = {"audio_second": (whole_seconds(seconds), 0)} if seconds else None
    reason = wrong or (None if units else "the answer is an error" if failed else _MISSING)
    return Reading(answer.model or None, None, units, reason=reason, error_type=failed)


def _length(duration: object) -> float | None:
    """A duration, which some write as text."""
    try:
        seconds = float(duration) if isinstance(duration, (int, float, str)) else math.nan
    except ValueError:
        return None
    return seconds if 0 < seconds <= _MOST_SECONDS else None


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a large body: the usage stands behind the words."""
    usage = last_object(tail, b'"usage"')
    return read(head) if usage is None else _told(usage)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream of events: the last one tells the usage."""
    if not _sse.looks_like_events(head):
        return read(head)
    data = tail or head
    usage = last_object(data, b'"usage"')
    if usage is not None:
        return _told(usage)
    error = last_object(data, b'"error"')
    failed = None if error is None else error_type(fill(error, Error)[0])
    return Reading(complete=b'"transcript.text.done"' in data, reason=_MISSING, error_type=failed)


def _told(usage: dict[str, Any]) -> Reading:
    found, wrong = fill(usage, ModalUsage)
    units, odd = told_by_modality(found)
    return Reading(None, None, units, reason=wrong or odd)


def refined(reading: Reading, facts: Facts) -> Reading:
    """A transcription by what was asked for, and by its words where nothing else is told."""
    model = model_of(reading, facts)
    if model is None and "audio_second" in (reading.units or {}):
        return reading._replace(model=_WHISPER, reason=_BY_SECONDS)
    if model is None and facts.path.rstrip("/").endswith("/translations"):
        reading, model = reading._replace(model=_WHISPER), _WHISPER  # the only model that translates
    if reading.units is not None or reading.error_type is not None or not facts.answer.strip():
        return reading
    words = _words(facts)
    seconds, how = last_timestamp(facts.answer), "the last timestamp"
    if seconds is None:
        seconds, how = seconds_of_text(words), "the length of its text"
    units: Units = {"audio_second": (max(whole_seconds(seconds), 1), 0)}
    if _BY_TOKENS.search(model or ""):
        heard = max(math.ceil(seconds * AUDIO_IN), 1)
        units = {"audio": (heard, 0), "text": (0, -(-words // _CHARACTERS))}
    return reading._replace(units=units, estimated=True, reason=f"{_MISSING}; the sound's length is told by {how}")


def _words(facts: Facts) -> int:
    """The characters of the text that was heard."""
    if facts.streamed:
        deltas = (members(event) for event in _sse.events(facts.answer))
        return sum(len(delta) for event in deltas if isinstance(delta := event.get("delta"), str))
    text = members(facts.answer).get("text")
    return len(text) if isinstance(text, str) else len(facts.answer.decode("utf-8", "replace").strip())


def transcriptions(template: str = "/v1/audio/transcriptions") -> Endpoint:
    """Transcription of sound."""
    return Endpoint(template, ask, read, read_cut, read_stream, refine=refined)


def translations(template: str = "/v1/audio/translations") -> Endpoint:
    """Transcription into English."""
    return Endpoint(template, ask, read, read_cut, read_stream, refine=refined)
