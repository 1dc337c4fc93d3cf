"""Anthropic's text completions, the API before messages: it tells no usage, so its texts are counted."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import msgspec

from . import _sse
from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Name, key_string, lenient, parse
from .base import Endpoint, Reading, Texts

__all__ = ["COMPLETE", "read", "read_cut", "read_stream", "texts"]

_NO_USAGE: Final = "the API of text completions tells no usage"


class _Answer(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None
    stop_reason: Name | None = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Reading:
    """Reads a whole JSON body."""
    try:
        return _reading(_decode(body), True)
    except BAD:
        pass
    if _sse.looks_like_events(body):
        return read_stream(body)
    answer, wrong = lenient(body, _Answer)
    return Reading(complete=wrong != NOT_JSON, reason=wrong) if answer is None else _reading(answer, True)


def _reading(answer: _Answer, complete: bool) -> Reading:
    failed = error_type(answer.error)
    reason = "the answer is an error" if failed else _NO_USAGE
    return Reading(answer.model or None, answer.id, None, complete, reason=reason, error_type=failed)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream: its last event has a reason why it stopped."""
    if head[:1] == b"{":
        return read_cut(head, tail) if tail else read(head)
    last = _sse.last_event(tail or head, _decode) or _Answer()
    last.model = last.model or key_string(head, "model")
    return _reading(last, last.stop_reason is not None)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a JSON body."""
    model = key_string(tail, "model") or key_string(head, "model")
    return _reading(_Answer(key_string(head, "id"), model), tail.rstrip()[-1:] == b"}")


def texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """The prompt and what was written. Before version 2023-06-01 each event of a stream repeats all that came before."""
    asked = parse(request)
    prompt = asked.get("prompt") if isinstance(asked, dict) else None
    values = [parse(payload) for payload in _sse.events(answer)] if streamed else [parse(answer)]
    told = [value.get("completion") for value in values if isinstance(value, dict)]
    pieces = [piece for piece in told if isinstance(piece, str) and piece]
    if len(pieces) > 1 and all(later.startswith(earlier) for earlier, later in pairwise(pieces)):
        pieces = pieces[-1:]
    return Texts([prompt] if isinstance(prompt, str) else [], ["".join(pieces)] if pieces else [], 1)


COMPLETE: Final = Endpoint("/v1/complete", ask, read, read_cut, read_stream, texts)
