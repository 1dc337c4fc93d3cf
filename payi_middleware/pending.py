"""What the draining thread still does to a record: count its texts, price it, make it a `CallEvent`."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from . import health, record
from .costing import Costed, conditions, cost_answered, cost_of, is_absurd
from .counting.estimates import BY_LENGTH, IF_CACHED, IF_WRITTEN, NOT_COUNTED, Estimates
from .events import CallEvent, Units
from .pricing import Prices
from .spool import ANSWERED, TO_PRICE

__all__ = ["finished"]

_FAULT = "the call could not be priced: a fault of payi-middleware, see its log"


def finished(payloads: Iterable[bytes], prices: Prices, estimates: Estimates | None = None) -> list[CallEvent]:
    """The events of ended records. One that cannot be read is left out and counted: it must not hold up the others."""
    events: list[CallEvent] = []
    payloads = list(payloads)
    if not prices.ready and any(payload[:1] in (TO_PRICE, ANSWERED) for payload in payloads):
        prices.load()
    for payload in payloads:
        try:
            if payload[:1] == ANSWERED:
                events.append(_answered(payload, prices))
                continue
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


def _answered(payload: bytes, prices: Prices) -> CallEvent:
    """The event of an ordinary answer. Raises if the record cannot be read."""
    answer = record.answered(payload)
    facts, reading = answer.begun, answer.reading
    try:
        costed = cost_answered(prices, facts.provider, facts.started_ns, facts.attribution, reading)
    except Exception:
        health.note("pricing", "a call could not be priced; it is kept without a cost", exc_info=True)
        costed = Costed(None, "none", reading.unpriced, _FAULT)
    if costed.cost is None and is_absurd(costed):
        answer = msgspec.structs.replace(answer, reading=reading._replace(units=None, parts=()))
    return record.event_answered(payload[1:17], answer, costed, prices.version)


_set = msgspec.structs.force_setattr


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
    if reason is not None and reason.endswith((IF_CACHED, IF_WRITTEN)):
        costed = _bounded(costed, event, units, prices)
    # It was decoded just now, and nobody else has it: to copy it takes as long as to price it.
    if costed.cost is None and is_absurd(costed):
        units = {}
        _set(event, "parts", ())
    _set(event, "units", units)
    _set(event, "cost", costed.cost)
    _set(event, "cost_source", costed.source)
    _set(event, "unpriced", costed.unpriced)
    _set(event, "reason", costed.reason)
    _set(event, "price_version", prices.version)
    return event


def _bounded(costed: Costed, event: CallEvent, units: Units, prices: Prices) -> Costed:
    """A cost with how far it is off if all of the prompt was cached; no word of it where that changes nothing."""
    reason, cost = costed.reason or "", costed.cost
    asked, reason = reason.endswith(IF_WRITTEN), reason.removesuffix(IF_WRITTEN).removesuffix(IF_CACHED)
    if cost is None or not cost.total_ticks:
        return costed._replace(reason=reason)
    sent, made = units.get("text", (0, 0))

    def percent(unit: str) -> int:
        """By which the cost is more if the prompt was of a unit, rounded away from 0."""
        told = units | {"text": (0, made), unit: (sent, 0)}
        who, at = event.attribution, event.started_ns
        terms = conditions(prices, who, event.terms)
        other = cost_of(
            prices, event.provider, event.resource, told, at, event.service_tier, price_as=who.price_as, terms=terms
        ).cost
        off = 0 if other is None else other.total_ticks - cost.total_ticks
        return (abs(off) * 100 + cost.total_ticks - 1) // cost.total_ticks * (1 if off > 0 else -1) if off else 0

    less = -percent("text_cache_read")
    more = max(map(percent, _WRITTEN)) if asked else 0
    told = [f"{off} % {which}" for off, which in ((less, "less"), (more, "more")) if off > 0]
    return costed._replace(reason=f"{reason}; up to {' or '.join(told)} if the prompt was cached" if told else reason)


_WRITTEN = ("text_cache_write", "text_cache_write_1h")
