"""OpenAI's Responses: usage, hosted tools and their counts, in a body or in the last event of a stream."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

import msgspec

from ..events import Units, Unpriced
from . import _sse
from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Calls, Count, Name, fill, key_string, last_object, last_string, lenient
from ._openai_usage import OPENAI, Dialect, Usage, told
from ._received import broken_off, strings
from ._texts import responses_texts
from .base import Endpoint, Reading

__all__ = ["compact", "read", "read_cut", "read_stream", "responses"]

_KEY: Final = b'"usage"'
_TERMINAL: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
_TOOLS_UNSEEN: Final = "the answer was too large to look for calls of hosted tools"
_NO_UNIT: Final = "a hosted tool without a unit of ours"
_TIER_UNSEEN: Final = "the answer was too large to look for the service tier; standard rate used"
_OLD_SEARCH: Final = "web_search_preview has another fee on models that do not reason"

_RECEIVED: Final = strings("delta")
_PREVIEW: Final = re.compile(rb'"type"\s*:\s*"web_search_preview')
_NO_TOOLS: Final = re.compile(rb'"tools"\s*:\s*\[\s*\]')
_BACKGROUND: Final = re.compile(rb'"background"\s*:\s*true')
_REASONS: Final = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d)(?!\S*chat))")

# Hosted tools that cost more than their tokens. A web search counts only if it searched: opening a page is free.
_PAID: Final = frozenset({"file_search_call", "code_interpreter_call", "shell_call", "image_generation_call"})


class _WebSearch(msgspec.Struct, gc=False):
    num_requests: Calls | None = None


class _ImageTool(msgspec.Struct, gc=False):
    total_tokens: Count | None = None


class _ToolUsage(msgspec.Struct, gc=False):
    web_search: _WebSearch | None = None
    image_gen: _ImageTool | None = None


class _Action(msgspec.Struct, gc=False):
    type: Any = None


class _Item(msgspec.Struct, gc=False):
    type: Name | None = None
    action: _Action | None = None


class _Answer(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None
    status: Name | None = None
    usage: Usage | None = None
    service_tier: Name | None = None
    error: Error | None = None
    tool_usage: _ToolUsage | None = None
    output: list[_Item] | None = None


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
    if units is not None and (answer.output or answer.tool_usage is not None):
        unpriced += _tools(answer, units, raw)
    stated = None if dialect.stated is None else dialect.stated(usage)
    tier = answer.service_tier or usage.service_tier
    return Reading(answer.model or None, answer.id, units, complete, tier, stated, wrong or reason, failed, unpriced)


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


def _tools(answer: _Answer, units: Units, raw: bytes) -> tuple[Unpriced, ...]:
    """Calls of hosted tools. Puts web searches into `units`, if their rate holds."""
    calls: dict[str, int] = {}
    for item in answer.output or ():
        if item.type is not None and item.type in _PAID:
            calls[item.type] = calls.get(item.type, 0) + 1
    found: tuple[Unpriced, ...] = ()
    searches = _searches(answer)
    if searches and "web_search_request" not in units:
        if _PREVIEW.search(raw) is not None and _REASONS.search(answer.model or "") is None:
            found += (Unpriced("web_search_request", searches, _OLD_SEARCH),)
        else:
            units["web_search_request"] = (0, searches)
    image_tool = answer.tool_usage.image_gen if answer.tool_usage is not None else None
    if image_tool is not None and image_tool.total_tokens:
        calls.pop("image_generation_call", None)
        why = "tokens of the image tool's own model, which the answer does not name"
        found += (Unpriced("image_generation_token", image_tool.total_tokens, why),)
    return found + tuple(Unpriced(name, n, _NO_UNIT) for name, n in calls.items()) if calls else found


def _searches(answer: _Answer) -> int:
    """What the provider counts as billable; else the searches among the items."""
    told_count = answer.tool_usage.web_search if answer.tool_usage is not None else None
    if told_count is not None and told_count.num_requests is not None:
        return told_count.num_requests
    return sum(
        item.type == "web_search_call" and (item.action is None or item.action.type in (None, "search"))
        for item in answer.output or ()
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
    polled = _BACKGROUND.search(head, 0, 1 << 16) is not None
    return _reading(answer, dialect, _is_terminal(last.type), polled=polled)


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
    answer, wrong = fill({**value, "tool_usage": last_object(tail, b'"tool_usage"')}, _Answer)
    reading = _reading(answer, dialect, True, wrong, raw=tail, polled=False)
    if not usage:
        return reading
    unseen: tuple[Unpriced, ...] = ()
    if tier == "auto":  # as it was asked for
        unseen += (Unpriced("service_tier", 1, _TIER_UNSEEN),)
    if _NO_TOOLS.search(tail) is None and _NO_TOOLS.search(head) is None:
        unseen += (Unpriced("hosted_tool", 1, _TOOLS_UNSEEN),)
        reading = reading._replace(reason=reading.reason or _TOOLS_UNSEEN)
    return reading._replace(unpriced=reading.unpriced + unseen)


def responses(dialect: Dialect = OPENAI, template: str = "/v1/responses") -> Endpoint:
    """Responses as this dialect speaks them."""
    reads = partial(read, dialect=dialect)
    reads_cut = partial(read_cut, dialect=dialect)
    reads_stream = partial(read_stream, dialect=dialect)
    return Endpoint(template, ask, reads, reads_cut, reads_stream, responses_texts)


def compact(dialect: Dialect = OPENAI) -> Endpoint:
    """Compaction of a conversation, billed like a response."""
    return responses(dialect, "/v1/responses/compact")
