"""A request's body as the provider will read it: without its content-encoding, within bounds.

What a request asks for, and how much a limit holds for it, is read of what it unpacks to: packed bytes name no model and are
fewer than the tokens that they stand for. A body that stays packed here is as one that cannot be seen.
"""

from __future__ import annotations

from typing import Any, Final

from . import health
from .body import MAX_RATIO, decoder_of

__all__ = ["MAX_UNPACKED", "encoding_of", "is_json", "unpacked"]

MAX_UNPACKED: Final = 16 << 20
"""Bytes of one unpacked body: 50 ms of an event loop for gzip."""
_FREE: Final = 1 << 20
"""Bytes of which a ratio says nothing: a small body may be packed as well as it likes."""
_JSON: Final = b"{["


def is_json(body: bytes) -> bool:
    """Whether a body is plain whatever its header says, or empty: nothing packed begins so. aiohttp packs as late as it writes."""
    return body[:1] in _JSON


def encoding_of(headers: Any) -> str:
    """The content-encoding among a request's headers, in whatever case, as text or bytes; empty if there is none."""
    return ", ".join(_text(value) for name, value in headers.items() if _text(name).lower() == "content-encoding")


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def unpacked(body: bytes, encoding: str) -> bytes | None:
    """A body without its content-encoding; None if that is unknown, not what the body is, or beyond the bounds. Never raises."""
    if is_json(body) or not encoding:
        return body
    try:
        found = _unpacked(body, encoding)
    except Exception:  # each codec has errors of its own
        found = None
    if found is None:
        health.count("request_packed")
    return found


def _unpacked(body: bytes, encoding: str) -> bytes | None:
    decoder, unknown = decoder_of(encoding)
    if unknown:
        return None
    if decoder is None:  # `identity`
        return body
    if not decoder.is_bounded:
        return None
    most = min(max(_FREE, len(body) * MAX_RATIO), MAX_UNPACKED)
    pieces, size = [], 0
    for piece in decoder.pieces(body):
        size += len(piece)
        if size > most:
            return None
        pieces.append(piece)
    return b"".join(pieces) if decoder.is_whole else None
