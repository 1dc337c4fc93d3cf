"""Messages of Gemini's Live API, for an application that hands them in: a web socket is no exchange that is seen here.

A session tells the tokens of each turn in a message at its end; the context that was sent again counts again.
"""

from __future__ import annotations

from typing import Final

from . import _gemini
from .base import Reading

__all__ = ["read"]

_KEY: Final = b'"usageMetadata"'


def read(message: bytes, model: str | None = None) -> Reading | None:
    """What a message of the server consumed, by modality.

    Args:
        message: A JSON object, as it was received.
        model: The session's model; no message names it.

    Returns:
        None where the message tells no usage.
    """
    if _KEY not in message:
        return None
    reading = _gemini.read(message)
    return reading if reading.model or not model else reading._replace(model=model.removeprefix("models/"))
