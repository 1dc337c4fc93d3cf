"""The sink that keeps events in memory, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..events import CallEvent

__all__ = ["MemorySink"]


class MemorySink:
    """Events in the order of their delivery, each once."""

    def __init__(self) -> None:
        self.events: list[CallEvent] = []
        self._seen: set[bytes] = set()

    def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
        """Keep what is new."""
        for event in events:
            if event.event_id not in self._seen:
                self._seen.add(event.event_id)
                self.events.append(event)

    def close(self) -> None:
        """Nothing to let go of."""
