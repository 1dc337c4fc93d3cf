"""What the draining thread still does to a record: count its texts, price it, make it a `CallEvent`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from . import health, record
from .costing import conditions, cost_of
from .counting.estimates import BY_LENGTH, NOT_COUNTED, Estimates
from .events import CallEvent
from .pricing import Prices
from .spool import TO_PRICE

__all__ = ["finished"]

_FAULT = "the call could not be priced: a fault of payi-middleware, see its log"


def finished(payloads: Iterable[bytes], prices: Prices, estimates: Estimates | None = None) -> list[CallEvent]:
    """The events of ended records. One that cannot be read is left out and counted: it must not hold up the others."""
    events: list[CallEvent] = []
    payloads = list(payloads)
    if any(payload[:1] == TO_PRICE for payload in payloads):
        prices.load()
    for payload in payloads:
        try:
            event, to_price = record.event_of(payload)
        except Exception:
            health.note("record_unreadable", "a record of the spool cannot be read; it is left out", exc_info=True)
            continue
        try:
            events.append(_priced(event, prices, estimates) if to_price else event)
        except Exception:
            health.note("pricing", "a call could not be priced; it is kept without a cost", exc_info=True)
            events.append(msgspec.structs.replace(event, cost=None, cost_source="none", reason=_FAULT))
    if estimates is not None:
        estimates.study()
    return events


set_field = msgspec.structs.force_setattr


def _priced(event: CallEvent, prices: Prices, estimates: Estimates | None) -> CallEvent:
    units, reason, seen = event.units, event.reason, event.unpriced
    counted = estimates.counted(event.event_id) if estimates is not None else None
    if counted is not None:
        units, how, uncounted = counted
        reason = (reason or "").removesuffix(BY_LENGTH) + how
        seen = (*(entry for entry in seen if not entry.reason.startswith(NOT_COUNTED)), *uncounted)
    costed = cost_of(
        prices,
        event.provider,
        event.resource,
        units,
        event.started_ns,
        tier=event.service_tier,
        price_as=event.attribution.price_as,
        source=event.cost_source,
        seen=seen,
        reason=reason,
        terms=conditions(prices, event.attribution, event.terms),
        parts=event.parts,
    )
    set_field(
        event, "units", units
    )  # it was decoded just now, and nobody else has it: to copy it takes as long as to price it
    set_field(event, "cost", costed.cost)
    set_field(event, "cost_source", costed.source)
    set_field(event, "unpriced", costed.unpriced)
    set_field(event, "reason", costed.reason)
    set_field(event, "price_version", prices.version)
    return event
