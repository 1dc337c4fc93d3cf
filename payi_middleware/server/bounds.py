"""How much may come in: bytes as sent and as unpacked, so that a small body cannot become a large one.

Bodies are unpacked as they are read, in pieces, and the bound is checked on each. A route that reads a stream piece by
piece has a bound of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import Answer, ApiError

__all__ = ["BODY", "LINE", "RATIO", "STREAM", "STREAMED", "Bounds"]

BODY: Final = 32 << 20
"""Bytes of a body, unpacked."""
STREAM: Final = 1 << 30
"""Bytes of a body that is read line by line."""
LINE: Final = 1 << 20
"""Bytes of one such line."""
RATIO: Final = 100
"""How many times its size a compressed body may unpack to."""

STREAMED: Final = frozenset(("/api/v1/events",))
_FREE = 64 << 10  # bytes: of so little a ratio says nothing
_PIECE = 1 << 20  # bytes unpacked at once


Unpack: TypeAlias = Callable[[bytes, bool], Iterator[bytes]]
"""(a piece as sent, whether it is the last) -> it unpacked, in pieces."""


class Bounds:
    """ASGI middleware: bounds bodies, and unpacks gzip and deflate."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        most = STREAM if scope["path"] in STREAMED else BODY
        try:
            unpack = _unpacker(headers.get(b"content-encoding", b"").strip().lower())
            declared = headers.get(b"content-length", b"0")
            if not declared.isdigit() or int(declared) > most:
                raise _too_large(most)
        except ApiError as error:
            await Answer(error.body(), error.status_code)(scope, receive, send)
            return
        await self.app(scope, _Body(receive, unpack, most).receive, send)


class _Body:
    """The body of one request, counted as it comes."""

    def __init__(self, receive: Receive, unpack: Unpack | None, most: int) -> None:
        self._receive = receive
        self._unpack = unpack
        self._most = most
        self._sent = self._size = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        piece = message.get("body", b"")
        self._sent += len(piece)
        if self._unpack is None:
            self._count(len(piece))
            return message
        parts = []
        for part in self._unpack(piece, not message.get("more_body", False)):
            self._count(len(part))
            if self._size > _FREE and self._size > RATIO * self._sent:
                raise ApiError(413, f"the body unpacks to more than {RATIO} times its size")
            parts.append(part)
        return {**message, "body": b"".join(parts)}

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._most:
            raise _too_large(self._most)


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most} bytes; send it in parts")


def _unpacker(encoding: bytes) -> Unpack | None:
    if encoding in (b"", b"identity"):
        return None
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        raise ApiError(415, "Content-Encoding: use gzip, deflate or none")
    # 32 more: the window's size, and gzip's or zlib's head recognised by itself (zlib.net/manual.html, inflateInit2).
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def unpack(piece: bytes, last: bool) -> Iterator[bytes]:
        try:
            while piece and not inflater.eof:
                yield inflater.decompress(piece, _PIECE)
                piece = inflater.unconsumed_tail
            if last:
                yield inflater.flush()
        except zlib.error:
            raise ApiError(400, "the body is not what its Content-Encoding says") from None
        if last and not inflater.eof:
            raise ApiError(400, "the body ends before what its Content-Encoding says does")

    return unpack
