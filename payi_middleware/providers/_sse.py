"""Server-sent events, found from the end.

A stream of 500 events is never decoded event by event: what tells the usage is near its end, so the bytes are searched
backwards for it and only that line is decoded. The whole stream is taken apart only where a line alone makes no sense
(an event over several `data:` lines, lone carriage returns).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from ._json import BAD, objects

__all__ = ["events", "last_event", "last_with", "line_at", "looks_like_events"]

T = TypeVar("T")

_MOST_TRIES: Final = 8
_STARTS: Final = (b"data:", b"event:", b":", b"id:", b"retry:")


def looks_like_events(body: bytes) -> bool:
    """Whether a body is an event stream rather than JSON."""
    return body.lstrip().startswith(_STARTS)


def line_at(data: bytes, at: int) -> bytes | None:
    """The payload of the `data:` line around `at`."""
    start = data.rfind(b"\n", 0, at) + 1
    if not data.startswith(b"data:", start):
        return None
    end = data.find(b"\n", at)
    return data[start + 5 :] if end < 0 else data[start + 5 : end]


def last_with(data: bytes, key: bytes, decode: Callable[[bytes], T], accept: Callable[[T], object]) -> T | None:
    """The last event in which `key` (with its quotes) holds an object, and that `accept` takes."""
    tries = 0
    for at in objects(data, key):
        tries += 1
        line = line_at(data, at)
        if line is None or tries > _MOST_TRIES:
            break
        try:
            event = decode(line)
        except BAD:
            break
        if accept(event):
            return event
    # Without one, the key and its object may still be parted by a line end of an event over several lines.
    return _patient(data, key, decode, accept) if tries or key in data else None


def _patient(data: bytes, key: bytes, decode: Callable[[bytes], T], accept: Callable[[T], object]) -> T | None:
    for payload in reversed(list(events(data))):
        if key in payload:
            try:
                event = decode(payload)
            except BAD:
                continue
            if accept(event):
                return event
    return None


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
    for line in data.splitlines():
        if line.startswith(b"data:"):
            lines.append(line[5:])
        elif not line and lines:
            yield b"\n".join(lines)
            lines = []
    if lines:
        yield b"\n".join(lines)
