"""OpenAI's chat completions, embeddings and legacy completions: one shape of answer, spoken by many hosts."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

import msgspec
from msgspec.structs import replace

from . import _sse
from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Name, fill, key_string, last_object, last_string, lenient, objects
from ._openai_usage import OPENAI, Dialect, Usage, stated, told
from ._received import broken_off, strings
from ._texts import Texter, chat_texts, input_texts
from .base import Endpoint, Reading

__all__ = ["embeddings", "endpoint", "read", "read_cut", "read_stream"]

_KEY: Final = b'"usage"'
_TAIL: Final = 1 << 16
_BEHIND: Final = 512
_NEAR: Final = 1 << 12
_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"')
_RECEIVED: Final = strings("content", "reasoning_content", "reasoning", "arguments", "refusal", "text")


class _Groq(msgspec.Struct, gc=False):
    usage: Usage | None = None


class _Answer(msgspec.Struct, gc=False):
    """A body, or one chunk of a stream."""

    id: Name | None = None
    model: Name | None = None
    usage: Usage | None = None
    service_tier: Name | None = None
    error: Error | None = None
    x_groq: _Groq | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads a whole JSON body."""
    try:
        answer = _decode(body)
    except BAD:
        return _read_patiently(body, dialect)
    return _reading(answer, dialect)


def read_embeddings(body: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads embeddings: model and usage stand behind the vectors, which are long and of no interest."""
    start = max(len(body) - _BEHIND, 0)
    model, usage = body.find(b'"model"', start), body.find(b'"usage"', start)
    if min(model, usage) > 0:
        try:
            # Only if both are members of the outermost object is this valid JSON.
            answer = _decode(b"{" + body[min(model, usage) :])
        except BAD:
            return read(body, dialect)
        return _reading(answer, dialect)
    return read(body, dialect)


def _read_patiently(body: bytes, dialect: Dialect) -> Reading:
    if _sse.looks_like_events(body):
        return read_stream(body, dialect=dialect)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, dialect, True, wrong)


def _reading(answer: _Answer, dialect: Dialect, complete: bool = True, wrong: str | None = None) -> Reading:
    usage = answer.usage or _usage(answer)
    if usage is None:
        return _without_usage(answer, complete, wrong)
    units, reason, unpriced = told(usage, dialect)
    # The tuple made directly: its generated constructor takes a fifth of the whole reading.
    return tuple.__new__(
        Reading,
        (
            answer.model or None,
            answer.id,
            units,
            complete,
            answer.service_tier or usage.service_tier,
            None if usage.cost is None and usage.cost_in_usd_ticks is None else stated(usage),
            wrong or reason,
            None if answer.error is None else error_type(answer.error),
            unpriced,
            False,
            False,
            (),
            (),
            None,
            False,
            (),
        ),
    )


def _without_usage(answer: _Answer, complete: bool, wrong: str | None) -> Reading:
    failed = error_type(answer.error)
    reason = wrong or ("the answer is an error" if failed else "usage is missing")
    return Reading(answer.model or None, answer.id, None, complete, answer.service_tier, None, reason, failed)


def _usage(answer: _Answer) -> Usage | None:
    if answer.usage is None and answer.x_groq is not None:
        return answer.x_groq.usage
    return answer.usage


def _counts(answer: _Answer) -> object:
    """Whether a chunk's usage tells anything: an empty one, or one of zeros, may follow the one that counts."""
    usage = _usage(answer)
    return usage is not None and (
        usage.total_tokens
        or usage.prompt_tokens
        or usage.completion_tokens
        or usage.input_tokens
        or usage.output_tokens
        or usage.cost
        or usage.cost_in_usd_ticks
    )


def _last_usage(data: bytes) -> _Answer | None:
    """The last chunk whose usage counts something, or else the last with a usage."""
    return _sse.last_with(data, _KEY, _decode, _counts) or _sse.last_with(data, _KEY, _decode, _usage)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0, dialect: Dialect = OPENAI) -> Reading:
    """Reads a stream: the last chunk that carries usage, or else the last chunk of all; what it leaves out others told."""
    if head[:1] == b"{":
        return read_cut(head, tail, dialect) if tail else read(head, dialect)
    data = tail or head
    answer = _last_usage(data)
    if answer is not None:
        complete = data[-64:].rstrip().endswith(b"[DONE]") or _is_last(data)
        reading = _reading(_completed(answer, head, data), dialect, complete)
    else:
        reading = _read_patiently_stream(head, tail, dialect)
    if reading.complete and reading.error_type is None:
        return reading
    return broken_off(reading, _RECEIVED, head, tail, cut)


def _is_last(data: bytes) -> bool:
    """Whether the stream finished, and not after the last usage: that would be an early one."""
    if not _finished(data):
        return False
    end = data.find(b"\n", next(objects(data, _KEY), len(data)))
    return end < 0 or _FINISHED.search(data, end) is None


def _finished(data: bytes) -> bool:
    """Whether `[DONE]` or a chunk with a finish reason has come."""
    if data[-64:].rstrip().endswith(b"[DONE]"):
        return True
    return _FINISHED.search(data, max(len(data) - _TAIL, 0)) is not None


def _read_patiently_stream(head: bytes, tail: bytes, dialect: Dialect) -> Reading:
    """A stream whose usage is missing, malformed, within the choice (Moonshot), or on the line where the tail begins."""
    data = tail or head
    complete = _finished(data)
    answer, wrong = _sse.last_patiently(data, _KEY, _Answer, _decode, _counts)
    if answer is not None:
        return _reading(_completed(answer, head, data), dialect, complete, wrong)
    usage = last_object(data, _KEY)
    if usage is not None:
        return _told_apart(usage, head, data, dialect)._replace(complete=complete)
    if tail and (early := _last_usage(head)) is not None:
        return _reading(_completed(early, head, data), dialect, False)
    last = _sse.last_event(data, _decode) or _sse.last_event(head, _decode) or _Answer()
    return _reading(_completed(last, head, data), dialect, complete)


def _completed(answer: _Answer, head: bytes, data: bytes) -> _Answer:
    """A chunk with the model, the id and the tier that others told where it tells none, or empty ones.

    Azure's annotations of an asynchronous content filter come behind the last chunk of the answer, and name no model.
    Source: https://learn.microsoft.com/en-us/azure/ai-foundry/openai/concepts/content-streaming.
    """
    if not answer.model:
        answer.model = last_string(data, "model") or last_string(head, "model")
    if not answer.id:
        answer.id = key_string(head, "id") or key_string(data, "id")
    if not answer.service_tier:
        answer.service_tier = _served_at_ends(head, data)
    return answer


def _served_at_ends(head: bytes, data: bytes) -> str | None:
    """The tier as the last chunks tell it, or else the first: who tells it does so in each, so not all is searched."""
    tier = last_string(data[-_NEAR:], "service_tier")
    if tier is None and (data is not head or len(head) > _NEAR):
        tier = last_string(head[:_NEAR], "service_tier")
    return None if tier == "auto" else tier


def read_cut(head: bytes, tail: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads the two ends of a JSON body; the usage is the last in the tail, or else in the head."""
    usage = last_object(tail, _KEY) or last_object(head, _KEY)
    reading = _told_apart(usage or {}, head, tail, dialect)
    return reading._replace(complete=tail.rstrip()[-1:] == b"}")


def _told_apart(usage: dict[str, object], head: bytes, tail: bytes, dialect: Dialect) -> Reading:
    """Reads a usage that was found without the object around it."""
    value = {name: key_string(head, name) or key_string(tail, name) for name in ("id", "model")}
    answer, wrong = fill({**value, "service_tier": _served(head, tail), "usage": usage or None}, _Answer)
    return _reading(answer, dialect, True, wrong)


def _served(head: bytes, tail: bytes) -> str | None:
    """The tier as the end tells it; what a head says may only be what was asked for."""
    tier = last_string(tail, "service_tier") or key_string(head, "service_tier")
    return None if tier == "auto" else tier


def endpoint(template: str, dialect: Dialect = OPENAI, texts: Texter = chat_texts) -> Endpoint:
    """An endpoint of this shape as this dialect speaks it."""
    if dialect is OPENAI:  # a bare function is 0.1 µs quicker than a partial one
        return Endpoint(template, ask, read, read_cut, read_stream, texts)
    reads = partial(read, dialect=dialect)
    reads_cut = partial(read_cut, dialect=dialect)
    reads_stream = partial(read_stream, dialect=dialect)
    return Endpoint(template, ask, reads, reads_cut, reads_stream, texts)


def embeddings(dialect: Dialect = OPENAI, template: str = "/v1/embeddings") -> Endpoint:
    """Embeddings: no output, and no stream."""
    reads = partial(read_embeddings, dialect=dialect)
    return replace(endpoint(template, dialect, input_texts), read=reads)
