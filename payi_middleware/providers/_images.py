"""OpenAI's pictures: generations, edits and variations.

GPT Image models tell the tokens that went in and came out, by modality. DALL-E is billed by the picture, at a rate that
depends on size and quality, and tells neither; the request does. Streams end with an event that tells the usage of its
picture. Source: OpenAI's API reference of images; image generation guide, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from ..events import Part, Units
from . import _sse
from ._asking import ask, members, model_of, number_of, text_of
from ._by_modality import ModalUsage, told_by_modality
from ._drawn import COUNTED_BY_TABLE, PARTIAL, drawn_tokens
from ._errors import Error, error_type
from ._hosted import SvgUsage, svg_part
from ._json import BAD, NOT_JSON, Name, fill, key_string, last_object, last_string, lenient, object_at, objects
from .base import Endpoint, Facts, Reading, summed
from .media import listed

__all__ = ["images"]

_KEY: Final = b'"usage"'
_MISSING: Final = "usage is missing"
_MOST_PICTURES: Final = 64
_CHARACTERS: Final = 4  # for a token of the prompt, which is the smallest part of what a picture costs

_COMPLETED: Final = re.compile(rb'"type"\s*:\s*"image_(?:generation|edit)\.completed"')
_PARTIAL: Final = re.compile(rb'"type"\s*:\s*"image_(?:generation|edit)\.partial_image"')
_GPT: Final = re.compile(r"(?:^|/)(?:gpt-image|chatgpt-image)")
_DALL_E_2: Final = re.compile(r"dall-?e-?2")


class _Picture(msgspec.Struct, gc=False):
    """What is drawn is of no interest, only that it is there."""


class _Answer(msgspec.Struct, gc=False):
    model: Name | None = None
    data: list[_Picture] | None = None
    size: Name | None = None
    quality: Name | None = None
    usage: ModalUsage | None = None
    svg_usage: SvgUsage | None = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Reading:
    """Reads a whole JSON body."""
    try:
        answer = _decode(body)
    except BAD:
        if _sse.looks_like_events(body):
            return read_stream(body)
        found, wrong = lenient(body, _Answer)
        return Reading(complete=wrong != NOT_JSON, reason=wrong) if found is None else _reading(found, wrong)
    return _reading(answer, None)


def _reading(answer: _Answer, wrong: str | None) -> Reading:
    failed = error_type(answer.error)
    if answer.usage is None:
        reason = wrong or ("the answer is an error" if failed else _MISSING)
        return Reading(answer.model or None, reason=reason, error_type=failed)
    units, odd = told_by_modality(answer.usage, "image")
    reading = Reading(answer.model or None, None, units, reason=wrong or odd, error_type=failed)
    return reading if answer.svg_usage is None else _with_svg(reading, answer.svg_usage)


def _with_svg(reading: Reading, svg: SvgUsage) -> Reading:
    """The model that writes a vector graphic is another than the one that renders it."""
    parts = (*((Part(None, reading.units),) if reading.units else ()), svg_part(svg))
    return reading._replace(units=summed(parts), parts=parts)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a JSON body: usage, size and quality stand behind the pictures."""
    usage = last_object(tail, _KEY)
    answer, wrong = fill({"usage": usage, "svg_usage": last_object(tail, b'"svg_usage"')}, _Answer)
    return _reading(answer, wrong)._replace(complete=tail.rstrip()[-1:] == b"}")


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream: each finished picture has an event that tells its usage."""
    if head[:1] == b"{":
        return read_cut(head, tail) if tail else read(head)
    units: Units = {}
    wrong = None
    for usage in _usages(head, tail):
        told, fault = fill(usage, ModalUsage)
        more, odd = told_by_modality(told, "image")
        units, wrong = summed((Part(None, units), Part(None, more or {}))), wrong or fault or odd
    if units:
        return Reading(None, None, units, reason=wrong)
    data = tail or head
    error = last_object(data, b'"error"')
    failed = None if error is None else error_type(fill(error, Error)[0])
    complete = _COMPLETED.search(data) is not None or failed is not None
    return Reading(complete=complete, reason=wrong or _MISSING, error_type=failed)


def _usages(*pieces: bytes) -> Iterator[dict[str, Any]]:
    for piece in pieces:
        for at in islice(objects(piece, _KEY), _MOST_PICTURES):
            value = object_at(piece, at)
            if value is not None:
                yield value


def refined(reading: Reading, facts: Facts) -> Reading:
    """Pictures without usage, counted by what was asked for and what came."""
    if reading.units is not None or reading.error_type is not None:
        return reading
    asked = members(facts.request)
    model = model_of(reading, facts)
    size = text_of(_told(facts.answer, "size")) or text_of(asked.get("size"))
    quality = text_of(_told(facts.answer, "quality")) or text_of(asked.get("quality"))
    count = _pictures(facts) or number_of(asked.get("n"), _MOST_PICTURES) or 1
    if model is not None and _GPT.search(model):
        return _by_tokens(reading, facts, asked, model, size, quality, count)
    if not reading.complete:
        return reading
    model = model or "dall-e-2"  # the API's default while DALL-E was there
    terms: tuple[str, ...] = (f"size:{size or '1024x1024'}",)
    if not _DALL_E_2.search(model.lower()):
        terms = (f"quality:{quality or 'standard'}", *terms)
    return reading._replace(model=model, units={"generated_image": (0, count)}, terms=terms, reason=None)


def _by_tokens(
    reading: Reading,
    facts: Facts,
    asked: dict[str, Any],
    model: str,
    size: str | None,
    quality: str | None,
    count: int,
) -> Reading:
    tokens = drawn_tokens(model, size, quality)
    if tokens is None:
        return reading._replace(units={"generated_image": (0, count)}, reason=_MISSING)
    prompt = asked.get("prompt")
    text = -(-len(prompt) // _CHARACTERS) if isinstance(prompt, str) else 0
    drawn = tokens * count + PARTIAL * len(_PARTIAL.findall(facts.answer))
    units: Units = {"text": (text, 0), "image": (0, drawn)}
    given = asked.get("files")
    unpriced = listed({"image": len(given)}) if isinstance(given, list) else ()
    return reading._replace(units=units, estimated=True, unpriced=unpriced, reason=f"{_MISSING}; {COUNTED_BY_TABLE}")


def _told(answer: bytes, name: str) -> str | None:
    """A word of the answer, or of the first event of a stream; `auto` is none."""
    word = last_string(answer, name) or key_string(answer, name)
    return None if word in (None, "auto") else word


def _pictures(facts: Facts) -> int:
    """How many pictures a whole JSON answer holds."""
    try:
        return len(_decode(facts.answer).data or ())
    except BAD:
        return 0


def images(template: str) -> Endpoint:
    """An endpoint that answers with pictures."""
    return Endpoint(template, ask, read, read_cut, read_stream, refine=refined)
