"""Calls that may cost and that no endpoint here reads yet: they become events without a cost, never a hole."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, Name, ends, key_string
from .base import Endpoint, Reading

__all__ = ["OTHER", "REASON"]

REASON: Final = "endpoint is not priced yet"
_LARGE: Final = 1 << 16


class _Answer(msgspec.Struct, gc=False):
    id: Name | None = None
    model: Name | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Reading:
    """Reads the model of any JSON body, and whether it is an error."""
    if len(body) > _LARGE:
        return read_cut(*ends(body))
    try:
        answer = _decode(body)
    except BAD:
        return Reading(reason=REASON)
    failed = None
    if answer.error:
        failed = error_type(msgspec.convert(answer.error, Error) if isinstance(answer.error, dict) else Error())
    return Reading(answer.model or None, answer.id, reason=REASON, error_type=failed)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the model, where one of the ends names it."""
    if head[:64].lstrip()[:1] not in (b"{", b"["):
        return Reading(reason=REASON)
    return Reading(key_string(head, "model") or key_string(tail, "model"), key_string(head, "id"), reason=REASON)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads the model of a stream's first events."""
    first, _ = ends(head)
    return Reading(key_string(first, "model"), reason=REASON)


OTHER: Final = Endpoint("(other)", ask, read, read_cut, read_stream)
