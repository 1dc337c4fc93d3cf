"""Events into the store, each priced and told apart from those that were there, with what its limits are to be charged: in one
transaction. The ledger is told afterwards, see `unsettled.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import msgspec

from ..events import CallEvent, format_id
from ..limits.charges import ended_of, settle_of, waits_for_price
from ..limits.dearest import Dearest
from ..limits.instances import limit_id_of
from ..limits.ledger import Account, Settle
from ..manual.items import Draft, is_use_case
from ..manual.pricing import event_of
from ..pricing import Prices
from ..record import new_id
from ..store.pack import check
from ..store.read import by_ids
from ..store.write import Batch
from .errors import ApiError
from .firsts import counted_once
from .keys import Caller
from .known import Known

__all__ = ["Load", "Outcome", "Settled", "Ways", "Written", "settle"]


class Settled(NamedTuple):
    """What became of an event."""

    event: CallEvent
    duplicate: bool


Outcome: TypeAlias = Settled | ApiError


class Load(NamedTuple):
    """What one request brought."""

    caller: Caller
    events: Sequence[Draft | CallEvent | ApiError]
    """Drafts of Pay-i's shape, events of ours, and what was refused already."""
    upsert: bool = False
    """Whether an event that is there already is corrected."""


class Written(NamedTuple):
    """What a transaction stored."""

    outcomes: list[list[Outcome]]
    """Load by load."""
    steps: list[Settle]
    """What the ledger is to be told of it."""


class Ways(NamedTuple):
    """By what events are priced and counted."""

    prices: Prices
    dearest: Dearest
    ledger: str
    """The id of the one that counts."""


def settle(loads: Sequence[Load], batch: Batch, known: Known, ways: Ways) -> Written:
    """Store what several requests brought. Within a transaction."""
    made: list[list[CallEvent | ApiError]] = [
        [_made(one, load.caller, known, ways.prices) for one in load.events] for load in loads
    ]
    events = [one for some in made for one in some if isinstance(one, CallEvent)]
    fresh = {event.event_id for event in batch.new(events)}
    before = by_ids(batch.connection, list({event.event_id for event in events} - fresh))
    held: dict[bytes, CallEvent] = {}
    new: list[CallEvent] = []
    steps: list[Settle] = []
    outcomes: list[list[Outcome]] = []
    for load, some in zip(loads, made, strict=True):
        told: list[Outcome] = []
        for one in some:
            if isinstance(one, ApiError):
                told.append(one)
            elif one.event_id in fresh:
                fresh.discard(one.event_id)
                if one.parts:
                    one = counted_once(one, partial(known.is_first, load.caller.application, event_id=one.event_id))
                event = held[one.event_id] = _charged(one, known, ways, steps)
                new.append(event)
                told.append(Settled(event, duplicate=False))
            elif one.event_id in held:
                told.append(_twice(held[one.event_id], load.caller))
            else:
                told.append(_known_before(one, before, load, batch, known, ways, steps))
        outcomes.append(told)
    batch.add(new)
    return Written(outcomes, steps)


def _made(one: Draft | CallEvent | ApiError, caller: Caller, known: Known, prices: Prices) -> CallEvent | ApiError:
    """The event, with what this server adds to it; or why not."""
    if isinstance(one, ApiError):
        return one
    try:
        if isinstance(one, Draft):
            _check_limits(one, caller, known)
            placed = _placed(one, caller, known)
            event = event_of(placed, prices, known.prices(caller.application, one.category, one.resource))
        else:
            event = _with_instance(one, caller, known)
        check(event)
    except ApiError as error:
        return error
    except OverflowError:
        return ApiError(400, "its counts, times or cost are more than could be true")
    return event


def _check_limits(draft: Draft, caller: Caller, known: Known) -> None:
    for name in draft.who.limit_ids:
        definition = known.defined.limit(caller.name, name)
        if definition is None and not known.defined.are_known(caller.name):
            raise ApiError(503, "the ledger of the limits cannot be used now", "unexpected_error", retry_after=1)
        if definition is None:
            raise ApiError(400, f"limit_ids: there is no limit {name!r}", "invalid_limit_ids")
        if definition.limit.type == "block" and definition.source != "instance":
            raise ApiError(
                400,
                f"limit_ids: {name!r} is a Block limit, which what is over cannot be held to",
                "blocking_limit_not_allowed",
            )


def _placed(draft: Draft, caller: Caller, known: Known) -> Draft:
    """A draft with the version of its use case, an instance if it names none, and that instance's limit."""
    who = draft.who
    if who.use_case_name is None:
        return draft
    use_case = known.use_case(caller.application, who.use_case_name)
    use_case_id = who.use_case_id or _instance_of(draft)
    limit_ids = who.limit_ids
    if use_case is not None and use_case.limited:
        own = known.limit_of_instance(caller, who.use_case_name, use_case_id)
        limit_ids = _with_own(limit_ids, own, who.use_case_name)
    version = who.use_case_version
    if version is None and use_case is not None:
        version = use_case.type_version
    who = msgspec.structs.replace(who, use_case_id=use_case_id, use_case_version=version, limit_ids=limit_ids)
    return msgspec.structs.replace(draft, who=who)


def _with_instance(event: CallEvent, caller: Caller, known: Known) -> CallEvent:
    """An event of the middleware's with the limit of its instance, unless it was counted elsewhere, or refused.

    Its instance has a row from then on, whoever counts it.
    """
    who = event.attribution
    if not is_use_case(who.use_case_name):
        return event
    use_case = known.use_case(caller.application, who.use_case_name)
    if who.use_case_id is None or use_case is None or not use_case.limited:
        return event
    own = known.limit_of_instance(caller, who.use_case_name, who.use_case_id)
    is_counted = event.ledger is not None or bool(event.limits)
    limit_ids = _with_own(who.limit_ids, own, who.use_case_name)
    if is_counted or limit_ids == who.limit_ids:
        return event
    who = msgspec.structs.replace(who, limit_ids=limit_ids)
    return msgspec.structs.replace(event, attribution=who)


def _with_own(limit_ids: tuple[str, ...], own: str | None, use_case: str) -> tuple[str, ...]:
    """With an instance's own limit, if that has to be named: one of a server before, which made one for each instance."""
    if own is None or own in limit_ids or own == limit_id_of(use_case):
        return limit_ids
    return (*limit_ids, own)


def _instance_of(draft: Draft) -> str:
    """An instance of its own, the same however often the event is sent."""
    return format_id(draft.event_id)


def _charged(event: CallEvent, known: Known, ways: Ways, steps: list[Settle]) -> CallEvent:
    """The event under the name of the ledger that is going to count it; one that was counted elsewhere, or refused, as it is."""
    if event.ledger is not None or event.limits or not (accounts := known.defined.accounts(event)):
        return event
    steps.append(_step(event, accounts, known, ways))
    return msgspec.structs.replace(event, ledger=ways.ledger)


def _step(event: CallEvent, accounts: tuple[Account, ...], known: Known, ways: Ways) -> Settle:
    """What counts an event; one without a known price by the dearest model of its maker."""
    ended, dearest = ended_of(event), None
    if waits_for_price(ended) and known.defined.pays_unknown(event.application, accounts):
        dearest = ways.dearest.price(event.provider, event.units, event.started_ns)
    return settle_of(ended, accounts, dearest)


def _twice(known: CallEvent, caller: Caller) -> Outcome:
    """What is told of an event that is there already."""
    if known.application != caller.name:
        return ApiError(400, "event_id: not one of this application's")
    return Settled(known, duplicate=True)


def _known_before(
    event: CallEvent,
    known_before: dict[bytes, tuple[int, CallEvent]],
    load: Load,
    batch: Batch,
    known: Known,
    ways: Ways,
    steps: list[Settle],
) -> Outcome:
    """The same of one from an earlier transaction; an upsert corrects its cost, and what its limits were charged."""
    number, before = known_before[event.event_id]
    outcome = _twice(before, load.caller)
    if not load.upsert or isinstance(outcome, ApiError):
        return outcome
    if (before.cost, before.unpriced) == (event.cost, event.unpriced):
        return outcome
    after = msgspec.structs.replace(
        before,
        cost=event.cost,
        cost_source=event.cost_source,
        unpriced=event.unpriced,
        reason=event.reason,
        price_version=event.price_version,
    )
    batch.correct([(number, before, after)])
    known_before[event.event_id] = number, after
    accounts = _accounts_before(before, known)
    if accounts:
        steps.append(_difference(*[_step(one, accounts, known, ways) for one in (before, after)]))
    return Settled(after, duplicate=False)


def _difference(was: Settle, now: Settle) -> Settle:
    """The step, under an id of its own, that makes what was counted of an event what it turned out to be."""
    return now._replace(
        event_id=new_id(time.time_ns()),
        input_ticks=now.input_ticks - was.input_ticks,
        output_ticks=now.output_ticks - was.output_ticks,
        tokens=0,  # counts of tokens stay as first told
        counts=False,
    )


def _accounts_before(before: CallEvent, known: Known) -> tuple[Account, ...]:
    """Those that were charged, or are about to be; limits that were made since are not among them."""
    if before.ledger is None:
        return ()
    accounts = known.defined.accounts(before)
    return tuple(one for one in accounts if not before.limits or one.limit_id in before.limits)
