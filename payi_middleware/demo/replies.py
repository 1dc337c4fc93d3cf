"""The bytes of the stand-in's HTTP answers, faults included; pure."""

from __future__ import annotations

import gzip
import http
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from . import answers
from .question import Question, kind_of

__all__ = ["Seen", "failed", "refused", "reply"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Seen(NamedTuple):
    """A request as it reached the provider."""

    method: str
    path: str
    """Without the query."""
    query: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return _decode(self.body)


def reply(request: Seen, question: Question, number: int) -> list[bytes]:
    """The parts of an answer, to be written one after the other."""
    markers = question.markers
    if question.streamed:
        parts = list(_stream(question, answers.events(question, number), sse=_is_sse(request)))
    else:
        body = _encode(answers.body(question, number))
        body = body[: len(body) // 2] if "malformed" in markers else body
        parts = [_whole(200, body, gzipped="gzip" in markers)]
    if "cut" in markers:
        parts = _half(parts)
    if markers.get("split", "").isdecimal():
        parts = _split(b"".join(parts), max(1, int(markers["split"])))
    return parts


def failed(request: Seen, status: int, message: str) -> bytes:
    """An error in the provider's format."""
    # The SDKs prefer the milliseconds, so that a retry in a test or a demo takes no second.
    retry = {"retry-after": "1", "retry-after-ms": "20"} if status in (408, 409, 429) or status >= 500 else {}
    return _whole(status, _encode(answers.error(kind_of(request.path), status, message)), headers=retry)


def refused(status: int, message: str) -> bytes:
    """An error for what is no request to any provider."""
    return _whole(status, _encode(answers.error(None, status, message)), headers={"connection": "close"})


def _is_sse(request: Seen) -> bool:
    """Gemini streams a JSON array unless server-sent events are asked for."""
    return not request.path.endswith(":streamGenerateContent") or "alt=sse" in request.query


def _status_line(status: int) -> str:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:  # Anthropic's 529
        phrase = "Overloaded"
    return f"HTTP/1.1 {status} {phrase}\r\nserver: payi-standin\r\nx-request-id: req_standin\r\n"


def _whole(status: int, body: bytes, *, headers: Mapping[str, str] | None = None, gzipped: bool = False) -> bytes:
    head = _status_line(status) + "content-type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    if gzipped:
        body = gzip.compress(body, mtime=0)
        head += "content-encoding: gzip\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def _stream(question: Question, events: list[bytes], *, sse: bool) -> Iterator[bytes]:
    """A chunked response: head, a chunk for each event, the end."""
    gzipped = "gzip" in question.markers
    kind = "text/event-stream; charset=utf-8" if sse else "application/json"
    encoding = "content-encoding: gzip\r\n" if gzipped else ""
    yield f"{_status_line(200)}content-type: {kind}\r\n{encoding}transfer-encoding: chunked\r\n\r\n".encode()
    if not sse:
        events = _json_array(events)
    if "malformed" in question.markers:
        middle = len(events) // 2
        events[middle] = events[middle][: len(events[middle]) // 2] + b"\n\n"
    for piece in _gzipped(events) if gzipped else events:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _json_array(events: list[bytes]) -> list[bytes]:
    bodies = [event.removeprefix(b"data: ").strip() for event in events]
    return [(b"[" if n == 0 else b",\r\n") + body for n, body in enumerate(bodies)] + [b"]"]


def _gzipped(events: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip stream, flushed after each event, as servers do that compress streams."""
    compressor = zlib.compressobj(wbits=31)
    for event in events:
        yield compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


def _half(parts: list[bytes]) -> list[bytes]:
    """The first half of the parts; of a single one, its head and half of its body."""
    if len(parts) > 1:
        return parts[: len(parts) // 2]
    head, _, body = parts[0].partition(b"\r\n\r\n")
    return [head + b"\r\n\r\n" + body[: len(body) // 2]]


def _split(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]
