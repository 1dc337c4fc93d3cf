"""Converse, whole and streamed: one shape of usage whatever the model.

`inputTokens` are without the cached, which come beside them; the model is named by the path alone. A stream tells the same
in its last message, `metadata`. Source: AWS's pages "Converse", "ConverseStream" and "TokenUsage" (API reference).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ...events import Units, Unpriced
from .. import _eventstream
from .._json import BAD, NOT_JSON, Count, Name, fill, last_object, lenient
from .._openai_usage import COUNTS_NOTHING
from ..base import Reading
from .guardrails import UNTOLD, units_of_trace
from .names import model_of

__all__ = ["read", "read_cut", "read_stream", "read_value"]

_USAGE: Final = b'"usage"'
_INTERVENED: Final = "guardrail_intervened"
_BROKEN_OFF: Final = "the stream broke off before its usage"
_IN_ERROR: Final = "the stream ended in an error"


class _CacheDetail(msgspec.Struct, gc=False, rename="camel"):
    ttl: Name | None = None
    input_tokens: Count | None = None


class _Usage(msgspec.Struct, gc=False, rename="camel"):
    """What a model consumed. The longer names are what Nova's own answers call the caches."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_read_input_token_count: Count | None = None
    cache_write_input_token_count: Count | None = None
    cache_details: list[_CacheDetail] | None = None
    server_tool_usage: dict[str, Any] | None = None


class _Tier(msgspec.Struct, gc=False, rename="camel"):
    type: Name | None = None


class _Performance(msgspec.Struct, gc=False, rename="camel"):
    latency: Name | None = None


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    """A body, or the `metadata` of a stream."""

    usage: _Usage | None = None
    stop_reason: Name | None = None
    service_tier: _Tier | None = None
    performance_config: _Performance | None = None
    trace: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Reading:
    """Reads a whole answer; also a stream, where the request did not tell that it asks for one."""
    if body[:1] != b"{" and _eventstream.looks_like_messages(body):
        return read_stream(body)
    answer, wrong = _decoded(body)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, wrong)


def read_value(value: dict[str, Any]) -> Reading:
    """Reads an answer that is parsed already. Takes `value` apart."""
    return _reading(*fill(value, _Answer))


def _reading(answer: _Answer, wrong: str | None = None) -> Reading:
    """What an answer tells; `wrong` is what could not be read of it."""
    usage = answer.usage
    if usage is None or (usage.input_tokens is None and usage.output_tokens is None):
        why = wrong or ("usage is missing" if usage is None else "usage has no token counts")
        return Reading(reason=why, service_tier=_tier(answer))
    faults: list[str] = []
    units = _units(usage, faults)
    model = None
    if answer.trace is not None:
        units |= units_of_trace(answer.trace)
        model = _invoked(answer.trace)
    others = () if not usage.server_tool_usage else _tools(usage.server_tool_usage)
    if answer.stop_reason == _INTERVENED:  # then the model may never have been asked
        others += () if len(units) > 1 else (UNTOLD,)
    elif not others and not any(map(any, units.values())):
        return Reading(model, reason=COUNTS_NOTHING, service_tier=_tier(answer))
    reason = wrong or ("; ".join(faults) if faults else None)
    return Reading(model, None, units, True, _tier(answer), None, reason, None, others, False, False, _terms(answer))


def _units(usage: _Usage, faults: list[str]) -> Units:
    units: Units = {"text": (usage.input_tokens or 0, usage.output_tokens or 0)}
    read = usage.cache_read_input_tokens or usage.cache_read_input_token_count
    if read:
        units["text_cache_read"] = (read, 0)
    written = usage.cache_write_input_tokens or usage.cache_write_input_token_count or 0
    if written or usage.cache_details:
        short, hour = _written(written, usage.cache_details or [], faults)
        if short:
            units["text_cache_write"] = (short, 0)
        if hour:
            units["text_cache_write_1h"] = (hour, 0)
    return units


def _written(total: int, details: list[_CacheDetail], faults: list[str]) -> tuple[int, int]:
    """Cache writes for 5 minutes and for an hour; what the details leave out was written for 5 minutes."""
    hour = sum(detail.input_tokens or 0 for detail in details if detail.ttl == "1h")
    short = sum(detail.input_tokens or 0 for detail in details) - hour
    if 0 < total < short + hour:
        faults.append(f"usage tells {total} written tokens and details {short + hour}: counted as in the details")
    return max(short, total - hour), hour


def _tools(used: dict[str, Any]) -> tuple[Unpriced, ...]:
    """Tools that the provider runs (Nova's web grounding); their members are documented nowhere yet."""
    why = "a tool of the provider's without a unit of ours"
    return tuple(
        Unpriced(name[:64].encode("utf-8", "replace").decode(), count, why)
        for name, count in used.items()
        if isinstance(count, int) and not isinstance(count, bool) and 0 < count <= 10**6
    )


def _invoked(trace: Any) -> str | None:
    """The model that a prompt router chose."""
    router = trace.get("promptRouter") if isinstance(trace, dict) else None
    invoked = router.get("invokedModelId") if isinstance(router, dict) else None
    return model_of(invoked) if isinstance(invoked, str) else None


def _tier(answer: _Answer) -> str | None:
    return None if answer.service_tier is None else answer.service_tier.type


def _terms(answer: _Answer) -> tuple[str, ...]:
    if answer.performance_config is None or answer.performance_config.latency != "optimized":
        return ()
    return ("latency:optimized",)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of an answer: the usage stands in one of them, the tier and a trace in either."""
    if _eventstream.looks_like_messages(head):
        return read_stream(head, tail, 1)
    found: dict[str, Any] = {"usage": last_object(tail, _USAGE) or last_object(head, _USAGE)}
    for name in ("serviceTier", "performanceConfig"):
        key = b'"%s"' % name.encode()
        found[name] = last_object(tail, key) or last_object(head, key)
    answer, wrong = fill(found, _Answer)
    return _reading(answer, wrong)._replace(complete=tail.rstrip()[-1:] == b"}")


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream: its `metadata`, which comes last, or why it has none."""
    if head[:1] == b"{":
        return read_cut(head, tail) if tail else read(head)
    ending = _eventstream.backwards(tail or head)
    last = next(ending, None)
    if last is not None and last.kind == "metadata":
        return _metadata(last, ending)
    stream = _eventstream.Stream.of(head, tail)
    before = reversed(stream.messages)
    told = next((message for message in before if message.kind == "metadata"), None)
    if told is not None:
        reading = _metadata(told, before)
        return reading._replace(reason=reading.reason or stream.fault, error_type=stream.error)
    begun = any(message.kind == "contentBlockDelta" for message in stream.messages)
    failed = stream.error
    reason = stream.fault or (
        _IN_ERROR if failed else _BROKEN_OFF if stream.messages else "the answer is no event stream"
    )
    return Reading(complete=False, reason=reason, error_type=failed, estimated=bool(failed) and begun)


def _metadata(told: _eventstream.Message, before: Iterator[_eventstream.Message]) -> Reading:
    """Reads the `metadata` of a stream; why the model stopped, which matters if it made nothing, is told before it."""
    answer, wrong = _decoded(told.payload)
    if answer is None:
        return Reading(reason=wrong)
    if answer.usage is not None and not answer.usage.output_tokens:
        stop = next((message for message in before if message.kind == "messageStop"), None)
        if stop is not None and _INTERVENED.encode() in stop.payload:
            answer.stop_reason = _INTERVENED
    return _reading(answer, wrong)


def _decoded(body: bytes) -> tuple[_Answer | None, str | None]:
    try:
        return _decode(body), None
    except BAD:
        return lenient(body, _Answer)
