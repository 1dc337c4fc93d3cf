"""OpenAI's Responses: usage, hosted tools and their counts, in a body or in the last event of a stream."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from ..events import Part, Unpriced
from . import _sse
from ._asking import ask, ask_nothing
from ._errors import Error, error_type
from ._hosted import COSTS, NOTHING, Found, Item, ToolUsage, hosted, may_have_called
from ._json import BAD, NOT_JSON, Name, fill, key_string, last_object, last_string, lenient
from ._openai_usage import OPENAI, Dialect, Usage, stated, told
from ._received import broken_off, strings
from ._texts import responses_texts
from .base import Endpoint, Facts, Reading, summed

__all__ = ["compact", "poll", "read", "read_cut", "read_stream", "responses"]

_KEY: Final = b'"usage"'
_TERMINAL: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
_WHOLE: Final = 8 << 20
"""Bytes of an answer that are kept whole: pictures of the image tool are large, and what they cost stands around them."""
_TOOLS_UNSEEN: Final = "the answer was too large to look for calls of hosted tools"
_TIER_UNSEEN: Final = "the answer was too large to look for the service tier; standard rate used"
_RECEIVED: Final = strings("delta")
_BACKGROUND: Final = re.compile(rb'"background"\s*:\s*true')


class _Answer(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None
    status: Name | None = None
    usage: Usage | None = None
    service_tier: Name | None = None
    error: Error | None = None
    tool_usage: ToolUsage | None = None
    output: list[Item] | None = None
    background: bool | None = None


class _Event(msgspec.Struct, gc=False):
    type: Name | None = None
    response: _Answer | None = None
    code: Any = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def read(body: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads a whole JSON body."""
    try:
        answer = _decode(body)
    except BAD:
        return _read_patiently(body, dialect)
    return _reading(answer, dialect, raw=body)


def _read_patiently(body: bytes, dialect: Dialect) -> Reading:
    if _sse.looks_like_events(body):
        return read_stream(body, dialect=dialect)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, dialect, True, wrong, raw=body)


def _reading(
    answer: _Answer,
    dialect: Dialect,
    complete: bool = True,
    wrong: str | None = None,
    *,
    raw: bytes = b"",
    polled: bool = True,
) -> Reading:
    """What an answer tells. `raw` is searched for what is rarely needed; `polled`: the answer is no stream."""
    failed = error_type(answer.error)
    usage = answer.usage
    if usage is None:
        return _without_usage(answer, complete, wrong, failed, polled)
    units, reason, unpriced = told(usage, dialect)
    # The tuple made directly: the generated constructor takes a tenth of the whole reading.
    reading: Reading = tuple.__new__(
        Reading,
        (
            answer.model or None,
            answer.id,
            units,
            complete,
            answer.service_tier or usage.service_tier,
            None if usage.cost is None and usage.cost_in_usd_ticks is None else stated(usage),
            wrong or reason,
            failed,
            unpriced,
            False,
            False,
            (),
            (),
            answer.id if answer.background else None,
            False,
            (),
        ),
    )
    items, counted = answer.output or (), answer.tool_usage
    if units is None or not (counted is not None or not COSTS.isdisjoint([item.type for item in items])):
        return reading
    found = hosted(items, counted, units, answer.model, raw)
    return reading if found is NOTHING else _with_tools(reading, found)


def _with_tools(reading: Reading, found: Found) -> Reading:
    """A reading with what its tools cost besides."""
    units = reading.units or {}
    parts: tuple[Part, ...] = ()
    if found.parts:
        parts = (Part(None, units, reading.service_tier), *found.parts)
        units = summed(parts)
    return reading._replace(
        units=units,
        parts=parts,
        firsts=found.firsts,
        terms=reading.terms + found.terms,
        unpriced=reading.unpriced + found.unpriced,
        reason=reading.reason or found.reason,
        estimated=reading.estimated or found.estimated,
    )


def _without_usage(answer: _Answer, complete: bool, wrong: str | None, failed: str | None, polled: bool) -> Reading:
    reason, pending = "usage is missing", False
    if failed:
        reason = "the answer is an error"
    elif polled and answer.status in ("queued", "in_progress"):
        reason = f"the response is {answer.status.replace('_', ' ')}, its usage comes with a later poll"
        pending = True
    return Reading(
        answer.model or None,
        answer.id,
        None,
        complete,
        answer.service_tier,
        reason=wrong or reason,
        error_type=failed,
        pending=pending,
    )


def _has_usage(event: _Event) -> bool:
    return event.response is not None and event.response.usage is not None


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0, dialect: Dialect = OPENAI) -> Reading:
    """Reads a stream: `response.completed`, `.incomplete` or `.failed` repeats the whole response with its usage."""
    if head[:1] == b"{":
        return read_cut(head, tail, dialect) if tail else read(head, dialect)
    data = tail or head
    event = _sse.last_with(data, _KEY, _decode_event, _has_usage)
    if event is None or event.response is None:
        reading = _read_broken(head, tail, dialect)
    else:
        reading = _reading_event(event, event.response, data, dialect)
    if reading.complete and reading.error_type is None:
        return reading
    return broken_off(reading, _RECEIVED, head, tail, cut)


def _reading_event(
    event: _Event, response: _Answer, data: bytes, dialect: Dialect, wrong: str | None = None
) -> Reading:
    complete = response.status in _TERMINAL or _is_terminal(event.type)
    return _reading(response, dialect, complete, wrong, raw=data, polled=False)


def _is_terminal(kind: str | None) -> bool:
    return kind is not None and kind.rpartition(".")[2] in _TERMINAL


def _read_broken(head: bytes, tail: bytes, dialect: Dialect) -> Reading:
    """A stream whose last event is missing, malformed, an error, or so large that the tail begins within it."""
    data = tail or head
    event, wrong = _sse.last_patiently(data, _KEY, _Event, _decode_event, _has_usage)
    if event is not None and event.response is not None:
        return _reading_event(event, event.response, data, dialect, wrong)
    usage = last_object(data, _KEY)
    if usage is not None:  # only the last event tells one
        return _told_apart(usage, head, data, dialect)._replace(complete=data.rstrip()[-1:] == b"}")
    last = _sse.last_event(data, _decode_event) or _Event()
    answer = last.response or _Answer(error=Error(code=last.code) if last.type == "error" else None)
    answer.id = answer.id or key_string(head[: 1 << 16], "id")
    answer.model = answer.model or key_string(head[: 1 << 16], "model")
    background, ended = _is_background(head[: 1 << 16]), _is_terminal(last.type)
    if background and not ended and answer.error is None:
        answer.status = "in_progress"  # it goes on without a reader, and a later poll tells all of it
    return _reading(answer, dialect, ended, polled=background)


def _is_background(data: bytes) -> bool:
    return _BACKGROUND.search(data) is not None


def read_cut(head: bytes, tail: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads the two ends of a JSON body; what tools were called stays unknown, and it says so."""
    usage = last_object(tail, _KEY) or last_object(head, _KEY)
    reading = _told_apart(usage or {}, head, tail, dialect)
    return reading._replace(complete=tail.rstrip()[-1:] == b"}")


def _told_apart(usage: dict[str, Any], head: bytes, tail: bytes, dialect: Dialect) -> Reading:
    """Reads a usage that was found without the response around it."""
    value: dict[str, Any] = {name: key_string(head, name) or key_string(tail, name) for name in ("id", "model")}
    tier = last_string(tail, "service_tier") or key_string(head, "service_tier")
    value |= {"service_tier": None if tier == "auto" else tier, "usage": usage or None}
    value["background"] = _is_background(head) or _is_background(tail)
    answer, wrong = fill({**value, "tool_usage": last_object(tail, b'"tool_usage"')}, _Answer)
    reading = _reading(answer, dialect, True, wrong, raw=tail, polled=False)
    if not usage:
        return reading
    unseen: tuple[Unpriced, ...] = ()
    if tier == "auto":  # as it was asked for
        unseen += (Unpriced("service_tier", 1, _TIER_UNSEEN),)
    if may_have_called(tail, head, answer.tool_usage):
        unseen += (Unpriced("hosted_tool", 1, _TOOLS_UNSEEN),)
        reading = reading._replace(reason=reading.reason or _TOOLS_UNSEEN)
    return reading._replace(unpriced=reading.unpriced + unseen)


def settled(reading: Reading, facts: Facts) -> Reading:
    """A response that was asked for again: only one made in the background was not told before, and once it has ended."""
    if reading.once is None and not (reading.error_type and _is_background(facts.answer)):
        return reading._replace(untold=True)
    return reading._replace(once=facts.path.rstrip("/").rpartition("/")[2])


def responses(dialect: Dialect = OPENAI, template: str = "/v1/responses") -> Endpoint:
    """Responses as this dialect speaks them."""
    reads = partial(read, dialect=dialect)
    reads_cut = partial(read_cut, dialect=dialect)
    reads_stream = partial(read_stream, dialect=dialect)
    return Endpoint(template, ask, reads, reads_cut, reads_stream, responses_texts, repeats=True, whole=_WHOLE)


def compact(dialect: Dialect = OPENAI) -> Endpoint:
    """Compaction of a conversation, billed like a response."""
    return responses(dialect, "/v1/responses/compact")


def poll(dialect: Dialect = OPENAI) -> Endpoint:
    """Asking for a response again."""
    asked = responses(dialect, "/v1/responses/{response}")
    return replace(asked, ask=ask_nothing, texts=None, refine=settled)
