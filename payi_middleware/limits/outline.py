"""The outline of a long JSON body: all but what stands in long strings, so that what it asks for can be read quickly. Pure."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_READ", "outline"]

MAX_READ: Final = 1 << 20
"""Bytes that are read at once, on the application's path, at 1 GB a second; of a longer body its outline is."""

_KEPT: Final = 64
"""Bytes of a string that are kept: more than any name or value that is looked for."""
_MOST_STEPS: Final = 200_000
"""Quotes, and backslashes before them, after which a body is given up: a quarter of a second in a thread that lets others run."""
_BACKSLASH: Final = 0x5C


def outline(body: bytes, most: int) -> bytes | None:
    """The body with the ends of its long strings left out; None if that is longer than `most` bytes, or cannot be told.

    A string that is left out is looked through by one search of the machine's, so 20 MB of pictures take some milliseconds.
    """
    kept: list[bytes] = []
    size = at = 0
    left = _MOST_STEPS
    while left > 0:
        opens = body.find(b'"', at)
        if opens < 0:
            size += len(body) - at
            kept.append(body[at:])
            return b"".join(kept) if size <= most else None
        closes, left = _closing(body, opens + 1, left - 1)
        kept.append(body[at : opens + 1] + _short(body, opens + 1, closes) + b'"')
        size += len(kept[-1])
        if closes < 0 or size > most:
            return None
        at = closes + 1
    return None


def _closing(body: bytes, at: int, left: int) -> tuple[int, int]:
    """(where the string ends whose inside begins at a place, -1 if it does not in so many steps; the steps that are left)"""
    while left > 0 and (end := body.find(b'"', at)) >= 0:
        before = end
        while before > at and left > 0 and body[before - 1] == _BACKSLASH:
            before -= 1
            left -= 1
        left -= 1
        if left >= 0 and (end - before) % 2 == 0:
            return end, left
        at = end + 1
    return -1, 0


def _short(body: bytes, opens: int, closes: int) -> bytes:
    """A string's beginning, as far as nothing in it is escaped, of whole characters."""
    if closes - opens <= _KEPT:
        return body[opens:closes]
    return body[opens : opens + _KEPT].partition(b"\\")[0].decode("utf-8", "ignore").encode()
