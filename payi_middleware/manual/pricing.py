"""What ingested units cost: by the application's own dated prices, else by the rates that calls of ours are priced by."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import NamedTuple

from ..costing import Costed, conditions, cost_of, provider_of
from ..events import CallEvent, Inbound, Line, Side, Units, Unpriced
from ..pricing import Prices, cost_of_lines
from .items import Draft
from .naming import model_of, plain, unmarked

__all__ = ["OWN_RESOURCE", "Price", "event_of", "unknown_units"]

OWN_RESOURCE = "own resource"
"""The source of a line that an application's own resource has priced."""

_NO_INBOUND = Inbound()


class Price(NamedTuple):
    """One version of a resource of an application's own."""

    resource_id: str
    start_ns: int
    units: dict[str, dict[str, str | None]]
    """Unit -> `input_price` and `output_price`, USD for a single unit as decimal strings."""

    def rate(self, unit: str, side: Side) -> str | None:
        """USD for a single unit under that very name; None if it has no price."""
        return self.units.get(unit, {}).get(f"{side}_price")


def event_of(draft: Draft, prices: Prices, own: tuple[Price, ...]) -> CallEvent:
    """The event of a draft, priced; `own` are the versions of its resource, the latest first."""
    units = plain(draft.units)
    provider = provider_of(draft.category)
    if own:
        units, costed, version = _by_own(own, draft)
    elif not units:
        costed, version = Costed(None, "none", (), None if draft.error_type else "no units were told"), None
    else:
        costed = cost_of(
            prices,
            provider,
            model_of(draft.category, draft.resource),
            units,
            draft.started_ns,
            terms=conditions(prices, draft.who, ()),
        )
        version = prices.version
    return CallEvent(
        event_id=draft.event_id,
        application=draft.application,
        origin="ingest",
        started_ns=draft.started_ns,
        duration_ns=draft.duration_ns,
        first_byte_ns=draft.first_byte_ns,
        provider=provider,
        category=draft.category,
        resource=draft.resource,
        requested_resource=draft.resource,
        endpoint="",
        service_tier=None,
        http_status=draft.http_status,
        outcome="ok" if draft.error_type is None else "error",
        error_type=draft.error_type,
        streamed=draft.first_byte_ns is not None,
        attempt=1,
        call_group=draft.event_id,
        attribution=draft.who,
        inbound=_NO_INBOUND,
        units=units,
        cost=costed.cost,
        cost_source=costed.source,
        unpriced=costed.unpriced,
        reason=costed.reason,
        price_version=version,
        provider_response_id=draft.response_id,
    )


def unknown_units(event: CallEvent) -> Units:
    """The units of an event that its cost leaves out."""
    priced = {(line.unit, line.side) for line in event.cost.lines} if event.cost else set()
    unknown: Units = {}
    for unit, (taken, made) in event.units.items():
        left = (0 if (unit, "input") in priced else taken, 0 if (unit, "output") in priced else made)
        if any(left):
            unknown[unit] = left
    return unknown


def _by_own(versions: tuple[Price, ...], draft: Draft) -> tuple[Units, Costed, str | None]:
    """(units, cost, version) by the version that holds at the event's time.

    Units of a long prompt keep their names where it has a price for them, as Pay-i's own versions do.
    """
    price = next((one for one in versions if one.start_ns <= draft.started_ns), None)
    if price is None:
        why = f"no price of {draft.category}/{draft.resource} holds on {_day(draft.started_ns)}"
        return plain(draft.units), Costed(None, "none", (), why), None
    kept = {unit for unit, both in draft.units.items() if any(price.rate(unit, side) for side, _ in _sides(both))}
    units = plain(draft.units, kept)
    return units, _own_cost(units, price, draft), price.resource_id


def _own_cost(units: Units, price: Price, draft: Draft) -> Costed:
    """What units cost by a version; a side of a long prompt without a price costs what one of a short prompt does."""
    lines: list[Line] = []
    unpriced: list[Unpriced] = []
    since = _day(price.start_ns)
    for unit, both in units.items():
        for side, quantity in _sides(both):
            rate = price.rate(unit, side) or price.rate(unmarked(unit), side)
            if rate is None:
                unpriced.append(Unpriced(unit, quantity, f"no {side} price for {unit} of {draft.resource}"))
            else:
                lines.append(Line(unit, side, quantity, format(Decimal(rate), "f"), 1, OWN_RESOURCE, since))
    if not lines:
        reason = f"no price for any unit of {draft.resource}" if units else "no units were told"
        return Costed(None, "none", tuple(unpriced), None if draft.error_type else reason)
    return Costed(cost_of_lines(lines), "usage", tuple(unpriced), None)


def _sides(both: tuple[int, int]) -> list[tuple[Side, int]]:
    sides: list[tuple[Side, int]] = []
    if both[0]:
        sides.append(("input", both[0]))
    if both[1]:
        sides.append(("output", both[1]))
    return sides


def _day(ns: int) -> str:
    return datetime.datetime.fromtimestamp(ns // 10**9, datetime.UTC).date().isoformat()
