"""Anthropic's messages: uncached input, cache reads and writes beside it, output with thinking.

In a stream the first event tells the input, and the last replaces what it tells again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..events import Units, Unpriced
from . import _sse
from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Count, Name, fill, key_string, last_object, lenient
from ._texts import anthropic_texts
from .base import Asked, Endpoint, Reading

__all__ = ["messages", "read", "read_cut", "read_stream"]

_FIRST: Final = 1 << 14
_RECEIVED: Final = re.compile(rb'_delta",\s*"(?:partial_json|text|thinking)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"')
_BROKEN_OFF: Final = "the stream broke off before its last usage; the output is counted as characters / 4"


class _Creation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Count | None = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: Count | None = None


class _Tokens(msgspec.Struct, gc=False):
    """The counts of one sampling pass."""

    type: Name | None = None
    model: Name | None = None
    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: _Creation | None = None
    output_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None


class _Usage(_Tokens, gc=False):
    server_tool_use: _ServerTools | None = None
    service_tier: Name | None = None
    speed: Name | None = None
    inference_geo: Name | None = None
    iterations: list[_Tokens] | None = None


class _Container(msgspec.Struct, gc=False):
    id: Name | None = None


class _Answer(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None
    usage: _Usage | None = None
    error: Error | None = None
    container: _Container | None = None


class _Delta(msgspec.Struct, gc=False):
    stop_reason: Name | None = None
    container: _Container | None = None


class _Event(msgspec.Struct, gc=False):
    type: Name | None = None
    message: _Answer | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def read(body: bytes) -> Reading:
    """Reads a whole JSON body."""
    try:
        answer = _decode(body)
    except BAD:
        return _read_patiently(body)
    return _reading(answer)


def _read_patiently(body: bytes) -> Reading:
    if _sse.looks_like_events(body):
        return read_stream(body)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, True, wrong)


def _reading(answer: _Answer, complete: bool = True, wrong: str | None = None, estimated: bool = False) -> Reading:
    usage = answer.usage
    failed = error_type(answer.error)
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        missing = "usage is missing" if usage is None else "usage has no token counts"
        why = wrong or ("the answer is an error" if failed else missing)
        return Reading(answer.model or None, answer.id, None, complete, reason=why, error_type=failed)
    faults: list[str] = []
    units, others = _units(usage, answer.model, faults)
    return Reading(
        answer.model or None,
        answer.id,
        units,
        complete,
        "fast" if usage.speed == "fast" else usage.service_tier,
        None,
        wrong or "; ".join(faults) or None,
        failed,
        others + _surcharges(answer, usage),
        estimated,
    )


def _units(usage: _Usage, model: str | None, faults: list[str]) -> tuple[Units, tuple[Unpriced, ...]]:
    units: Units = {"text": (0, 0)}
    others: tuple[Unpriced, ...] = ()
    if usage.iterations:
        others = _passes(usage, model, units, faults)
    else:
        _add(usage, units, faults)
    if usage.server_tool_use is not None and usage.server_tool_use.web_search_requests:
        units["web_search_request"] = (0, usage.server_tool_use.web_search_requests)
    return units, others


def _add(tokens: _Tokens, units: Units, faults: list[str]) -> None:
    """Adds the counts of one pass. Input is without the cached, which come beside it."""
    output = tokens.output_tokens or 0
    thinking = tokens.output_tokens_details.thinking_tokens or 0 if tokens.output_tokens_details is not None else 0
    if thinking > output:
        faults.append(f"usage tells {thinking} thinking of {output} output tokens: counted as {output}")
        thinking = output
    text_in, text_out = units["text"]
    units["text"] = (text_in + (tokens.input_tokens or 0), text_out + output - thinking)
    if thinking:
        units["reasoning"] = (0, units.get("reasoning", (0, 0))[1] + thinking)
    if tokens.cache_read_input_tokens:
        _add_input(units, "text_cache_read", tokens.cache_read_input_tokens)
    if tokens.cache_creation_input_tokens or tokens.cache_creation is not None:
        short, hour = _written(tokens, faults)
        _add_input(units, "text_cache_write", short)
        _add_input(units, "text_cache_write_1h", hour)


def _add_input(units: Units, unit: str, n: int) -> None:
    if n:
        units[unit] = (units.get(unit, (0, 0))[0] + n, 0)


def _written(tokens: _Tokens, faults: list[str]) -> tuple[int, int]:
    """Cache writes for 5 minutes and for an hour; what the split leaves out was written for 5 minutes."""
    split = tokens.cache_creation
    short = split.ephemeral_5m_input_tokens or 0 if split is not None else 0
    hour = split.ephemeral_1h_input_tokens or 0 if split is not None else 0
    total = tokens.cache_creation_input_tokens
    if total is not None and 0 < total < short + hour:
        faults.append(f"usage tells {total} written tokens and splits {short + hour}: counted as split")
    return max(short, (total or 0) - hour), hour


def _passes(usage: _Usage, model: str | None, units: Units, faults: list[str]) -> tuple[Unpriced, ...]:
    """Sampling passes, whose sum the top level leaves out in part. Those of another model have another rate."""
    foreign: Counter[str] = Counter()
    for tokens in usage.iterations or ():
        if tokens.model is None or tokens.model == model:
            _add(tokens, units, faults)
        else:
            parts: Units = {"text": (0, 0)}
            _add(tokens, parts, faults)
            foreign[tokens.model] += sum(sum(sides) for sides in parts.values())
    why = "tokens of another model within this call:"
    return tuple(Unpriced("token", n, f"{why} {name}") for name, n in foreign.items() if n)


def _surcharges(answer: _Answer, usage: _Usage) -> tuple[Unpriced, ...]:
    found: tuple[Unpriced, ...] = ()
    if answer.container is not None:
        found += (Unpriced("code_execution", 1, "the time of the container is not told"),)
    if usage.inference_geo == "us":
        found += (Unpriced("inference_geo_us", 1, "inference in the US costs 1.1 times the rate"),)
    return found


def read_stream(data: bytes) -> Reading:
    """Reads a stream: the figures of `message_start`, replaced by those of the last `message_delta`."""
    if data[:1] == b"{":
        return read(data)
    start = _start(data)
    delta = _sse.last_with(data, b'"usage"', _decode_event, _is_delta)
    answer = start.message if start is not None and start.message is not None else _Answer()
    wrong, estimated = None, False
    if start is None and delta is None:
        answer, wrong = _stream_apart(data)
    if delta is not None and delta.usage is not None:
        answer.usage = delta.usage if answer.usage is None else _merged(answer.usage, delta.usage)
        if delta.delta is not None:
            answer.container = delta.delta.container or answer.container
    elif answer.usage is not None:
        wrong = _count_received(answer.usage, data)
        estimated = True
    complete = b'"message_stop"' in data[-256:] or (
        delta is not None and delta.delta is not None and delta.delta.stop_reason is not None
    )
    if not complete:
        last = _sse.last_event(data, _decode_event)
        answer.error = last.error if last is not None else None
    return _reading(answer, complete, wrong, estimated)


def _start(data: bytes) -> _Event | None:
    at = data.find(b'"message_start"', 0, _FIRST)
    line = _sse.line_at(data, at) if at >= 0 else None
    if line is None:
        return None
    try:
        return _decode_event(line)
    except BAD:
        return None


def _is_delta(event: _Event) -> bool:
    return event.type == "message_delta" and event.usage is not None


def _count_received(usage: _Usage, data: bytes) -> str:
    """What was generated is billed though its figures never came; Claude's tokenizer is not public."""
    received = sum(map(len, _RECEIVED.findall(data)))
    usage.output_tokens = max(usage.output_tokens or 0, -(-received // 4))
    return _BROKEN_OFF


def _merged(first: _Usage, last: _Usage) -> _Usage:
    """The last figures replace the first, member by member: they are cumulative, and null says nothing."""
    for name in first.__struct_fields__:
        value = getattr(last, name)
        if value is not None:
            setattr(first, name, value)
    return first


def _stream_apart(data: bytes) -> tuple[_Answer, str | None]:
    """What is left of a stream of which neither event can be read."""
    usage = last_object(data, b'"usage"')
    return fill({"id": key_string(data, "id"), "model": key_string(data, "model"), "usage": usage}, _Answer)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a JSON body; the usage is the last in the tail."""
    value: dict[str, Any] = {name: key_string(head, name) or key_string(tail, name) for name in ("id", "model")}
    answer, wrong = fill({**value, "usage": last_object(tail, b'"usage"')}, _Answer)
    return _reading(answer, tail.rstrip()[-1:] == b"}", wrong)


def messages(template: str = "/v1/messages", asks: Callable[[bytes], Asked] = ask) -> Endpoint:
    """Messages; the same under another template where a cloud hosts them."""
    return Endpoint(template, asks, read, read_cut, read_stream, anthropic_texts)
