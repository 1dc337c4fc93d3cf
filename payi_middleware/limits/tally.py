"""What the events of a store come to, account by account: what a ledger should have counted. Pure.

Which call counts to which row is told by its limits' states, where it has some, else by the rules of matching. Clocks of
processes and of the ledger differ, so a call near the edge of a window, a reset or the moment of asking may be on either side: a
tally has the least and the most that can be right, and what the events' own times say.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from ..events import CallEvent
from .charges import ended_of, settle_of, waits_for_price
from .dearest import Dearest
from .ledger import STATES, Account, Amount, Definitions, Past, Settle, Totals
from .limit import CALENDAR, Definition, rolling_ns
from .matching import Facts, accounts_of, facts_of, keys_of
from .windows import span

__all__ = ["MARGIN_NS", "Since", "Tally", "since_of", "tallied"]

MARGIN_NS = 3 * 10**9
"""How far clocks may differ, and how long a call's end may take to be counted."""
_SLICES = 60
"""Of a rolling window, at the least: so far is its edge unsharp."""
_REFUSED = ("blocked", "blocked_external")
_LATER = ("ingest", "record")
"""Origins of events that may be told long after they were."""


class Since(NamedTuple):
    """From when on calls count to an account."""

    starts_ns: int
    """Of the window: calls that began from then on. 0 without one."""
    ends_ns: int
    edge_ns: int
    """How far the beginning is unsharp."""
    anew_ns: int
    """When the limit was made, or the account reset: calls that ended from then on."""
    is_reset: bool = False


class Tally:
    """What calls come to in one account."""

    def __init__(self) -> None:
        self.least = self.most = self.spent = 0
        self.input_ticks = self.output_ticks = 0
        self.requests: dict[str, int] = dict.fromkeys(STATES, 0)
        self.is_open = False
        """Whether it holds a call of which nobody knows what it was charged: its process died, or it has no price."""
        self.recent = False
        """Whether calls ended just now, so that what is counted is about to change."""

    def totals(self, key: str, since: Since) -> Totals:
        """As the ledger has them."""
        return Totals(
            key,
            self.spent,
            0,
            self.input_ticks,
            self.output_ticks,
            dict(self.requests),
            since.starts_ns or None,
            since.ends_ns or None,
        )


def since_of(definition: Definition, key: str, history: Iterable[Past], now_ns: int) -> Since:
    """From when on calls count to an account that is running now."""
    limit = definition.limit
    rolling = rolling_ns(limit.window)
    starts, ends, edge = 0, 0, 0
    if rolling is not None:
        starts, ends, edge = now_ns - rolling, now_ns, rolling // _SLICES + MARGIN_NS
    elif limit.window in CALENDAR:
        starts, ends = span(limit.window or "", limit.timezone, now_ns)
        edge = MARGIN_NS
    resets = [past.closed_ns for past in history if past.reset and past.totals.key == key]
    return Since(starts, ends, edge, max([definition.created_ns, *resets]), bool(resets))


def tallied(
    events: Iterable[CallEvent],
    definitions: Definitions,
    since: dict[tuple[str, str], Since],
    ledger: Collection[str],
    now_ns: int,
    dearest: Dearest | None = None,
) -> dict[tuple[str, str], Tally]:
    """What events come to, by limit and key.

    Args:
        events: Of any applications; those of others have other limits.
        definitions: The limits of one application.
        since: By limit and key, for all accounts that are running; another account's is found by its limit and no key.
        ledger: The ids of the one that counts, see `Ledger.names`.
        now_ns: Its clock when it was asked.
        dearest: By which calls without a known price are charged.
    """
    by_id = {definition.limit_id: definition for definition in definitions.limits}
    application = definitions.limits[0].application if definitions.limits else None
    found: dict[tuple[str, str], Tally] = {}
    for event in events:
        if event.application != application or not (event.ledger is None or event.ledger in ledger):
            continue
        if event.ledger is not None and not event.limits:
            continue  # it was counted to nothing: given up before it went out, or its limits were gone
        accounts = _accounts(event, facts_of(event), definitions, by_id)
        step = _step(event, [by_id[one.limit_id] for one in accounts], dearest) if accounts else None
        for limit_id, key in accounts:
            assert step is not None
            bounds = since.get((limit_id, key)) or since[limit_id, ""]
            sure, maybe, by_time = _counts(event, bounds, now_ns)
            if maybe:
                tally = found.setdefault((limit_id, key), Tally())
                _add(tally, event, step, by_id[limit_id], sure=sure, by_time=by_time)
                tally.recent |= event.started_ns + event.duration_ns > now_ns - MARGIN_NS
    return found


def _accounts(event: CallEvent, facts: Facts, definitions: Definitions, by_id: dict[str, Definition]) -> list[Account]:
    """Limits and keys that an event was counted to, or should have been."""
    if event.limits:
        named = [by_id[limit_id] for limit_id in event.limits if limit_id in by_id]
        return [account for definition in named for account in keys_of(definition, facts)]
    return list(accounts_of(definitions, facts))


def _counts(event: CallEvent, since: Since, now_ns: int) -> tuple[bool, bool, bool]:
    """Whether an event counts for sure, whether it may, and whether it does by its own times."""
    began, ended = event.started_ns, event.started_ns + event.duration_ns
    sure = maybe = by_time = True
    if since.starts_ns:
        sure = since.starts_ns + since.edge_ns <= began < since.ends_ns - MARGIN_NS
        maybe = since.starts_ns - since.edge_ns <= began < since.ends_ns + MARGIN_NS
        by_time = since.starts_ns <= began < since.ends_ns
    # That it has states tells that it was counted when the limit was there, if not whether before or after a reset.
    was_there = bool(event.limits) and not since.is_reset
    is_told_later = bool(event.limits) and event.origin in _LATER
    sure = sure and ended >= since.anew_ns + (-MARGIN_NS if was_there else MARGIN_NS) and ended <= now_ns - MARGIN_NS
    maybe = maybe and (ended >= since.anew_ns - MARGIN_NS or was_there or is_told_later) and ended <= now_ns + MARGIN_NS
    return sure, maybe, by_time and maybe and (ended >= since.anew_ns or is_told_later)


def _step(event: CallEvent, charged: list[Definition], dearest: Dearest | None) -> Settle:
    """As whoever counted it made it."""
    ended, price = ended_of(event), None
    if dearest is not None and waits_for_price(ended) and any(one.limit.pays_unknown for one in charged):
        price = dearest.price(event.provider, event.units, event.started_ns)
    return settle_of(ended, (), price)


def _add(tally: Tally, event: CallEvent, step: Settle, definition: Definition, *, sure: bool, by_time: bool) -> None:
    state = event.limits.get(definition.limit_id, "ok")
    if event.outcome == "blocked" or state in _REFUSED:
        if by_time and state in _REFUSED:
            tally.requests[state] += 1
        return
    amount = Amount(step.input_ticks + step.output_ticks, step.tokens).of(definition.limit.unit)
    # The rates by which a call without a price was charged may have been others.
    unpriced = event.cost is None and any(map(any, event.units.values()))
    tally.least += amount if sure and not unpriced else min(0, amount)
    tally.most += amount if sure else max(0, amount)
    tally.is_open |= unpriced or (definition.limit.strict and not step.known)
    if by_time:
        tally.spent += amount
        tally.input_ticks += step.input_ticks
        tally.output_ticks += step.output_ticks
        tally.requests["failed" if step.failed else state] += 1
