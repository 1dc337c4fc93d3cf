"""OpenAI's videos (Sora): billed by the second that is made, at a rate that depends on the size.

A video is made in the background; what it will cost stands in the first answer already, so it is counted where it is
ordered. Polls and downloads tell nothing new. A video that fails later is not billed by OpenAI; here it stays counted,
because whoever is told by a webhook never asks again. Source: OpenAI's API reference of videos; Azure's preview of Sora.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ._asking import ask, members, number_of, text_of
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Name, lenient
from .base import Endpoint, Facts, Reading

__all__ = ["videos"]

_MOST_SECONDS: Final = 3600
_NOT_TOLD: Final = "the length of the video is not told"
_ONE_PRICE: Final = re.compile(r"sora-2(?:-20\d\d|$)")
"""The models whose size changes nothing."""

_BEGUN: Final = frozenset({"queued", "in_progress", "preprocessing", "running", "processing"})
_LATER: Final = "billed once the video is made; one that fails costs nothing"


class _Answer(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None
    status: Name | None = None
    seconds: Any = None
    size: Name | None = None
    n_seconds: Any = None  # Azure's preview
    n_variants: Any = None
    width: Any = None
    height: Any = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Reading:
    """Reads the description of a video that is being made."""
    wrong = None
    try:
        answer: _Answer | None = _decode(body)
    except BAD:
        answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    failed = error_type(answer.error)
    seconds = number_of(answer.seconds, _MOST_SECONDS) or number_of(answer.n_seconds, _MOST_SECONDS)
    if seconds is None or failed is not None:
        reason = "the answer is an error" if failed else wrong or _NOT_TOLD
        return Reading(answer.model or None, answer.id, reason=reason, error_type=failed)
    made = seconds * (number_of(answer.n_variants, 64) or 1)
    later = _LATER if answer.status in _BEGUN else None
    units = {"generated_video_second": (0, made)}
    return Reading(answer.model or None, answer.id, units, reason=wrong or later, terms=_terms(answer))


def _terms(answer: _Answer) -> tuple[str, ...]:
    if answer.model is not None and _ONE_PRICE.match(answer.model):
        return ()
    width, height = number_of(answer.width, 10**5), number_of(answer.height, 10**5)
    size = text_of(answer.size) or (f"{width}x{height}" if width and height else None)
    return (f"size:{size}",) if size else ()


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the beginning: no description is that large."""
    return read(head)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads it like a body: there is no stream."""
    return read(head)


def refined(reading: Reading, facts: Facts) -> Reading:
    """An extension tells the length of the whole; what is made are the seconds that were asked for."""
    if reading.units is None or not facts.path.rstrip("/").endswith("/extensions"):
        return reading
    seconds = number_of(members(facts.request).get("seconds"), _MOST_SECONDS)
    if seconds is None:
        return reading._replace(reason="how much an extension adds is not told: all of the video is counted")
    return reading._replace(units={"generated_video_second": (0, seconds)})


def videos(template: str = "/v1/videos") -> Endpoint:
    """The making of a video."""
    return Endpoint(template, ask, read, read_cut, read_stream, refine=refined)
