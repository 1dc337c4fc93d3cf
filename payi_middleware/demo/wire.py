"""What all answers of the stand-in share: the words of an answer, and the form of a server-sent event."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["TOOL_ARGUMENTS", "event", "pieces"]

_WORDS = ("This", " is ", "what", " was", " due", " and", " who", " pai", "d it", ", so", " on ")  # one token each

TOOL_ARGUMENTS = '{"city":"Paris"}'
"""What a called tool is called with."""

_encode = msgspec.json.Encoder().encode


def pieces(tokens: int) -> list[str]:
    """An answer of so many tokens, one piece a token."""
    return [_WORDS[i % len(_WORDS)] for i in range(tokens)]


def event(data: dict[str, Any], *, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if name is None else b"event: %b\n" % name.encode()
    return b"%bdata: %b\n\n" % (head, _encode(data))
