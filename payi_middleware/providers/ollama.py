"""Ollama: free where it runs on a machine of one's own, the hosted service by subscription.

Its own API answers with JSON lines, the last of which tells the counts; `/v1` is OpenAI's. Source: docs.ollama.com/api,
looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ..events import Units
from . import _lines, openai
from ._asking import ask
from ._json import BAD, NOT_JSON, Count, Name, fill, key_string, lenient, parse
from ._paths import by_path
from ._received import broken_off, strings
from ._texts import named_texts
from .base import Asked, Endpoint, Reading

__all__ = ["find_route"]

_DONE: Final = b'"done"'
_COUNTED: Final = b'"prompt_eval_count"'
_UNSTREAMED: Final = re.compile(rb'"stream"\s*:\s*false')
_RECEIVED: Final = strings("content", "response", "thinking")
_TEXTS: Final = named_texts(("system", "messages", "prompt", "input"), ("message", "response", "thinking"))


class _Answer(msgspec.Struct, gc=False):
    model: Name | None = None
    done: bool | None = None
    prompt_eval_count: Count | None = None
    eval_count: Count | None = None
    error: str | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def _ask(body: bytes) -> Asked:
    """Without a word in the request, chat and generate stream."""
    return ask(body)._replace(streamed=_UNSTREAMED.search(body) is None)


def read(body: bytes) -> Reading:
    """Reads one object, or the lines of a stream."""
    try:
        answer = _decode(body)
    except BAD:
        return _read_patiently(body)
    return _reading(answer)


def _read_patiently(body: bytes) -> Reading:
    if body.find(b"\n") >= 0 and parse(body) is None:
        return _read_lines(body, body)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, wrong)


def _read_lines(head: bytes, data: bytes, cut: int = 0) -> Reading:
    last = _lines.last_with(data, _COUNTED) or _lines.last_with(data, _DONE) or {}
    answer, wrong = fill(last, _Answer)
    answer.model = answer.model or key_string(head[:4096], "model")
    reading = _reading(answer, wrong)
    if reading.complete and reading.error_type is None:
        return reading
    return broken_off(reading, _RECEIVED, head, b"" if head is data else data, cut)


def _reading(answer: _Answer, wrong: str | None = None) -> Reading:
    failed = "error" if answer.error else None
    taken, made = answer.prompt_eval_count, answer.eval_count
    complete = answer.done is not False
    if taken is None and made is None:
        reason = wrong or ("the answer is an error" if failed else "usage is missing")
        return Reading(answer.model, None, None, complete, reason=reason, error_type=failed)
    units: Units = {"text": (taken or 0, made or 0)}  # a prompt that is cached whole is counted as none
    return Reading(answer.model, None, units, complete, reason=wrong, error_type=failed)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the ends of a large answer: the counts stand in its last line, or behind its vectors."""
    if _lines.last_with(tail, _COUNTED) is not None:
        return _read_lines(head, tail)
    found = re.search(rb'"prompt_eval_count"\s*:\s*(\d{1,12})\b', tail)
    answer = _Answer(key_string(head, "model") or key_string(tail, "model"))
    answer.prompt_eval_count = int(found[1]) if found else None
    return _reading(answer)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads the lines of a stream."""
    return _read_lines(head, tail or head, cut) if b"\n" in head.strip() or tail else read(head)


def _endpoint(template: str, *, streams: bool = True) -> Endpoint:
    return Endpoint(template, _ask if streams else ask, read, read_cut, read_stream, _TEXTS)


# Whatever else it is asked (models, copies, pulls) generates nothing.
find_route: Final = by_path(
    {
        r"api/chat": _endpoint("/api/chat"),
        r"api/generate": _endpoint("/api/generate"),
        r"api/embed(?:dings)?": _endpoint("/api/embed", streams=False),
        r"api/.+": None,
    },
    openai.routes(openai.endpoints(), strict=True),
)
