"""The model and the `stream` switch of a request's body, for every API that names them so."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ._json import BAD, Name, ends, key_string, lenient
from .base import Asked

__all__ = ["ask", "ask_nothing", "ask_stream"]

_LARGE: Final = 1 << 16
_STREAMED: Final = re.compile(rb'"stream"\s*:\s*true')


class _Request(msgspec.Struct, gc=False):
    model: Name | None = None
    stream: bool | None = None


_decode = msgspec.json.Decoder(_Request).decode


def ask(body: bytes) -> Asked:
    """Reads a JSON body; anything else (a form, an upload) asks nothing."""
    if len(body) > _LARGE:
        return _ask_ends(body)
    try:
        asked = _decode(body)
    except BAD:
        return _ask_patiently(body)
    return Asked(asked.model or None, asked.stream is True)


def _ask_ends(body: bytes) -> Asked:
    """SDKs write the model first or behind the messages, so a large body is never read whole."""
    if body[:64].lstrip()[:1] != b"{":
        return Asked()
    head, tail = ends(body)
    return Asked(
        key_string(head, "model") or key_string(tail, "model"),
        _STREAMED.search(head) is not None or _STREAMED.search(tail) is not None,
    )


def _ask_patiently(body: bytes) -> Asked:
    asked, _ = lenient(body, _Request)
    return Asked() if asked is None else Asked(asked.model or None, asked.stream is True)


def ask_nothing(body: bytes) -> Asked:
    """Where the path tells all, and the answer comes at once."""
    return Asked()


def ask_stream(body: bytes) -> Asked:
    """Where the path tells all, and the answer is a stream."""
    return Asked(None, True)
