"""OpenAI's speech: sound made of text.

The answer is the sound itself and tells nothing. TTS models are billed by the characters of the request's `input`; the
GPT ones by tokens, which only a stream of events tells (`speech.audio.done`) and which are estimated otherwise.
Source: OpenAI's API reference of audio; text to speech guide, read 2026-11.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from ..body import HEAD
from ..events import Units
from . import _sse
from ._asking import ask, members, model_of, text_of
from ._by_modality import ModalUsage, told_by_modality
from ._errors import Error, error_type
from ._json import fill, key_string, last_object
from ._sound import AUDIO_OUT, seconds_of_sound, seconds_of_text
from .base import Endpoint, Facts, Reading

__all__ = ["speech"]

_MISSING: Final = "a sound tells no usage"
_SOUND: Final = Reading(complete=False, reason=_MISSING)
"""What a sound tells; whether it came to its end is not among it."""
_UNREAD: Final = "a sound tells no usage, and the request's text could not be read"
_ESTIMATED: Final = f"{_MISSING}: the tokens of speech are counted by its length, {AUDIO_OUT} a second"
_CHARACTERS: Final = 4  # a token of the text, which is the smaller part of what speech costs
_BY_TOKENS: Final = re.compile(r"gpt-")


def read(body: bytes) -> Reading:
    """Reads a sound, of which there is nothing to be read; or a stream of events."""
    if _sse.looks_like_events(body):
        return read_stream(body)
    if body[:1] == b"{":  # an error that a gateway answers with 200
        error = last_object(body, b'"error"')
        return Reading(reason=_MISSING, error_type=None if error is None else error_type(fill(error, Error)[0]))
    return _SOUND


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads a large sound."""
    return _SOUND


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream of events: the last one tells the usage."""
    if not _sse.looks_like_events(head):
        return read(head)
    data = tail or head
    told = last_object(data, b'"usage"')
    if told is None:
        return Reading(complete=b'"speech.audio.done"' in data, reason=_MISSING)
    usage, wrong = fill(told, ModalUsage)
    units, odd = told_by_modality(usage, "audio")
    return Reading(key_string(head[:4096], "model"), None, units, reason=wrong or odd)


def refined(reading: Reading, facts: Facts) -> Reading:
    """Speech by the text that was asked to be spoken."""
    if reading.units is not None or reading.error_type is not None:
        return reading
    asked = members(facts.request)
    text = asked.get("input")
    if not isinstance(text, str) or not text:
        return reading._replace(reason=_UNREAD)
    if _BY_TOKENS.search(model_of(reading, facts) or "") is None:
        return reading._replace(units={"text_character": (len(text), 0)}, reason=None)
    words = asked.get("instructions")
    read_out = len(text) + (len(words) if isinstance(words, str) else 0)
    spoken = math.ceil(_seconds(facts, asked, text) * AUDIO_OUT)
    units: Units = {"text": (-(-read_out // _CHARACTERS), 0), "audio": (0, max(spoken, 1))}
    return reading._replace(units=units, estimated=True, reason=_ESTIMATED)


def _seconds(facts: Facts, asked: dict[str, Any], text: str) -> float:
    """The length of the sound that came, or of the text where its format does not tell."""
    size = _size(facts)
    if size and not facts.streamed:
        length = seconds_of_sound(facts.answer, size, text_of(asked.get("response_format")) or "mp3")
        if length is not None:
            return length
    return seconds_of_text(len(text))


def _size(facts: Facts) -> int:
    """The bytes of the sound; 0 where only its head was kept and no header tells the rest."""
    told = facts.headers.get("content-length") or ""
    if told.isascii() and told.isdigit() and not facts.headers.get("content-encoding"):
        return max(int(told[:12]), len(facts.answer))
    return 0 if len(facts.answer) == HEAD else len(facts.answer)


def speech(template: str) -> Endpoint:
    """Speech."""
    return Endpoint(template, ask, read, read_cut, read_stream, refine=refined)
