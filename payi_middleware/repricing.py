"""What a recorded call would cost by the rates of now: the same units at the same time, priced anew."""

from __future__ import annotations

from collections import Counter

import msgspec

from .costing import conditions, cost_of
from .events import CallEvent, Side, Unpriced
from .manual.naming import model_of
from .manual.pricing import OWN_RESOURCE
from .pricing import Prices
from .pricing.plan import REQUEST

__all__ = ["repriced"]


def repriced(event: CallEvent, prices: Prices) -> CallEvent | None:
    """The event with the cost that it has by these rates; None if that is the one it has.

    A cost that the provider stated stays, and so does a call of which nothing was counted. So does what a server has from
    elsewhere: by an application's own resource, or from a second telling of the call, which corrected its cost alone.
    """
    if event.cost_source == "provider" or not event.units or _is_from_elsewhere(event):
        return None
    seen = tuple(entry for entry in event.unpriced if not _is_of_rates(entry, prices))
    costed = cost_of(
        prices,
        event.provider,
        model_of(event.category, event.resource or event.requested_resource),
        event.units,
        event.started_ns,
        tier=event.service_tier,
        price_as=event.attribution.price_as,
        source="usage" if event.cost_source == "none" else event.cost_source,
        reason=_kept(event.reason),
        terms=conditions(prices, event.attribution, event.terms),
        parts=event.parts,
    )
    # what was never counted stays, and a doubt of the rates is said anew and not twice
    unpriced = (*(entry for entry in seen if entry not in costed.unpriced), *costed.unpriced)
    if (costed.cost, costed.source, Counter(unpriced)) == (event.cost, event.cost_source, Counter(event.unpriced)):
        return None
    return msgspec.structs.replace(
        event,
        cost=costed.cost,
        cost_source=costed.source,
        unpriced=unpriced,
        reason=costed.reason,
        price_version=prices.version,
    )


def _is_from_elsewhere(event: CallEvent) -> bool:
    """Whether a cost is not what any of our rates would make of the units."""
    told: dict[tuple[str, Side], int] = {}
    for line in () if event.cost is None else event.cost.lines:
        if line.source == OWN_RESOURCE:
            return True
        told[line.unit, line.side] = told.get((line.unit, line.side), 0) + line.quantity
    if event.parts:  # those without a rate have no line, though their units are in the sum
        return False
    return any(quantity != _counted(event, unit, side) for (unit, side), quantity in told.items())


def _counted(event: CallEvent, unit: str, side: Side) -> int:
    """How many of a unit an event has; one of a fee that each request has, unless it tells of them itself."""
    into, out = event.units.get(unit, (1, 0) if unit == REQUEST else (0, 0))
    return into if side == "input" else out


def _is_of_rates(entry: Unpriced, prices: Prices) -> bool:
    """Whether something is unpriced for the want of a rate, which another catalogue may have; else it was never counted."""
    reason = entry.reason
    return reason.startswith(("no rate", "the fee of a request")) or "for a fee" in reason or prices.is_doubt(reason)


def _kept(reason: str | None) -> str | None:
    """Why a cost is missing or an estimate, without what only the rates were the reason of."""
    return None if reason is None or reason.startswith("no rate") else reason
