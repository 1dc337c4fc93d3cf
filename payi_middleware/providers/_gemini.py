"""Gemini's generateContent, on the Gemini API and on Vertex: counts by modality, thoughts beside the output.

In a stream every chunk repeats the figures so far.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from ..events import Units
from . import _sse
from ._asking import ask_nothing, ask_stream
from ._errors import Error, error_type
from ._gemini_models import pays_by_query
from ._gemini_usage import Usage, tier_of, units_of
from ._json import BAD, NOT_JSON, Name, fill, key_string, last_object, last_string, lenient, parse
from ._openai_usage import COUNTS_NOTHING
from ._received import broken_off, strings
from ._texts import gemini_texts
from .base import Endpoint, Facts, Reading

__all__ = ["MAPS", "METHODS", "SEARCH", "gemini", "read", "read_cut", "read_stream", "refine"]

_KEY: Final = b'"usageMetadata"'
_GROUNDED: Final = b'"groundingMetadata"'
_RECEIVED: Final = strings("text")
_TIER_HEADER: Final = "x-gemini-service-tier"

_STREAMS: Final = "streamGenerateContent"
METHODS: Final = ("generateContent", _STREAMS, "embedContent", "batchEmbedContents")
"""The methods of a model that tell a `usageMetadata`."""

_NOTHING: Final[Units] = {"text": (0, 0)}
_NO_COUNTS: Final = "usageMetadata has no token counts"
_DRAWS: Final = "-image"
_PICTURE: Final = b'"inlineData"'
_AS_PICTURES: Final = "usageMetadata does not tell pictures from text; all output counted as pictures"
_MODEL: Final = re.compile(r"/models/([^/:]+)")

SEARCH: Final = "web_search_request"
MAPS: Final = "maps_request"


class _Chunk(msgspec.Struct, gc=False):
    maps: Any = None


class _Grounding(msgspec.Struct, gc=False, rename="camel"):
    web_search_queries: list[str] | None = None
    image_search_queries: list[str] | None = None
    grounding_chunks: list[_Chunk] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    finish_reason: Name | int | None = None
    grounding_metadata: _Grounding | None = None


class _Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: Name | int | None = None


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    """A body, or one chunk of a stream."""

    candidates: list[_Candidate] | None = None
    usage_metadata: Usage | None = None
    model_version: Name | None = None
    response_id: Name | None = None
    prompt_feedback: _Feedback | None = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_array = msgspec.json.Decoder(list[_Answer]).decode


def read(body: bytes) -> Reading:
    """Reads a whole JSON body."""
    try:
        answer = _decode(body)
    except BAD:
        return _read_patiently(body)
    return _reading(answer)


def _read_patiently(body: bytes) -> Reading:
    if _sse.looks_like_events(body) or body[:64].lstrip()[:1] == b"[":
        return read_stream(body)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, wrong=wrong)


def _reading(
    answer: _Answer, complete: bool = True, wrong: str | None = None, chunks: Sequence[_Answer] = ()
) -> Reading:
    """The reading of an answer, or of the last of several chunks; what grounded it may stand in any of them."""
    usage = answer.usage_metadata
    if usage is None:
        failed = error_type(answer.error)
        why = wrong or ("the answer is an error" if failed else "usageMetadata is missing")
        return Reading(_model(answer), answer.response_id, None, complete, reason=why, error_type=failed)
    faults: list[str] = []
    units = units_of(usage, faults)
    reason = wrong or "; ".join(faults) or None
    if units is None:
        units, reason = (dict(_NOTHING), wrong) if _is_refused(answer) else (None, wrong or _NO_COUNTS)
    elif units == _NOTHING and not _is_refused(answer):
        units, reason = None, wrong or COUNTS_NOTHING
    if units is not None:
        for candidate in answer.candidates or ():
            if candidate.grounding_metadata is not None:
                chunks = chunks or (answer,)
                break
        if chunks:
            _add_searches(units, _model(answer), chunks)
    return Reading(
        _model(answer), answer.response_id, units, complete, tier_of(usage), None, reason, error_type(answer.error)
    )


def _model(answer: _Answer) -> str | None:
    return answer.model_version.removeprefix("models/") or None if answer.model_version is not None else None


def _add_searches(units: Units, model: str | None, chunks: Iterable[_Answer]) -> None:
    """Adds what grounding is billed by: searches, each or once a prompt, and Google Maps, once a prompt.

    Chunks of a stream may repeat what earlier ones told, but no query is made anew for it. An empty query is no search, and
    web pages without a query were given by their URLs, which costs their tokens alone.
    """
    queries: Counter[str] = Counter()
    maps = False
    for chunk in chunks:
        here: Counter[str] = Counter()
        for candidate in chunk.candidates or ():
            grounding = candidate.grounding_metadata or _Grounding()
            here.update(filter(None, grounding.web_search_queries or ()))
            here.update(filter(None, grounding.image_search_queries or ()))
            maps = maps or any(source.maps is not None for source in grounding.grounding_chunks or ())
        queries |= here
    if queries:
        units[SEARCH] = (0, queries.total() if pays_by_query(model) else 1)
    if maps:
        units[MAPS] = (0, 1)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream of events or a JSON array: every chunk repeats the figures so far, so the last one wins."""
    start = head[:64].lstrip()[:1]
    if start == b"{":
        return read_cut(head, tail) if tail else read(head)
    data = tail or head
    answer = None if start == b"[" else _sse.last_with(data, _KEY, _decode, _has_usage)
    if answer is not None:
        reading = _reading(answer, _is_last(answer), chunks=_grounded(head, tail))
    elif start == b"[" and not tail:
        reading = _read_array(head)
    else:
        reading = _read_broken(head, tail)
    if reading.complete and reading.error_type is None:
        return reading
    return broken_off(reading, _RECEIVED, head, tail, cut)


def _has_usage(answer: _Answer) -> bool:
    return answer.usage_metadata is not None


def _is_last(answer: _Answer) -> bool:
    """Whether the chunk ends the stream: a reason why each candidate finished, or why the prompt was refused."""
    return _is_refused(answer) or any(candidate.finish_reason for candidate in answer.candidates or ())


def _is_refused(answer: _Answer) -> bool:
    return answer.prompt_feedback is not None and bool(answer.prompt_feedback.block_reason)


def _grounded(head: bytes, tail: bytes) -> list[_Answer]:
    """The chunks that tell what grounded the answer: they may come long before the last one."""
    found: list[_Answer] = []
    if head.rfind(_GROUNDED) < 0 and tail.rfind(_GROUNDED) < 0:
        return found
    for payload in itertools.chain(_sse.events(head), _sse.events(tail)):
        if _GROUNDED in payload:
            try:
                found.append(_decode(payload))
            except BAD:
                continue
    return found


def _read_array(data: bytes) -> Reading:
    try:
        answers = _decode_array(data)
    except BAD:
        return _read_array_patiently(data)
    if not answers:
        return Reading(reason="the answer is empty")
    told = next((answer for answer in reversed(answers) if answer.usage_metadata is not None), answers[-1])
    chunks = answers if _GROUNDED in data else ()
    return _reading(told, any(map(_is_last, answers)) or told.error is not None, chunks=chunks)


def _read_array_patiently(data: bytes) -> Reading:
    """An array that is cut or malformed: the last whole figures in it."""
    value = parse(data)
    if isinstance(value, list):
        chunk = next((chunk for chunk in reversed(value) if isinstance(chunk, dict)), {})
        answer, wrong = fill(chunk, _Answer)
        return _reading(answer, _is_last(answer), wrong)
    return _read_broken(data, b"")


def _read_broken(head: bytes, tail: bytes) -> Reading:
    """A stream without a chunk that can be read whole, or whose last one is so large that the tail begins within it."""
    data = tail or head
    answer, wrong = _sse.last_patiently(data, _KEY, _Answer, _decode, _has_usage)
    if answer is not None:
        return _reading(answer, _is_last(answer), wrong)
    if last_object(data, _KEY) is not None:
        return _told_apart(head, data)
    early = _sse.last_with(head, _KEY, _decode, _has_usage) if tail else None
    if early is not None:
        return _reading(early, False, chunks=_grounded(head, tail))
    last = _sse.last_event(data, _decode)
    return _reading(last or _Answer(), last is not None and _is_last(last))


def _told_apart(head: bytes, tail: bytes) -> Reading:
    """Reads the last figures without the chunk around them."""
    at = tail.rfind(_KEY)
    ended = at >= 0 and last_object(tail[at:], _KEY) is not None  # the reason stands before the figures that go with it
    candidate = {
        "finishReason": last_string(tail[:at], "finishReason") if ended else None,
        "groundingMetadata": last_object(tail, _GROUNDED),
    }
    value: dict[str, Any] = {
        name: last_string(tail, name) or key_string(head, name) for name in ("modelVersion", "responseId")
    }
    value |= {"candidates": [candidate], "usageMetadata": last_object(tail, _KEY) or last_object(head, _KEY)}
    answer, wrong = fill(value, _Answer)
    return _reading(answer, _is_last(answer), wrong)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a JSON body; grounding is counted from what the end shows of it."""
    reading = _told_apart(head, tail)
    return reading._replace(complete=tail.rstrip()[-1:] in (b"}", b"]"))


def refine(reading: Reading, facts: Facts) -> Reading:
    """Completes an answer by its tier, which a header tells as well, and by the model of the path."""
    if reading.service_tier is None:
        tier = facts.headers.get(_TIER_HEADER)
        if tier:
            reading = reading._replace(service_tier=tier.lower()[:64])
    units = reading.units
    if units is None:
        return reading
    if reading.model is None and SEARCH in units:
        found = _MODEL.search(facts.path)
        if found is not None and not pays_by_query(found[1]):
            reading = reading._replace(units=units | {SEARCH: (0, 1)})
    if reading.model is not None and _DRAWS in reading.model and "image" not in units:
        return _with_pictures(reading, units, facts)
    return reading


def _with_pictures(reading: Reading, units: Units, facts: Facts) -> Reading:
    """Output that is not told apart, of a model that drew: a picture's tokens cost many times those of a text."""
    text_in, made = units.get("text", (0, 0))
    if not made or _PICTURE not in facts.answer:
        return reading
    reason = f"{reading.reason}; {_AS_PICTURES}" if reading.reason else _AS_PICTURES
    return reading._replace(units=units | {"text": (text_in, 0), "image": (0, made)}, reason=reason)


def gemini(method: str, prefix: str, refine: Callable[[Reading, Facts], Reading] | None = refine) -> Endpoint:
    """A method of a model, below a prefix of the path's template."""
    asks = ask_stream if method == _STREAMS else ask_nothing
    return Endpoint(f"{prefix}/models/{{model}}:{method}", asks, read, read_cut, read_stream, gemini_texts, refine)
