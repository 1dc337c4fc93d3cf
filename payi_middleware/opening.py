"""The beginning of a call: for whom it is, which attempt, and its first record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from . import attempts, call, context, health, identify, record
from .attributed import attributed, with_own
from .frames import Activity
from .headers import given_by_headers
from .providers.base import Asked, Provider, Route
from .spool import BEGUN

if TYPE_CHECKING:
    from .exchange import Exchange
    from .metering import Metering

__all__ = ["open_call"]

_NOTHING = Asked()


def open_call(
    meter: Metering,
    provider: Provider,
    route: Route,
    exchange: Exchange,
    outer: call.Call | None = None,
    at_ns: int | None = None,
) -> call.Call:
    """The call of an exchange, for whoever the running context tells; it is on record from here on. May raise.

    Args:
        meter: Whose.
        provider: At whose host.
        route: Where there.
        exchange: What is sent.
        outer: The call that this one takes over.
        at_ns: When it began, if that is not now: of a recorded one.
    """
    # Between an application's own steps the processor has forgotten all of this: what counts is how little there is of it.
    frame = context.frame.get()
    activity = frame if frame is None or isinstance(frame, Activity) else frame.activity
    if activity is None:
        if outer is None and at_ns is None:
            health.count("unattributed")
    elif activity.ended is not None and activity.late:
        health.note("late", "a call began more than 15 minutes after its request ended; it is unattributed")
        frame = activity = None
    elif activity.asks and activity.identity is None:
        identify.ask(activity)
    now = time.time_ns() if at_ns is None else at_ns
    ids = record.ids
    call_id = record.halves(now // 1_000_000 << 16 | ids.high, next(ids.low))  # as `new_id`, without a call
    known = None if frame is None else frame.cached
    if known is not None and activity is not None and activity.face is None and known.version == activity.version:
        who = known  # as `attributed`, without a call
    else:
        who = attributed(frame, call_id)
    if exchange.own_headers:
        who = with_own(who, given_by_headers(exchange.own_headers), activity)
    if meter.pseudonyms is not None:
        who = meter.pseudonyms.of(who)
    group, attempt = call_id, 1
    if exchange.hop is not None:
        group, attempt = exchange.hop
    elif attempts.last.get() is not None:
        group, attempt = attempts.joined(exchange, activity, meter.spool, now) or (call_id, 1)
    # Fields of a named tuple are looked up, each time anew, by the slowest way there is: they are unpacked.
    endpoint, route_model, route_provider = route
    provider = route_provider or provider
    body = exchange.body
    asked = endpoint.ask(body) if body else _NOTHING
    model, streamed = asked
    origin = "track" if activity is None or activity.face is None else activity.face.origin
    begun = record.encode(
        (
            meter.application,
            origin,
            now,
            provider.id,
            provider.category,
            model or route_model,
            endpoint.template,
            streamed,
            attempt,
            group,
            who.attribution_raw,
            who.inbound_raw,
            who.instance,
        )
    )
    started, limits = time.perf_counter_ns(), meter.limits
    hold = None if started < limits.wakes else limits.hold()
    if hold is None:  # else it is on record once its limits let it go out
        meter.spool.append(BEGUN + call_id + begun)
    if activity is not None:
        activity.flying.add(call_id)
    return call.Call(
        meter,
        activity,
        who,
        provider,
        route,
        exchange,
        asked,
        origin,
        call_id,
        group,
        attempt,
        now,
        started,
        msgspec.Raw(begun),
        hold,
        [call.process],
    )
