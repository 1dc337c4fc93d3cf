"""What an event that is over counts to its limits. Pure."""

from __future__ import annotations

from ..events import CallEvent
from ..pricing.units import is_tokens
from .ledger import Account, Settle

__all__ = ["charge_of", "difference_of", "tokens_of"]


def charge_of(event: CallEvent, accounts: tuple[Account, ...]) -> Settle:
    """The step that counts an event to its accounts."""
    input_ticks, output_ticks = _sides(event)
    return Settle(
        event_id=event.event_id,
        application=event.application,
        accounts=accounts,
        input_ticks=input_ticks,
        output_ticks=output_ticks,
        tokens=tokens_of(event),
        at_ns=event.started_ns,
        failed=event.outcome in ("error", "timeout"),
        known=event.outcome != "unknown",
    )


def difference_of(before: CallEvent, after: CallEvent, step_id: bytes, accounts: tuple[Account, ...]) -> Settle:
    """The step that makes what was counted of an event what it turned out to be; `step_id` is made of both, and no event's."""
    was, now = _sides(before), _sides(after)
    return Settle(
        event_id=step_id,
        application=before.application,
        accounts=accounts,
        input_ticks=now[0] - was[0],
        output_ticks=now[1] - was[1],
        tokens=tokens_of(after) - tokens_of(before),
        at_ns=before.started_ns,
        counts=False,
    )


def tokens_of(event: CallEvent) -> int:
    """The tokens of an event, in and out."""
    return sum(sum(sides) for unit, sides in event.units.items() if is_tokens(unit))


def _sides(event: CallEvent) -> tuple[int, int]:
    return (event.cost.input_ticks, event.cost.output_ticks) if event.cost else (0, 0)
