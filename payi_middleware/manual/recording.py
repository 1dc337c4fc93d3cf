"""`Meter.record`: one event told from code, attributed as a call would be, priced, and written to the spool.

It does what a `Call` does at its end, so it holds to the same rule: no disk, no wait, and no fault of ours in the
application's way. Only what the application told wrongly raises, before that.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from .. import context, health, identify
from .. import record as records
from ..attributed import attributed, with_own
from ..attribution import NOTHING
from ..costing import Costed, conditions, cost_of, provider_of
from ..events import Attribution, CallEvent, CostSource, Inbound, Outcome, Units, format_id
from ..frames import Activity
from ..once import event_id
from .arguments import Told
from .naming import model_of, plain

if TYPE_CHECKING:
    from ..encoded import Attributed
    from ..metering import Metering

__all__ = ["recorded"]

_inbound_of = msgspec.msgpack.Decoder(Inbound).decode


def recorded(meter: Metering, told: Told) -> str:
    """Keep the event; its id. Never raises."""
    now = time.time_ns()
    own_id = _id_of(meter, told, now)
    try:
        if not meter.disabled and (told.response_id is None or meter.told.is_new(own_id)):
            _keep(meter, told, own_id, now)
    except Exception:
        health.note("record", "an event could not be recorded: a fault of payi-middleware", exc_info=True)
    return format_id(own_id)


def _id_of(meter: Metering, told: Told, now: int) -> bytes:
    """Made of what the provider calls it, where that is told: as the server does, so that both ways count it once."""
    if told.response_id is None:
        return records.new_id(now)
    return event_id(f"{meter.application}\n{told.category}", told.response_id)


def _keep(meter: Metering, told: Told, own_id: bytes, now: int) -> None:
    if meter.cold:
        meter.warm()  # before it is priced, as a request does
    activity, known = _running(told)
    began = now - told.latency_ms * 1_000_000 if told.started_ns is None else told.started_ns
    event, waits = _event(meter, told, own_id, began, activity, known)
    meter.spool.append(records.ended(own_id, event, to_price=waits))
    if activity is None:
        return
    activity.begin_call(own_id)
    known_cost = event.cost is not None and not event.unpriced
    nothing_due = event.cost_source == "none" and event.outcome == "error" and not event.unpriced
    ticks = 0 if event.cost is None else event.cost.total_ticks
    activity.end_call(own_id, ticks, exact=known_cost or nothing_due)


def _running(told: Told) -> tuple[Activity | None, Attributed]:
    """The request or block that runs, and for whom the event is."""
    frame = context.frame.get()
    activity = None if frame is None else frame.activity
    if activity is not None and activity.late:
        health.note("late", "an event was recorded more than 15 minutes after its request ended; it is unattributed")
        frame = activity = None
    if activity is not None:
        identify.ask(activity)
    known = attributed(frame)
    if told.who is not NOTHING:
        known = with_own(known, told.who, activity)
    if known.attribution == Attribution():
        health.count("unattributed")
    return activity, known


def _event(
    meter: Metering, told: Told, own_id: bytes, began: int, activity: Activity | None, known: Attributed
) -> tuple[CallEvent, bool]:
    """The event, and whether it is still to be priced, by the draining thread."""
    provider, model, units = provider_of(told.category), model_of(told.category, told.resource), plain(told.units)
    outcome: Outcome = "ok" if told.http_status is None or told.http_status < 400 else "error"
    waits, costed = _costed(meter, told, provider, model, units, began, known.attribution)
    event = CallEvent(
        event_id=own_id,
        application=meter.application,
        origin="record",
        started_ns=began,
        duration_ns=told.latency_ms * 1_000_000,
        first_byte_ns=None,
        provider=provider,
        category=told.category,
        resource=model,
        requested_resource=told.resource,
        endpoint="",
        service_tier=told.service_tier,
        http_status=told.http_status,
        outcome=outcome,
        error_type=None if outcome == "ok" else f"http_{told.http_status}",
        streamed=False,
        attempt=1,
        call_group=own_id,
        attribution=known.attribution if meter.pseudonyms is None else meter.pseudonyms.named(known.attribution),
        inbound=_inbound_of(known.inbound_raw),
        units=units,
        cost=costed.cost,
        cost_source=costed.source,
        unpriced=costed.unpriced,
        reason=costed.reason,
        price_version=meter.prices.version or None,
        provider_response_id=told.response_id,
        terms=told.terms,
    )
    return event, waits


def _costed(
    meter: Metering, told: Told, provider: str, model: str | None, units: Units, began: int, who: Attribution
) -> tuple[bool, Costed]:
    """(whether the rates are not loaded yet, the cost)."""
    prices, source = meter.prices, _USAGE
    if told.stated_ticks is None:
        if not units:
            failed = told.http_status is not None and told.http_status >= 400
            reason = f"the provider answered {told.http_status}" if failed else "no units were told"
            return False, Costed(None, "none", (), reason)
        if not prices.ready:
            return True, Costed(None, source, (), None)
    return False, cost_of(
        prices,
        provider,
        model,
        units,
        began,
        tier=told.service_tier,
        stated_ticks=told.stated_ticks,
        price_as=who.price_as,
        source=source,
        terms=conditions(prices, who, told.terms),
    )


_USAGE: CostSource = "usage"
