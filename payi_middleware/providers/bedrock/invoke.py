"""Invoke: each maker's own body, whole or as chunks of an event stream, and headers where the body counts nothing.

Which shape a body has shows in the names of its members, so an ARN that names no model is read as well. What Bedrock adds
by itself comes last: the headers `x-amzn-bedrock-...-token-count`, and in a stream `amazon-bedrock-invocationMetrics`.
Source: AWS's pages "InvokeModel", "InvokeModelWithResponseStream" and "Inference request parameters and response fields".
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

import msgspec

from ...events import Units
from .. import _chat, _eventstream, _messages
from .._json import BAD, MOST_TOKENS, NOT_JSON, Count, Name, lenient, parse
from .._openai_usage import COUNTS_NOTHING
from ..base import Reading
from . import converse
from .guardrails import UNTOLD, units_of_trace

__all__ = ["chunks", "read", "read_cut", "read_stream", "read_talk"]

_ENDING: Final = 3  # messages of Claude's that tell something when a stream ends: the delta, the stop and its metrics
_MISSING: Final = "usage is missing"
_LARGE: Final = 1 << 16
_METRICS: Final = b'"amazon-bedrock-invocationMetrics"'
_COUNTS: Final = (b'"inputTextTokenCount"', b'"prompt_token_count"', _METRICS)
_BROKEN_OFF: Final = "the stream broke off before its usage"
_IN_ERROR: Final = "the stream ended in an error"
_GUARDED: Final = b'"amazon-bedrock-guardrailAction"'
_TRACED: Final = b'"amazon-bedrock-trace"'


class _Result(msgspec.Struct, gc=False, rename="camel"):
    token_count: Count | None = None  # Titan


class _Metrics(msgspec.Struct, gc=False, rename="camel"):
    input_token_count: Count | None = None
    output_token_count: Count | None = None
    cache_read_input_token_count: Count | None = None
    cache_write_input_token_count: Count | None = None


_RENAMED: Final = {"metrics": "amazon-bedrock-invocationMetrics", "input_text_token_count": "inputTextTokenCount"}


class _Body(msgspec.Struct, gc=False, rename=_RENAMED):
    """The members by which makers count that have no `usage`, and Bedrock itself."""

    prompt_token_count: Count | None = None  # Llama
    generation_token_count: Count | None = None
    input_text_token_count: Count | None = None  # Titan, whose embeddings make no output
    results: list[_Result] | None = None
    metrics: _Metrics | None = None
    id: Name | None = None


class _Chunk(msgspec.Struct, gc=False, rename={"json": "bytes"}):
    json: bytes  # in base64


_decode = msgspec.json.Decoder(_Body).decode
_decode_chunk = msgspec.json.Decoder(_Chunk).decode


def read(body: bytes) -> Reading:
    """Reads a whole body by the names of its members, looked for from the end, where they stand."""
    if body[:1] != b"{" and _eventstream.looks_like_messages(body):
        return read_stream(body)
    if body.rfind(b'"input_tokens"') >= 0:
        reading = _messages.read(body)
    elif body.rfind(b'"prompt_tokens"') >= 0:
        reading = _chat.read(body)
    elif body.rfind(b'"inputTokens"') >= 0:
        reading = converse.read(body)
    else:
        reading = _read_counts(body)
    return _with_guardrail(reading, body) if body.rfind(_GUARDED) >= 0 else reading


def _read_counts(body: bytes) -> Reading:
    if len(body) > _LARGE and not any(name in body for name in _COUNTS):  # vectors, or a picture
        return Reading(complete=body.rstrip()[-1:] == b"}", reason=_MISSING)
    wrong = None
    try:
        told: _Body | None = _decode(body)
    except BAD:
        told, wrong = lenient(body, _Body)
    if told is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    units = None if wrong else _counted(told)
    return Reading(None, told.id, units, reason=(wrong or _MISSING) if units is None else None)


def _counted(told: _Body) -> Units | None:
    if told.metrics is not None:
        return _of_metrics(told.metrics)
    taken = told.prompt_token_count if told.prompt_token_count is not None else told.input_text_token_count
    made = told.generation_token_count
    if made is None and told.results:
        made = sum(result.token_count or 0 for result in told.results)
    return None if not taken and not made else {"text": (taken or 0, made or 0)}


def _of_metrics(metrics: _Metrics) -> Units | None:
    """Input is without the cached, which come beside it, as in converse."""
    if not (metrics.input_token_count or metrics.output_token_count or metrics.cache_read_input_token_count):
        return None
    units: Units = {"text": (metrics.input_token_count or 0, metrics.output_token_count or 0)}
    if metrics.cache_read_input_token_count:
        units["text_cache_read"] = (metrics.cache_read_input_token_count, 0)
    if metrics.cache_write_input_token_count:
        units["text_cache_write"] = (metrics.cache_write_input_token_count, 0)
    return units


def _with_guardrail(reading: Reading, body: bytes) -> Reading:
    """Adds what the guardrail of a call consumed, which only its trace tells."""
    value = parse(body)
    units = units_of_trace(value.get("amazon-bedrock-trace")) if isinstance(value, dict) else {}
    if not units:
        return reading._replace(unpriced=(*reading.unpriced, UNTOLD))
    # A blocked prompt asked no model: what counts no token tells the guardrail's share, and that is all there was.
    reason = None if reading.reason == COUNTS_NOTHING else reading.reason
    return reading._replace(units=(reading.units or {}) | units, reason=reason)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a body: vectors and pictures, which are large, are counted by headers and by the request."""
    if _eventstream.looks_like_messages(head):
        return read_stream(head, tail, 1)
    if b'"input_tokens"' in tail:
        return _messages.read_cut(head, tail)
    if b'"prompt_tokens"' in tail:
        return _chat.read_cut(head, tail)
    if b'"inputTokens"' in tail:
        return converse.read_cut(head, tail)
    return Reading(complete=tail.rstrip()[-1:] == b"}", reason=_MISSING)


def chunks(messages: Iterable[_eventstream.Message]) -> list[bytes]:
    """The makers' own JSON in the messages of a stream."""
    found: list[bytes] = []
    for message in messages:
        if message.kind == "chunk":
            try:
                found.append(_decode_chunk(message.payload).json)
            except BAD:
                continue
    return found


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream from its end, and as a whole only where it broke off."""
    if head[:1] == b"{":
        return read_cut(head, tail) if tail else read(head)
    last = list(islice(_eventstream.backwards(tail or head), _ENDING))[::-1]
    ending = chunks(last)
    if ending and not last[-1].failed and _METRICS in ending[-1]:
        begun = _eventstream.first(head)
        received = chunks([begun] if begun is not None else []) + ending
        # Each chunk tells of the guardrail; the trace is in one of the last.
        guarded = next((chunk for name in (_TRACED, _GUARDED) for chunk in received if name in chunk), None)
        reading = _ended(received)
        return reading if guarded is None else _with_guardrail(reading, guarded)
    stream = _eventstream.Stream.of(head, tail)
    received = chunks(stream.messages)
    if received and _METRICS in received[-1]:
        reading = _ended(received)
        return reading._replace(reason=reading.reason or stream.fault, error_type=stream.error)
    return _broken_off(received, stream, cut)


def _ended(received: list[bytes]) -> Reading:
    """Reads a stream that came to its end: Claude's by what it says of itself, any other by what Bedrock counted."""
    counted = _read_counts(received[-1])
    if b'"message_start"' in received[0]:
        return _claudes(received, counted)
    if counted.units is None:
        return _read_any(received, 0)._replace(complete=True)
    return counted


def _claudes(received: list[bytes], counted: Reading) -> Reading:
    """Claude alone tells for how long it keeps a cache; Bedrock's counts hold where an event of Claude's was lost."""
    reading = _messages.read_stream(_as_events(received))
    if reading.units is None:
        return counted._replace(response_id=reading.response_id)
    if counted.units is None or _made(reading.units) >= counted.units["text"][1]:
        return reading
    units = {unit: sides for unit, sides in reading.units.items() if unit != "reasoning"}
    return reading._replace(units=units | {"text": counted.units["text"]}, complete=True, estimated=False, reason=None)


def _made(units: Units) -> int:
    """The tokens of an answer, thoughts included."""
    return sum(units.get(unit, (0, 0))[1] for unit in ("text", "reasoning"))


def _read_any(received: list[bytes], cut: int) -> Reading:
    """Reads the events of a stream without Bedrock's metrics, by the names of their members."""
    events = _as_events(received)
    if b'"message_start"' in received[0]:
        return _messages.read_stream(events, b"", cut)
    if b'"prompt_tokens"' in events:
        return _chat.read_stream(events, b"", cut)
    told = next((chunk for chunk in reversed(received) if b'"inputTokens"' in chunk), None)
    if told is not None:  # Nova's `metadata`
        value = parse(told)
        inner = value.get("metadata", value) if isinstance(value, dict) else {}
        return converse.read_value(inner if isinstance(inner, dict) else {})
    return Reading(complete=False, reason=_BROKEN_OFF)


def _as_events(received: list[bytes]) -> bytes:
    """The chunks as the server-sent events that the makers' own APIs would have sent."""
    return b"".join(b"data: " + chunk.replace(b"\n", b" ") + b"\n\n" for chunk in received)


def _broken_off(received: list[bytes], stream: _eventstream.Stream, cut: int) -> Reading:
    failed = stream.error
    if not received:
        reason = stream.fault or (
            _IN_ERROR if failed else _BROKEN_OFF if stream.messages else "the answer is no event stream"
        )
        return Reading(complete=False, reason=reason, error_type=failed)
    if _GUARDED in received[-1] and _TRACED in received[-1] and not failed:
        # The end, without Bedrock's counts: the prompt was blocked, no model was asked, and what counts the message that
        # stands in for an answer is not billed. Source: AWS's page "How charges are calculated for Bedrock Guardrails".
        return _with_guardrail(Reading(), received[-1])
    reading = _read_any(received, cut)
    if failed:
        reason = reading.reason or _IN_ERROR
        return reading._replace(complete=False, error_type=failed, reason=reason, estimated=True)
    return reading._replace(reason=reading.reason or stream.fault)


def read_talk(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads the output of a conversation (Nova Sonic): the totals of its last `usageEvent`."""
    stream = _eventstream.Stream.of(head, tail)
    for chunk in reversed(chunks(stream.messages)):
        if b'"usageEvent"' in chunk and (units := _talked(parse(chunk))) is not None:
            return Reading(None, None, units, stream.whole, reason=stream.fault, error_type=stream.error)
    return Reading(complete=False, reason=stream.fault or "no usage was told", error_type=stream.error)


def _talked(value: Any) -> Units | None:
    """Speech and text of both sides since the conversation began."""
    for name in ("event", "usageEvent", "details", "total"):
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return None
    (speech_in, text_in), (speech_out, text_out) = (_side(value.get(side)) for side in ("input", "output"))
    units: Units = {"text": (text_in, text_out), "audio": (speech_in, speech_out)}
    return units if any(map(any, units.values())) else None


def _side(told: Any) -> tuple[int, int]:
    counts = [told.get(name) if isinstance(told, dict) else None for name in ("speechTokens", "textTokens")]
    speech, text = (
        n if isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= MOST_TOKENS else 0 for n in counts
    )
    return speech, text
