"""The server side of one HTTP/1.1 connection to the stand-in, and what all of them share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from .question import Question, ask, kind_of
from .replies import Seen, failed, refused, reply

__all__ = ["Connection", "Shared"]

_KEPT = 50_000  # requests remembered
_HEAD_BYTES = 64 * 1024
_BODY_BYTES = 64 * 1024 * 1024
_decode = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Shared:
    """What the connections of one stand-in share; touched by its own thread only, but for reading `seen`."""

    seen: deque[Seen] = field(default_factory=lambda: deque(maxlen=_KEPT))
    once: set[tuple[str, str]] = field(default_factory=set)
    """The `-once` markers that have failed already."""
    open: set[asyncio.Transport] = field(default_factory=set)
    number: int = 0
    """Of the last answer; makes its id."""


class Connection(asyncio.Protocol):
    """Takes requests one after the other; answers each at once, or by a task where it takes time."""

    transport: asyncio.Transport

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._buffer = bytearray()
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._shared.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._shared.open.discard(self.transport)
        if self._answering:
            self._answering.cancel()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """A part of a request, or more than one request."""
        self._buffer += data
        self._take()

    def _take(self) -> None:
        """Answer what has arrived in full, unless an answer is still on its way."""
        while self._answering is None and not self.transport.is_closing():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _HEAD_BYTES:
                    self._refuse(431, "the head of the request is too long")
                return
            request = _head(bytes(self._buffer[:end]))
            length = _body_length(request)
            if length is None:
                self._refuse(411, "the stand-in needs a content-length of at most 64 MB")
                return
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            self._answer(request._replace(body=body))

    def _refuse(self, status: int, message: str) -> None:
        self.transport.write(refused(status, message))
        self.transport.close()

    def _answer(self, request: Seen) -> None:
        shared = self._shared
        shared.seen.append(request)
        shared.number += 1
        if kind_of(request.path) is None or request.method != "POST":
            self.transport.write(failed(request, 404, f"no provider answers {request.method} {request.path}"))
            return
        try:
            question = ask(request.path, _decode(request.body))
            slow, pause = (float(question.markers.get(name) or 0) for name in ("slow", "pause"))
        except (ValueError, TypeError, AttributeError, msgspec.DecodeError) as error:
            self.transport.write(failed(request, 400, f"the request cannot be read: {error}"))
            return
        if status := _failure(question.markers, shared.once):
            parts = [failed(request, status, f"the stand-in was asked to fail with {status}")]
        else:
            parts = reply(request, question, shared.number)
        if len(parts) == 1 and not slow and "cut" not in question.markers:
            self.transport.write(parts[0])
        else:
            self._answering = asyncio.get_running_loop().create_task(self._write(parts, question, slow, pause))

    async def _write(self, parts: list[bytes], question: Question, slow: float, pause: float) -> None:
        """Write part by part, as fast as the client reads, and let others have their turn."""
        await asyncio.sleep(slow)
        for n, part in enumerate(parts):
            self.transport.write(part)
            await self._writable.wait()
            if pause or n % 32 == 31:
                await asyncio.sleep(pause)
        self._answering = None
        if "cut" in question.markers:
            self.transport.close()
        else:
            self._take()


def _head(head: bytes) -> Seen:
    """A request's first line and headers."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    path, _, query = rest.partition(" ")[0].partition("?")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Seen(method, path, query, headers, b"")


def _body_length(request: Seen) -> int | None:
    """None where the request does not tell, or tells too much."""
    told = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers or not told.isdecimal() or int(told) > _BODY_BYTES:
        return None
    return int(told)


def _failure(markers: Mapping[str, str], once: set[tuple[str, str]]) -> int | None:
    """The HTTP status by which the request asks to fail, if it does this time."""
    for marker in markers.items():
        word, _, rest = marker[0].partition("-")
        status, _, when = rest.partition("-")
        if word != "fail" or not status.isdecimal() or not 400 <= int(status) <= 599:
            continue
        if when == "once":
            if marker in once:
                continue
            once.add(marker)
        return int(status)
    return None
