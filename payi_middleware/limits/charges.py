"""What a call that ended is charged to its limits: from its event, so that whoever settles it comes to the same."""

from __future__ import annotations

from typing import NamedTuple

from ..events import CallEvent, Cost, Outcome, Units
from ..pricing.units import is_tokens
from .ledger import Account, Settle

__all__ = ["Ended", "ended_of", "settle_of", "tokens_of", "waits_for_price"]


class Ended(NamedTuple):
    """Of an event what a settle needs."""

    event_id: bytes
    application: str
    started_ns: int
    outcome: Outcome
    http_status: int | None
    units: Units
    cost: Cost | None


def ended_of(event: CallEvent) -> Ended:
    """Of an event."""
    return Ended(
        event.event_id,
        event.application,
        event.started_ns,
        event.outcome,
        event.http_status,
        event.units,
        event.cost,
    )


def tokens_of(units: Units) -> int:
    """The tokens of a call, both ways."""
    return sum(sides[0] + sides[1] for unit, sides in units.items() if is_tokens(unit))


def waits_for_price(ended: Ended) -> bool:
    """Whether it consumed something and nobody knows what that costs."""
    return ended.cost is None and any(map(any, ended.units.values()))


def settle_of(ended: Ended, accounts: tuple[Account, ...], dearest: tuple[int, int] | None = None) -> Settle:
    """The step that counts a call.

    Args:
        ended: The call.
        accounts: Whose they are.
        dearest: Input and output ticks by the dearest model of the maker, where the call's own price is not known.
    """
    cost = ended.cost
    input_ticks, output_ticks = dearest or (0, 0)
    if cost is not None:
        input_ticks, output_ticks = cost.input_ticks, cost.output_ticks
    return Settle(
        ended.event_id,
        ended.application,
        accounts,
        input_ticks,
        output_ticks,
        tokens_of(ended.units),
        ended.started_ns,
        failed=ended.http_status is not None and ended.http_status >= 400,
        known=ended.outcome != "unknown",
    )
