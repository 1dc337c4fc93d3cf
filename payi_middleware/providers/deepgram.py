"""Deepgram: transcriptions by the length of the sound, speech by the characters that are to be said.

Which model is asked for stands in the query, which nobody here sees; the answer names it. What is asked for besides (speakers,
redaction) has fees of its own, which no answer tells. Source: developers.deepgram.com/reference, looked at on 2026-11-26.
"""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec.structs import replace

from ..events import Units
from ._json import last_object
from ._paths import by_path
from ._plain import Counts, name_of, plain, told
from ._spoken import spoken
from .base import Asked, Facts, Reading, Route
from .other import OTHER

__all__ = ["find_route"]

_MOST_SECONDS: Final = 10**6
_MOST_CHANNELS: Final = 64
_MOST_CHARACTERS: Final = 10**6
_PAID: Final = re.compile(r"/v1/(?:read|agent)\b")
_ASKED_NOTHING: Final = Asked()


def _asks(body: bytes) -> Asked:
    """The body is the sound, or the text."""
    return _ASKED_NOTHING


def _read_transcript(value: dict[str, Any]) -> Reading:
    """Each channel of a sound is heard, and billed, for itself."""
    counts = Counts(value.get("metadata"), "metadata")
    seconds = counts.get("duration", _MOST_SECONDS) * (counts.get("channels", _MOST_CHANNELS) or 1)
    units: Units = {"audio_second": (seconds, 0)}
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        return told(units, counts)
    return told(units, counts, model=_model(metadata), response_id=name_of(metadata, "request_id"))


def _model(metadata: dict[str, Any]) -> str | None:
    """The model as it is asked for (`nova-3-general`), of the name in an answer (`general-nova-3`)."""
    described = metadata.get("model_info")
    first = next(iter(described.values()), None) if isinstance(described, dict) else None
    if not isinstance(first, dict):
        return None
    name, family = name_of(first, "name"), name_of(first, "arch")
    if name is None or family is None or not name.endswith(f"-{family}"):
        return name or family
    return f"{family}-{name.removesuffix(f'-{family}')}"


def _read_large(head: bytes, tail: bytes) -> Reading:
    """The length stands before the words, of which there may be an hour."""
    metadata = last_object(head, b'"metadata"')
    return (
        Reading(reason="usage is missing", complete=False)
        if metadata is None
        else _read_transcript({"metadata": metadata})
    )


def _read_sound(value: dict[str, Any]) -> Reading:
    return Reading(reason="usage is missing")


_of_text: Final = spoken("text")


def _said(reading: Reading, facts: Facts) -> Reading:
    """The headers tell the voice and the characters that are billed."""
    reading = _of_text(reading, facts)._replace(model=facts.headers.get("dg-model-name") or reading.model)
    counted = facts.headers.get("dg-char-count") or ""
    if reading.units is None or not counted.isdecimal() or not 0 < int(counted[:9]) <= _MOST_CHARACTERS:
        return reading
    return reading._replace(units={"text_character": (int(counted[:9]), 0)})


def _otherwise(method: str, path: str) -> Route | None:
    return Route(OTHER) if method == "POST" and _PAID.search(path) else None


find_route: Final = by_path(
    {
        r"v1/listen": replace(plain("/v1/listen", _read_transcript, asks=_asks), read_cut=_read_large),
        r"v1/speak": plain("/v1/speak", _read_sound, asks=_asks, refine=_said),
    },
    _otherwise,
)
