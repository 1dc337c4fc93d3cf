"""OpenAI's chat completions, embeddings and legacy completions: one shape of answer, spoken by many hosts."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from . import _sse
from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Name, fill, key_string, last_object, lenient
from ._openai_usage import OPENAI, Dialect, Usage, told
from ._texts import Texter, chat_texts, input_texts
from .base import Endpoint, Reading

__all__ = ["embeddings", "endpoint", "read", "read_cut", "read_stream"]

_TAIL: Final = 1 << 16
_BEHIND: Final = 512
_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"')


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
        return read_stream(body, dialect)
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
            None if dialect.stated is None else dialect.stated(usage),
            wrong or reason,
            None if answer.error is None else error_type(answer.error),
            unpriced,
            False,
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


def read_stream(data: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads a stream: the last chunk that carries usage, or else the last chunk of all."""
    if data[:1] == b"{":
        return read(data, dialect)
    answer = _sse.last_with(data, b'"usage"', _decode, _usage)
    complete = _finished(data)
    if answer is not None:
        return _reading(answer, dialect, complete)
    inner = last_object(data, b'"usage"')  # Moonshot puts it into the choice; or the chunk is cut or malformed
    last = _sse.last_event(data, _decode) or _Answer()
    if inner is None:
        return _reading(last, dialect, complete)
    return _told_apart(inner, data, data, dialect)._replace(complete=complete)


def _finished(data: bytes) -> bool:
    """Whether `[DONE]` or a chunk with a finish reason has come."""
    if data[-64:].rstrip().endswith(b"[DONE]"):
        return True
    return _FINISHED.search(data, max(len(data) - _TAIL, 0)) is not None


def read_cut(head: bytes, tail: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads the two ends of a JSON body; the usage is the last in the tail."""
    usage = last_object(tail, b'"usage"')
    reading = _told_apart(usage or {}, head, tail, dialect)
    return reading._replace(complete=tail.rstrip()[-1:] == b"}")


def _told_apart(usage: dict[str, object], head: bytes, tail: bytes, dialect: Dialect) -> Reading:
    """Reads a usage that was found without the object around it."""
    value = {name: key_string(head, name) or key_string(tail, name) for name in ("id", "model", "service_tier")}
    answer, wrong = fill({**value, "usage": usage or None}, _Answer)
    return _reading(answer, dialect, True, wrong)


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
