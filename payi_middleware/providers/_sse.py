"""Server-sent events, found from the end.

A stream of 500 events is never decoded event by event: what tells the usage is near its end, so the bytes are searched
backwards for it and only that line is decoded. The whole stream is taken apart only where a line alone makes no sense
(an event over several `data:` lines, lone carriage returns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

import msgspec

from ._json import BAD, lenient, objects

__all__ = ["events", "last_event", "last_patiently", "last_with", "line_at", "looks_like_events"]

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_MOST_TRIES: Final = 8
_STARTS: Final = (b"data:", b"event:", b":", b"id:", b"retry:")
_BOM: Final = b"\xef\xbb\xbf"


def looks_like_events(body: bytes) -> bool:
    """Whether a body is an event stream rather than JSON."""
    return body[:64].removeprefix(_BOM).lstrip().startswith(_STARTS)


def line_at(data: bytes, at: int) -> bytes | None:
    """The payload of the `data:` line around `at`."""
    start = data.rfind(b"\n", 0, at) + 1
    if not data.startswith(b"data:", start):
        return None
    end = data.find(b"\n", at)
    return data[start + 5 :] if end < 0 else data[start + 5 : end]


def last_with(data: bytes, key: bytes, decode: Callable[[bytes], T], accept: Callable[[T], object]) -> T | None:
    """The last event in which `key` (with its quotes) holds an object, and that `accept` takes, if its line is whole."""
    for at in islice(objects(data, key), _MOST_TRIES):
        line = line_at(data, at)
        if line is None:
            return None
        try:
            event = decode(line)
        except BAD:
            return None
        if accept(event):
            return event
    return None


def last_patiently(
    data: bytes, key: bytes, kind: type[S], decode: Callable[[bytes], S], accept: Callable[[S], object]
) -> tuple[S | None, str | None]:
    """The same for an event over several lines, or with malformed members, which are left out; and what was wrong.

    (None, None) if the last event with the key is not whole: an earlier one tells less.
    """
    if data.rfind(key) < 0:
        return None, None
    for payload in reversed(list(events(data))):
        if key in payload:
            try:
                event = decode(payload)
            except BAD:
                malformed, wrong = lenient(payload, kind)
                return (None, None) if malformed is None else (malformed, wrong)
            if accept(event):
                return event, None
    return None, None


def last_event(data: bytes, decode: Callable[[bytes], T]) -> T | None:
    """The last event that can be decoded."""
    end = len(data)
    for _ in range(_MOST_TRIES):
        start = data.rfind(b"data:", 0, end)
        if start < 0:
            break
        line = line_at(data, start + 5)
        end = start
        if line is not None:
            try:
                return decode(line)
            except BAD:
                continue
    return None


def events(data: bytes) -> Iterator[bytes]:
    """The payload of every event, the slow and patient way."""
    lines: list[bytes] = []
    for line in data.removeprefix(_BOM).splitlines():
        if line.startswith(b"data:"):
            lines.append(line[5:])
        elif not line and lines:
            yield b"\n".join(lines)
            lines = []
    if lines:
        yield b"\n".join(lines)
