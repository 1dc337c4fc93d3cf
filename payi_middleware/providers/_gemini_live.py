"""Messages of Gemini's Live API, for an application that hands them in: its web socket is none of HTTP's exchanges.

Each turn of a session ends with a message that tells the tokens of that turn, all of the context included.
"""

from __future__ import annotations

from typing import Final

from . import _gemini
from .base import Reading

__all__ = ["read_message"]

_KEY: Final = b'"usageMetadata"'


def read_message(message: bytes) -> Reading | None:
    """What a message of the server tells, a JSON object as received; None where it tells no usage. Names no model."""
    return _gemini.read(message) if _KEY in message else None
