"""What became of a file's events, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..events import CallEvent
from .files import Read

__all__ = ["Summary"]

_TOLD = 1_000
"""Complaints that are kept; all are counted."""
_REASONS = 4096
"""Different reasons that are kept apart: model names are in them, and come from a file."""


class Summary:
    """Sums over the events that are new, and what was not taken."""

    def __init__(self) -> None:
        self.stored = 0
        self.already_there = 0
        self.refused = 0
        self.cost_ticks = 0
        self.without_cost = 0
        self.partly_priced = 0
        """Events of whose units some have no rate."""
        self.reasons: Counter[str] = Counter()
        """Why there is no cost, or not the whole."""
        self.errors: list[tuple[Read, str]] = []

    def refuse(self, read: Read, why: str) -> None:
        """Something in the file is no event."""
        self.refused += 1
        if len(self.errors) < _TOLD:
            self.errors.append((read, why))

    def add(self, offered: int, new: Sequence[CallEvent]) -> None:
        """Count events that are stored, of so many that were offered."""
        self.stored += len(new)
        self.already_there += offered - len(new)
        for event in new:
            self._price(event)

    def _price(self, event: CallEvent) -> None:
        if event.cost is None:
            self.without_cost += 1
            self._because(event.reason or "no units were told")
            return
        self.cost_ticks += event.cost.total_ticks
        if event.unpriced:
            self.partly_priced += 1
            self._because(event.unpriced[0].reason)

    def _because(self, reason: str) -> None:
        if reason in self.reasons or len(self.reasons) < _REASONS:
            self.reasons[reason] += 1

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; money as a decimal string."""
        from ..store.sums import money

        return {
            "stored": self.stored,
            "already_there": self.already_there,
            "refused": self.refused,
            "cost": money(self.cost_ticks),
            "without_cost": self.without_cost,
            "partly_priced": self.partly_priced,
            "reasons": [{"reason": reason, "events": number} for reason, number in self.reasons.most_common(100)],
            "errors": [{read.kind: read.number, "message": why} for read, why in self.errors],
        }
