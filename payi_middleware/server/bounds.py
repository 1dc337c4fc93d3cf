"""How much may come in: bytes as sent and as unpacked, so that a small body cannot become a large one.

Bodies are unpacked as they are read, in pieces, and the bound is checked on each. A route that reads a stream piece by
piece has a bound of its own.
"""

from __future__ import annotations

import functools
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..body import Decoder, decoder_of
from .errors import Answer, ApiError

__all__ = ["BODY", "LINE", "RATIO", "STREAM", "STREAMED", "Bounds", "encodings"]

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


@functools.cache
def encodings() -> tuple[str, ...]:
    """The content encodings that can be undone here: brotli and zstd if their packages are installed."""
    known = ((name, decoder_of(name)[0]) for name in ("gzip", "deflate", "br", "zstd"))
    return tuple(name for name, decoder in known if decoder is not None and decoder.is_bounded)


class Bounds:
    """ASGI middleware: bounds bodies, and unpacks them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        most = STREAM if scope["path"] in STREAMED else BODY
        try:
            decoder = _decoder(headers.get(b"content-encoding", b"").decode("latin-1"))
            declared = headers.get(b"content-length", b"0")
            if not declared.isdigit() or int(declared) > most:
                raise _too_large(most)
        except ApiError as error:
            await Answer(error.body(), error.status_code)(scope, receive, send)
            return
        await self.app(scope, _Body(receive, decoder, most).receive, send)


class _Body:
    """The body of one request, counted as it comes."""

    def __init__(self, receive: Receive, decoder: Decoder | None, most: int) -> None:
        self._receive = receive
        self._decoder = decoder
        self._most = most
        self._sent = self._size = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        piece = message.get("body", b"")
        self._sent += len(piece)
        if self._sent > self._most:
            raise _too_large(self._most)
        if self._decoder is None:
            return message
        return {**message, "body": self._unpacked(self._decoder, piece, is_last=not message.get("more_body", False))}

    def _unpacked(self, decoder: Decoder, piece: bytes, *, is_last: bool) -> bytes:
        parts = []
        try:
            for part in decoder.pieces(piece):
                self._size += len(part)
                if self._size > self._most:
                    raise _too_large(self._most)
                if self._size > _FREE and self._size > RATIO * self._sent:
                    raise ApiError(413, f"the body unpacks to more than {RATIO} times its size")
                parts.append(part)
        except ApiError:
            raise
        except Exception:  # each package has errors of its own
            raise ApiError(400, "the body is not what its Content-Encoding says") from None
        if is_last and self._sent and not decoder.is_whole:
            raise ApiError(400, "the body ends before what its Content-Encoding says does")
        return b"".join(parts)


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most} bytes; send it in parts")


def _decoder(encoding: str) -> Decoder | None:
    decoder, unknown = decoder_of(encoding or "identity")
    if unknown or (decoder is not None and not decoder.is_bounded):
        raise ApiError(415, f"Content-Encoding: use {', '.join(encodings())} or none")
    return decoder
