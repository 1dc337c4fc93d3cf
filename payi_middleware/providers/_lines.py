"""JSON lines: an answer of one object a line, the last of which tells the usage (Ollama, Cohere's first API)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ._json import parse

__all__ = ["last_with", "objects"]

_MOST_TRIES: Final = 8


def objects(data: bytes) -> Iterator[dict[str, Any]]:
    """Every whole object; a line that is cut off is left out."""
    for line in data.splitlines():
        value = parse(line) if line.strip() else None
        if isinstance(value, dict):
            yield value


def last_with(data: bytes, key: bytes) -> dict[str, Any] | None:
    """The last line with `key` (with its quotes) in it, if it is whole."""
    end = len(data)
    for _ in range(_MOST_TRIES):
        at = data.rfind(key, 0, end)
        if at < 0:
            return None
        start, stop = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        value = parse(data[start:] if stop < 0 else data[start:stop])
        if isinstance(value, dict):
            return value
        end = start
    return None
