"""Finding the events that a server refuses where it refuses a request as a whole: by halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..store.deliveries import Rejected
from .remote_errors import BodyRefused, Unsendable

__all__ = ["Encoded", "by_halves", "unsendable"]

Encoded: TypeAlias = tuple[int, bytes]
"""An event's place in its batch, and what is sent of it."""


def by_halves(post: Callable[[list[Encoded]], list[Rejected]], events: list[Encoded]) -> list[Rejected]:
    """Send events, in their order; what is refused even alone is returned. What is sent twice is dropped by its id there.

    Args:
        post: Sends some, and returns what was refused; raises `BodyRefused` if that is all or cannot be told.
        events: What to send.
    """
    if not events:
        return []
    try:
        return post(events)
    except BodyRefused as error:
        if len(events) == 1:
            return [Rejected(events[0][0], error.status, error.code, error.message)]
    half = len(events) // 2
    return by_halves(post, events[:half]) + by_halves(post, events[half:])


def unsendable(index: int, error: Exception) -> Rejected:
    """An event of which nothing could be made to send. An exception that is not our own may quote values: it is only named."""
    why = str(error) if isinstance(error, Unsendable) else type(error).__name__
    return Rejected(index, 0, "unsendable", why)
