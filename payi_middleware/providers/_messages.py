"""Anthropic's messages: uncached input, cache reads and writes beside it, output with thinking.

In a stream the first event tells the input, and the last replaces what it tells again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ..events import Units, Unpriced
from . import _sse
from ._asking import ask
from ._code_execution import UNNAMED, Container, costs_nothing, firsts_of, settled
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Name, fill, key_string, last_object, lenient
from ._messages_usage import Usage, merged, parts_of, terms_of, tier_of, units_of
from ._openai_usage import COUNTS_NOTHING
from ._received import broken_off, strings
from ._texts import anthropic_texts
from .base import Asked, Endpoint, Facts, Reading, summed

__all__ = ["messages", "read", "read_cut", "read_stream"]

_KEY: Final = b'"usage"'
_START: Final = b'"message_start"'
_FIRST: Final = 1 << 14
_RECEIVED: Final = strings("partial_json", "text", "thinking")
_INPUT_UNKNOWN: Final = "the input was not told"

# Source: Claude's release notes of 2026-06-02: a refusal without output is not billed. Of two later categories nothing is
# published, so they keep their price.
_BILLED_REFUSALS: Final = frozenset({"frontier_llm", "reasoning_extraction"})


_CREDIT: Final = Unpriced(
    "fallback_credit", 1, "the credit for a refused request lowers the cost of cache writes, by how much is not told"
)


class _Refused(msgspec.Struct, gc=False):
    category: Name | None = None


class _Answer(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None
    usage: Usage | None = None
    error: Error | None = None
    container: Container | None = None
    stop_reason: Name | None = None
    stop_details: _Refused | None = None


class _Delta(msgspec.Struct, gc=False):
    stop_reason: Name | None = None
    stop_details: _Refused | None = None
    container: Container | None = None


class _Event(msgspec.Struct, gc=False):
    type: Name | None = None
    message: _Answer | None = None
    delta: _Delta | None = None
    usage: Usage | None = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_event = msgspec.json.Decoder(_Event).decode


def read(body: bytes) -> Reading:
    """Reads a whole JSON body."""
    try:
        answer = _decode(body)
    except BAD:
        return _read_patiently(body)
    if answer.container is not None and costs_nothing(answer.container, body):
        answer.container = None
    return _reading(answer)


def _read_patiently(body: bytes) -> Reading:
    if _sse.looks_like_events(body):
        return read_stream(body)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, True, wrong)


def _reading(answer: _Answer, complete: bool = True, wrong: str | None = None) -> Reading:
    usage, model = answer.usage, answer.model or None
    failed = error_type(answer.error)
    if usage is None or usage.input_tokens is None:
        why = wrong or _why_missing(usage, failed)
        return Reading(model, answer.id, None, complete, reason=why, error_type=failed)
    faults: list[str] = []
    if usage.iterations:
        return _of_passes(answer, usage, complete, wrong, failed)
    units = units_of(usage, faults)
    if not (usage.input_tokens or any(map(any, units.values()))):
        return Reading(model, answer.id, None, complete, reason=COUNTS_NOTHING, error_type=failed)
    if answer.stop_reason == "refusal" and not usage.output_tokens:
        units, why = _refused(answer, units)
        faults.append(why)
    reading = Reading(
        model,
        answer.id,
        units,
        complete,
        "fast" if usage.speed == "fast" else usage.service_tier,
        None,
        wrong or "; ".join(faults) or None,
        failed,
        (),
        False,
        False,
        () if usage.inference_geo != "us" else terms_of(usage, model),
    )
    return reading if answer.container is None and usage.fallback_credit is None else _besides(reading, answer, usage)


def _of_passes(answer: _Answer, usage: Usage, complete: bool, wrong: str | None, failed: str | None) -> Reading:
    """The reading of several sampling passes."""
    faults: list[str] = []
    parts, doubts = parts_of(usage, answer.model or None, faults)
    if not parts:
        usage.iterations = None
        return _reading(answer, complete, wrong)
    units = summed(parts)
    tier, reason = tier_of(usage), wrong or "; ".join(faults) or None
    if not any(map(any, units.values())):
        return Reading(answer.model or None, answer.id, None, complete, reason=COUNTS_NOTHING, error_type=failed)
    reading = Reading(answer.model or None, answer.id, units, complete, tier, None, reason, failed, parts=parts)
    reading = _besides(reading, answer, usage)
    return reading._replace(unpriced=reading.unpriced + doubts)


def _refused(answer: _Answer, units: Units) -> tuple[Units, str]:
    """What a refusal before any output is billed for, and why."""
    category = None if answer.stop_details is None else answer.stop_details.category
    if category in _BILLED_REFUSALS:
        return units, f"refused before any output as {category}, which may not be billed"
    return {"text": (0, 0)}, "refused before any output, which is not billed"


def _why_missing(usage: Usage | None, failed: str | None) -> str:
    if failed:
        return "the answer is an error"
    if usage is None:
        return "usage is missing"
    return "usage has no token counts" if usage.output_tokens is None else _INPUT_UNKNOWN


def _besides(reading: Reading, answer: _Answer, usage: Usage) -> Reading:
    """The reading with what is billed besides tokens: the container in which code ran, a credit of which nobody tells how much."""
    found: tuple[Unpriced, ...] = ()
    firsts = () if answer.container is None else firsts_of(answer.container)
    if answer.container is not None and not firsts:
        found += (UNNAMED,)
    credit = usage.fallback_credit
    if credit is not None and credit.status is not None and credit.status.type == "redeemed":
        found += (_CREDIT,)
    return reading._replace(unpriced=found, firsts=firsts)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream: the figures of `message_start`, replaced by those of the last `message_delta`."""
    if head[:1] == b"{":
        return read_cut(head, tail) if tail else read(head)
    data = tail or head
    answer, wrong = _start(head)
    delta = _sse.last_with(data, _KEY, _decode_event, _is_delta)
    if delta is None:
        delta, _ = _sse.last_patiently(data, _KEY, _Event, _decode_event, _is_delta)
        delta = delta if delta is not None and _is_delta(delta) else None
    if answer is None:
        answer, wrong = (_Answer(), wrong) if delta is not None else _stream_apart(head, data)
    if delta is not None and delta.usage is not None:
        if answer.usage is None:
            answer.usage = delta.usage
        else:
            answer.usage, untold = merged(answer.usage, delta.usage)
            wrong = wrong or untold
        if delta.delta is not None:
            answer.container = delta.delta.container or answer.container
            answer.stop_reason, answer.stop_details = delta.delta.stop_reason, delta.delta.stop_details
    elif answer.usage is not None and not _tells_input(answer.usage):
        answer.usage = None  # hosts that speak Anthropic's language may tell the input last
    if answer.container is not None and costs_nothing(answer.container, head + tail):
        answer.container = None
    complete = b'"message_stop"' in data[-256:] or (
        delta is not None and delta.delta is not None and delta.delta.stop_reason is not None
    )
    if complete and delta is not None:
        return _reading(answer, True, wrong)
    last = _sse.last_event(data, _decode_event)
    answer.error = last.error if last is not None else None
    reading = broken_off(_reading(answer, False, wrong), _RECEIVED, head, tail, cut)
    return reading._replace(complete=complete)


def _start(head: bytes) -> tuple[_Answer | None, str | None]:
    """The message of the first event, and what was wrong with it."""
    at = head.find(_START, 0, _FIRST)
    line = _sse.line_at(head, at) if at >= 0 else None
    if line is not None:
        try:
            return _decode_event(line).message, None
        except BAD:
            pass
    payload = next((payload for payload in _sse.events(head) if _START in payload), None)
    event, wrong = lenient(payload, _Event) if payload is not None else (None, None)
    return (None if event is None else event.message), wrong


def _is_delta(event: _Event) -> bool:
    return event.type == "message_delta" and event.usage is not None


def _tells_input(usage: Usage) -> bool:
    return bool(usage.input_tokens or usage.cache_read_input_tokens or usage.cache_creation_input_tokens)


def _stream_apart(head: bytes, data: bytes) -> tuple[_Answer, str | None]:
    """What is left of a stream of which neither event can be read."""
    usage = last_object(data, _KEY)
    return fill({"id": key_string(head, "id"), "model": key_string(head, "model"), "usage": usage}, _Answer)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a JSON body; the usage is the last in the tail."""
    value: dict[str, Any] = {name: key_string(head, name) or key_string(tail, name) for name in ("id", "model")}
    for name, key in (("usage", _KEY), ("container", b'"container"')):
        value[name] = last_object(tail, key) or last_object(head, key)
    answer, wrong = fill(value, _Answer)
    if answer.container is not None and costs_nothing(answer.container, head + tail):
        answer.container = None
    return _reading(answer, tail.rstrip()[-1:] == b"}", wrong)


def messages(
    template: str = "/v1/messages",
    asks: Callable[[bytes], Asked] = ask,
    refine: Callable[[Reading, Facts], Reading] | None = None,
) -> Endpoint:
    """Messages; the same under another template where a cloud hosts them."""
    return Endpoint(
        template, asks, read, read_cut, read_stream, anthropic_texts, refine, repeats=True, refine_firsts=settled
    )
