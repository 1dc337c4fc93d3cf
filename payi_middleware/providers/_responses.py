"""OpenAI's Responses: usage, hosted tools and their counts, in a body or in the last event of a stream."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import msgspec

from ..events import Units, Unpriced
from . import _sse
from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Count, Name, fill, key_string, last_object, lenient
from ._openai_usage import OPENAI, Dialect, Usage, told
from ._texts import responses_texts
from .base import Endpoint, Reading

__all__ = ["compact", "read", "read_cut", "read_stream", "responses"]

_TERMINAL: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
_TOOLS_UNSEEN: Final = "the answer was too large to look for calls of hosted tools"
_NO_UNIT: Final = "a hosted tool without a unit of ours"

# Hosted tools that cost more than their tokens. A web search counts only if it searched: opening a page is free.
_PAID: Final = frozenset({"file_search_call", "code_interpreter_call", "shell_call", "image_generation_call"})


class _WebSearch(msgspec.Struct, gc=False):
    num_requests: Count | None = None


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
    return _reading(answer, dialect)


def _read_patiently(body: bytes, dialect: Dialect) -> Reading:
    if _sse.looks_like_events(body):
        return read_stream(body, dialect)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, dialect, True, wrong)


def _reading(answer: _Answer, dialect: Dialect, complete: bool = True, wrong: str | None = None) -> Reading:
    failed = error_type(answer.error)
    usage = answer.usage
    if usage is None:
        why = wrong or _why_missing(answer, failed)
        return Reading(answer.model or None, answer.id, None, complete, answer.service_tier, None, why, failed)
    units, reason, unpriced = told(usage, dialect)
    if units is not None and (answer.output or answer.tool_usage is not None):
        unpriced += _tools(answer, units)
    stated = None if dialect.stated is None else dialect.stated(usage)
    tier = answer.service_tier or usage.service_tier
    return Reading(answer.model or None, answer.id, units, complete, tier, stated, wrong or reason, failed, unpriced)


def _why_missing(answer: _Answer, failed: str | None) -> str:
    if failed:
        return "the answer is an error"
    if answer.status in ("queued", "in_progress"):
        return f"the response is {answer.status.replace('_', ' ')}, its usage comes with a later poll"
    return "usage is missing"


def _tools(answer: _Answer, units: Units) -> tuple[Unpriced, ...]:
    """Calls of hosted tools. Puts web searches into `units`."""
    calls: dict[str, int] = {}
    for item in answer.output or ():
        if item.type is not None and item.type in _PAID:
            calls[item.type] = calls.get(item.type, 0) + 1
    searches = _searches(answer)
    if searches and "web_search_request" not in units:
        units["web_search_request"] = (0, searches)
    image_tool = answer.tool_usage.image_gen if answer.tool_usage is not None else None
    found: tuple[Unpriced, ...] = ()
    if image_tool is not None and image_tool.total_tokens:
        calls.pop("image_generation_call", None)
        why = "tokens of the image tool's own model, which the answer does not name"
        found = (Unpriced("image_generation_token", image_tool.total_tokens, why),)
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


def read_stream(data: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads a stream: `response.completed`, `.incomplete` or `.failed` repeats the whole response with its usage."""
    if data[:1] == b"{":
        return read(data, dialect)
    event = _sse.last_with(data, b'"usage"', _decode_event, _has_usage)
    if event is None or event.response is None:
        return _read_broken(data, dialect)
    return _reading(event.response, dialect, event.response.status in _TERMINAL or _is_terminal(event.type))


def _is_terminal(kind: str | None) -> bool:
    return kind is not None and kind.rpartition(".")[2] in _TERMINAL


def _read_broken(data: bytes, dialect: Dialect) -> Reading:
    """A stream whose last event is missing, cut, malformed or an error."""
    usage = last_object(data, b'"usage"')
    if usage is not None:
        return _told_apart(usage, data, data, dialect)._replace(complete=False)
    last = _sse.last_event(data, _decode_event) or _Event()
    answer = last.response or _Answer(error=Error(code=last.code) if last.type == "error" else None)
    answer.id = answer.id or key_string(data[: 1 << 16], "id")
    answer.model = answer.model or key_string(data[: 1 << 16], "model")
    return _reading(answer, dialect, _is_terminal(last.type))


def read_cut(head: bytes, tail: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads the two ends of a JSON body; what tools were called stays unknown, and the reason says so."""
    reading = _told_apart(last_object(tail, b'"usage"') or {}, head, tail, dialect)
    return reading._replace(complete=tail.rstrip()[-1:] == b"}")


def _told_apart(usage: dict[str, Any], head: bytes, tail: bytes, dialect: Dialect) -> Reading:
    """Reads a usage that was found without the response around it."""
    names = ("id", "model", "service_tier")
    value: dict[str, Any] = {name: key_string(head, name) or key_string(tail, name) for name in names}
    value |= {"usage": usage or None, "tool_usage": last_object(tail, b'"tool_usage"')}
    answer, wrong = fill(value, _Answer)
    return _reading(answer, dialect, True, wrong or (_TOOLS_UNSEEN if usage else None))


def responses(dialect: Dialect = OPENAI, template: str = "/v1/responses") -> Endpoint:
    """Responses as this dialect speaks them."""
    reads = partial(read, dialect=dialect)
    reads_cut = partial(read_cut, dialect=dialect)
    reads_stream = partial(read_stream, dialect=dialect)
    return Endpoint(template, ask, reads, reads_cut, reads_stream, responses_texts)


def compact(dialect: Dialect = OPENAI) -> Endpoint:
    """Compaction of a conversation, billed like a response."""
    return responses(dialect, "/v1/responses/compact")
