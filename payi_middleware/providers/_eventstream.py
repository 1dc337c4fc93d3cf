"""AWS event streams: binary messages, each with its length and two checksums.

A message is the length of the whole (4 bytes), the length of its headers (4), the CRC-32 of these eight bytes (4), the
headers, the payload and the CRC-32 of all that came before (4), every number big-endian. A header is the length of its
name (1), the name, a type (1) and a value; the names that begin with a colon say what the message is: `:message-type`
(`event`, `exception` or `error`), `:event-type`, `:exception-type`, `:error-code`. Source: the event stream encoding in the
AWS SDK documentation (Amazon Transcribe, "Event stream encoding").

A message whose checksum is wrong is never believed. A stream of which the middle was left out is picked up at the next
beginning of a message, which its first checksum gives away.
"""

from __future__ import annotations

import functools
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["WRONG_CHECKSUM", "Message", "Stream", "backwards", "first", "looks_like_messages"]

WRONG_CHECKSUM: Final = "a message of the event stream has a wrong checksum"

_SMALLEST: Final = 16
_LARGEST: Final = 24 << 20  # AWS allows 16 MB of payload and 128 kB of headers
_HEADERS: Final = 128 << 10
_LONGEST_NAME: Final = 128  # of an event: a name of ours to be, so it is bounded

_prelude: Final = struct.Struct("!III").unpack_from
_STRING: Final = 7
_SIZES: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # of values that do not tell their own length
# Both lengths are small, so each of them begins with a zero byte.
_PRELUDE: Final = re.compile(rb"(?=[\0\1][\0-\xff]{3}\0[\0-\2][\0-\xff]{6})")
_MARKS: Final = (b"\x0b:event-type\x07", b"\x0d:message-type\x07", b"\x0f:exception-type\x07")


class Message(NamedTuple):
    """One message that can be believed."""

    kind: str
    """The type of the event, or of the exception."""
    payload: bytes
    failed: bool = False
    """Whether it is an exception or an error."""


class Stream(NamedTuple):
    """All that can be read of a stream."""

    messages: list[Message]
    whole: bool
    """Whether it ends with the end of a message."""
    fault: str | None
    """What was wrong with it."""

    @property
    def error(self) -> str | None:
        """The type of the exception that ended the stream."""
        return next((message.kind for message in reversed(self.messages) if message.failed), None)

    @classmethod
    def of(cls, head: bytes, tail: bytes = b"") -> Stream:
        """Reads a whole stream, or its head and its tail, the middle left out."""
        messages: list[Message] = []
        whole, fault = _walk(head, messages)
        if tail:
            whole, later = _walk(tail, messages)
            fault = fault or later
        return cls(messages, whole, fault)


def looks_like_messages(data: bytes) -> bool:
    """Whether a body is an event stream rather than JSON."""
    return _length_at(data, 0) is not None


def first(data: bytes) -> Message | None:
    """The first message, if it is whole."""
    length = _length_at(data, 0)
    return None if length is None or length > len(data) else _read(data, 0, length)


def backwards(data: bytes) -> Iterator[Message]:
    """The messages from the last one on, as long as one ends where the next begins; none of a stream that is cut off.

    What tells the usage is near the end, so a stream of 500 messages is never walked for it. It relies on the order in
    which AWS writes the headers, and yields less where that is another one.
    """
    end = len(data)
    while end > 0:
        start = next((at for at in _starts(data, end) if _length_at(data, at) == end - at), None)
        message = None if start is None else _read(data, start, end - start)
        if start is None or message is None:
            return
        yield message
        end = start


def _starts(data: bytes, end: int) -> Iterator[int]:
    """Where the last message before a place may begin, by the header that stands first in it."""
    for mark in _MARKS:
        at = data.rfind(mark, 0, end) - 12
        if at >= 0:
            yield at


def _walk(data: bytes, messages: list[Message]) -> tuple[bool, str | None]:
    """Adds every message; (whether the last one ends with the data, what was wrong)."""
    at = end = 0
    fault = None
    while at < len(data):
        length = _length_at(data, at)
        if length is None:
            at = _next(data, at)
            continue
        if at + length > len(data):
            break
        message = _read(data, at, length)
        if message is None:
            fault = WRONG_CHECKSUM
        else:
            messages.append(message)
        at = end = at + length
    return end == len(data), fault


def _next(data: bytes, at: int) -> int:
    """Where the next message begins, or the end of the data."""
    for found in _PRELUDE.finditer(data, at + 1):
        if _length_at(data, found.start()) is not None:
            return found.start()
    return len(data)


def _length_at(data: bytes, at: int) -> int | None:
    """The length of the message that begins at a place; None where none does."""
    try:
        length, headers, checksum = _prelude(data, at)
    except struct.error:
        return None
    if not _SMALLEST <= length <= _LARGEST or headers > _HEADERS or headers > length - _SMALLEST:
        return None
    return length if zlib.crc32(data[at : at + 8]) == checksum else None


def _read(data: bytes, at: int, length: int) -> Message | None:
    """The message that begins at a place and is whole; None if its checksum is wrong."""
    body = at + length - 4
    if zlib.crc32(data[at:body]) != int.from_bytes(data[body : body + 4]):
        return None
    payload = at + 12 + int.from_bytes(data[at + 4 : at + 8])
    headers = data[at + 12 : payload]
    # Those of a stream's events are all alike; any other may hold a text, which nothing here is to keep.
    kind, failed = _event(headers) if headers.startswith(_MARKS[0]) and len(headers) < 128 else _kind(headers)
    return Message(kind, data[payload:body], failed)


def _kind(headers: bytes) -> tuple[str, bool]:
    """(the type of a message, whether it is an exception or an error)."""
    told = _texts(headers)
    kind = told.get(":event-type") or told.get(":exception-type") or told.get(":error-code") or ""
    return kind[:_LONGEST_NAME], told.get(":message-type") in ("exception", "error")


_event: Final = functools.lru_cache(maxsize=256)(_kind)


def _texts(headers: bytes) -> dict[str, str]:
    """The headers that are texts; what comes behind a header of an unknown type is lost with it."""
    told: dict[str, str] = {}
    at = 0
    while at < len(headers):
        named = at + 1 + headers[at]
        name, kind = headers[at + 1 : named], headers[named : named + 1]
        if not kind:
            break
        at = named + 1
        if kind[0] in _SIZES:
            at += _SIZES[kind[0]]
            continue
        size = int.from_bytes(headers[at : at + 2])
        if kind[0] == _STRING:
            told[name.decode("utf-8", "replace")] = headers[at + 2 : at + 2 + size].decode("utf-8", "replace")
        at += 2 + size
    return told
