"""Endpoints that no file here knows: where their answers tell tokens all the same, those are counted, and it is said."""

from __future__ import annotations

from typing import Final

from . import _chat, _sse, other
from ._asking import ask
from ._json import last_object
from .base import Endpoint, Reading

__all__ = ["REST"]

_KEY: Final = b'"usage"'
_READ_AS_CHAT: Final = "the endpoint is unknown here; its usage is read as that of chat"


def _known(reading: Reading, otherwise: Reading) -> Reading:
    if reading.units is None:
        return otherwise
    reason = f"{_READ_AS_CHAT}; {reading.reason}" if reading.reason else _READ_AS_CHAT
    return reading._replace(reason=reason)


def read(body: bytes) -> Reading:
    """Reads a JSON body."""
    otherwise = other.read(body)
    return _known(_chat.read(body), otherwise) if _KEY in body else otherwise


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a body."""
    otherwise = other.read_cut(head, tail)
    return _known(_chat.read_cut(head, tail), otherwise) if last_object(tail, _KEY) else otherwise


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream, whose last usage holds."""
    otherwise = other.read_stream(head, tail, cut)
    if not _sse.looks_like_events(head) or _KEY not in (tail or head):
        return otherwise
    return _known(_chat.read_stream(head, tail, cut), otherwise)


REST: Final = Endpoint(other.OTHER.template, ask, read, read_cut, read_stream)
