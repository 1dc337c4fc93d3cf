"""A limit as money runs through it: its totals and its state. Pure.

`ok` below the threshold, `exceeded` from the threshold to the maximum, `overrun` above it (Pay-i's words); without a
threshold nothing is `exceeded`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = ["Running", "State", "state_of"]

State: TypeAlias = Literal["ok", "exceeded", "overrun"]


class Running(msgspec.Struct):
    """A limit's row in memory, while a transaction charges it."""

    id: int
    limit_id: str
    limit_type: str
    max_ticks: int
    threshold: float | None
    of_instance: bool
    input_ticks: int
    output_ticks: int
    ok: int
    exceeded: int
    overrun: int
    failed: int

    def charge(self, input_ticks: int, output_ticks: int, *, failed: bool) -> str:
        """Count one request; the state it leaves."""
        self.input_ticks += input_ticks
        self.output_ticks += output_ticks
        state = state_of(self.input_ticks + self.output_ticks, self.max_ticks, self.threshold)
        counted = "failed" if failed else state
        setattr(self, counted, getattr(self, counted) + 1)
        return state

    def changed(self) -> dict[str, Any]:
        """What a charge changes, by column."""
        names = ("input_ticks", "output_ticks", "ok", "exceeded", "overrun", "failed")
        return {name: getattr(self, name) for name in names}


def state_of(spent: int, most: int, threshold: float | None) -> State:
    """The state of a limit of which `spent` ticks are used."""
    if spent > most:
        return "overrun"
    # The threshold as it was written: 0.8 is four fifths, not the nearest binary fraction.
    if threshold is not None and spent >= Fraction(str(threshold)) * most:
        return "exceeded"
    return "ok"
