"""Videos of Veo: the answer names an operation and tells nothing, so what is billed is counted from the request.

A video that fails, or is filtered out, is not billed, which only a later poll tells: the count is therefore an estimate.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ._asking import ask_nothing, number_of, text_of
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Name, lenient
from .base import Endpoint, Facts, Reading

__all__ = ["veo"]

_SECONDS: Final = 8  # where the request does not say; source: Vertex's reference of Veo, `durationSeconds`
_MOST_SECONDS: Final = 600
_MOST_VIDEOS: Final = 64
_RESOLUTION: Final = "720p"
_SILENT: Final = re.compile(r"veo-2")
_IS_VEO: Final = re.compile(r"veo-")
_MODEL: Final = re.compile(r"/models/([^/:]+)")
_AS_ASKED: Final = "seconds as they were asked for; billed once the video is made"
_UNKNOWN: Final = "what this model makes is not told by its answer"


class _Answer(msgspec.Struct, gc=False):
    name: str | None = None
    error: Error | None = None


class _Parameters(msgspec.Struct, gc=False, rename="camel"):
    duration_seconds: Any = None  # as text too, as Google's SDK for JavaScript and its examples with curl write it
    sample_count: Any = None
    resolution: Name | None = None
    generate_audio: bool | None = None


class _Request(msgspec.Struct, gc=False):
    parameters: _Parameters | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_request = msgspec.json.Decoder(_Request).decode


def read(body: bytes) -> Reading:
    """Reads whether an operation was begun."""
    try:
        answer: _Answer | None = _decode(body)
        wrong = None
    except BAD:
        answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    failed = error_type(answer.error)
    if failed:
        return Reading(reason="the answer is an error", error_type=failed)
    return Reading(reason=wrong or (_AS_ASKED if answer.name else "the answer names no operation"))


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads nothing: an operation is small."""
    return Reading(complete=False, reason=NOT_JSON)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a body that came in parts like any other."""
    return read_cut(head, tail) if tail else read(head)


def _refine(reading: Reading, facts: Facts) -> Reading:
    """Counts the seconds of the videos that were asked for."""
    found = _MODEL.search(facts.path)
    model = found[1] if found is not None else ""
    if reading.reason != _AS_ASKED:
        return reading
    if not _IS_VEO.match(model):
        return reading._replace(reason=_UNKNOWN)
    asked = _asked(facts.request)
    seconds = None if asked is None else _seconds(asked)
    if asked is None or seconds is None:
        return reading._replace(reason="the request cannot be read, so the seconds of the video are unknown")
    terms: tuple[str, ...] = ()
    if not _SILENT.match(model):
        audio = "no" if asked.generate_audio is False else "yes"
        terms = (f"resolution:{text_of(asked.resolution) or _RESOLUTION}", f"audio:{audio}")
    units = {"generated_video_second": (0, seconds)}
    return reading._replace(units=units, estimated=True, reason=_AS_ASKED, terms=terms)


def _seconds(asked: _Parameters) -> int | None:
    """The seconds of all videos; None if the request says what is no number of them."""
    length = _SECONDS if asked.duration_seconds is None else number_of(asked.duration_seconds, _MOST_SECONDS)
    videos = 1 if asked.sample_count is None else number_of(asked.sample_count, _MOST_VIDEOS)
    return None if length is None or videos is None else length * videos


def _asked(request: bytes | None) -> _Parameters | None:
    """The parameters; pictures that go in make a body large, and are passed over."""
    if request is None:
        return None
    try:
        return _decode_request(request).parameters or _Parameters()
    except BAD:
        told, wrong = lenient(request, _Request)
        return None if told is None or wrong is not None else told.parameters or _Parameters()


def veo(prefix: str) -> Endpoint:
    """The method that begins to make videos, below a prefix of the path's template."""
    return Endpoint(
        f"{prefix}/models/{{model}}:predictLongRunning", ask_nothing, read, read_cut, read_stream, refine=_refine
    )
