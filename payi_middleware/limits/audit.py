"""A ledger held against the events of a store, and what its accounts hold against the calls that run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..events import CallEvent
from .dearest import Dearest
from .ledger import Account, Held, Ledger, Past, Totals
from .limit import CALENDAR, Definition
from .tally import MARGIN_NS, Since, Tally, since_of, tallied

__all__ = ["Checked", "Events", "audit", "mend"]

Events = Callable[[int | None], Iterable[CallEvent]]
"""The events that began from a time on (nanoseconds; None for all), as a store has them."""


class Checked(NamedTuple):
    """One account, as it is counted and as it should be."""

    definition: Definition
    counted: Totals
    tally: Tally
    since: Since
    held: tuple[int, int]
    """The least and the most that calls which run can hold of it."""
    is_pruned: bool
    """Whether events that count to it are no longer in the store: then what is spent is not compared."""

    @property
    def place(self) -> tuple[str, str]:
        """Limit and key."""
        return self.definition.limit_id, self.counted.key

    @property
    def spent_differs(self) -> bool:
        """Whether what is spent cannot be what its events come to."""
        if self.is_pruned:
            return False
        tally = self.tally
        return self.counted.spent < tally.least or (self.counted.spent > tally.most and not tally.is_open)

    @property
    def held_differs(self) -> bool:
        """Whether it holds what no call that runs holds, or lacks what one does."""
        return not self.held[0] <= self.counted.held <= self.held[1]

    @property
    def differs(self) -> bool:
        """Whether something is wrong."""
        return self.spent_differs or self.held_differs

    @property
    def is_quiet(self) -> bool:
        """Whether no call of it runs or ended just now, so that it can be mended without losing one."""
        return not self.tally.recent and not self.held[1]


def audit(
    ledger: Ledger,
    application: str,
    events: Sequence[Events],
    *,
    limit_id: str | None = None,
    kept_since_ns: int | None = None,
    dearest: Dearest | None = None,
) -> list[Checked]:
    """The accounts of an application's limits, those that differ first.

    Args:
        ledger: Where they are counted.
        application: Whose limits.
        events: The store's, as costs are corrected now, and as they were recorded: each may be what was counted.
        limit_id: Only this limit.
        kept_since_ns: From when on the store has all events; None for all.
        dearest: By which calls without a known price are charged.
    """
    definitions = ledger.definitions(application)
    wanted = [one for one in definitions.limits if limit_id in (None, one.limit_id)]
    if not wanted:
        return []
    before = ledger.held()
    now = ledger.now_ns()
    counted = {one.limit_id: ledger.totals(application, one.limit_id) for one in wanted}
    after = ledger.held()
    since = _sinces(ledger, wanted, counted, now)
    first, names = _first(wanted, since), ledger.names()
    checked: dict[tuple[str, str], Checked] = {}
    for source in events:
        tallies = tallied(source(first), definitions, _all(since, definitions.limits), names, now, dearest)
        for one in _checked(wanted, counted, since, tallies, (before, after), now, kept_since_ns):
            checked[one.place] = _better(checked.get(one.place, one), one)
        if not any(one.spent_differs for one in checked.values()):
            break
    return sorted(checked.values(), key=lambda one: not one.differs)


def mend(ledger: Ledger, checked: Checked) -> bool:
    """Set an account right; False if calls run that this would lose, or its window is over: then it has to be looked at again."""
    definition, counted, since = checked.definition, checked.counted, checked.since
    now = ledger.totals(definition.application, definition.limit_id, counted.key)
    is_over = definition.limit.window in CALENDAR and since.ends_ns <= ledger.now_ns()
    if is_over or not checked.is_quiet or any(one.spent != counted.spent for one in now):
        return False
    totals = checked.tally.totals(counted.key, since) if checked.spent_differs else counted
    account = Account(definition.limit_id, counted.key)
    # In the window of which its calls were added up, though the next may have begun since this was looked at.
    ledger.set_spent(definition.application, account, counted.starts_ns or since.starts_ns or None, totals)
    return True


def _better(one: Checked, other: Checked) -> Checked:
    return other if one.spent_differs and not other.spent_differs else one


def _sinces(
    ledger: Ledger, definitions: Sequence[Definition], counted: dict[str, list[Totals]], now: int
) -> dict[tuple[str, str], Since]:
    found: dict[tuple[str, str], Since] = {}
    for definition in definitions:
        limit_id = definition.limit_id
        resets: dict[str, list[Past]] = {}
        for past in ledger.history(definition.application, limit_id):
            if past.reset:
                resets.setdefault(past.totals.key, []).append(past)
        for key in {"", *resets, *(totals.key for totals in counted[limit_id])}:
            found[limit_id, key] = since_of(definition, key, resets.get(key, ()), now)
    return found


def _all(since: dict[tuple[str, str], Since], limits: Iterable[Definition]) -> dict[tuple[str, str], Since]:
    """Also of limits that are not asked for: nothing counts to them."""
    never = Since(0, 0, 0, 1 << 62)
    return {(one.limit_id, ""): never for one in limits} | since


def _first(wanted: Iterable[Definition], since: dict[tuple[str, str], Since]) -> int | None:
    """The time from which events are needed; all, if one counts without a window: it may have been told of old ones."""
    if any(not one.limit.window for one in wanted):
        return None
    return min(one.starts_ns - one.edge_ns for one in since.values())


def _checked(
    wanted: Sequence[Definition],
    counted: dict[str, list[Totals]],
    since: dict[tuple[str, str], Since],
    tallies: dict[tuple[str, str], Tally],
    held: tuple[list[Held], list[Held]],
    now: int,
    kept_since_ns: int | None,
) -> list[Checked]:
    checked: list[Checked] = []
    holding = _by_account(held[0]), _by_account(held[1])
    for definition in wanted:
        limit_id = definition.limit_id
        running = {totals.key: totals for totals in counted[limit_id]}
        lost = sorted(key for limit, key in tallies if limit == limit_id and key not in running)
        for totals in [*running.values(), *(_nothing(key) for key in lost)]:
            place = (limit_id, totals.key)
            bounds = since.get(place) or since[limit_id, ""]
            is_pruned = kept_since_ns is not None and max(bounds.starts_ns, bounds.anew_ns) < kept_since_ns
            account = Account(*place)
            holds = _holds([some.get(account, ()) for some in holding], definition, bounds, now)
            checked.append(Checked(definition, totals, tallies.get(place, Tally()), bounds, holds, is_pruned))
    return checked


def _nothing(key: str) -> Totals:
    return Totals(key, 0, 0, 0, 0, {}, None, None)


def _by_account(held: Iterable[Held]) -> dict[Account, list[Held]]:
    found: dict[Account, list[Held]] = {}
    for one in held:
        for account in set(one.accounts):
            found.setdefault(account, []).append(one)
    return found


def _holds(held: Sequence[Sequence[Held]], definition: Definition, since: Since, now: int) -> tuple[int, int]:
    """What calls hold of an account: those that ran before and after it was asked, and those that ran at either time."""
    unit = definition.limit.unit
    sides: list[dict[bytes, int]] = []
    edges: set[bytes] = set()
    for some in held:
        amounts: dict[bytes, int] = {}
        for one in some:
            if one.application != definition.application or one.lease_ns <= now - MARGIN_NS:
                continue
            amounts[one.event_id] = one.hold.of(unit)
            began = int.from_bytes(one.event_id[:6], "big") * 1_000_000  # of a UUIDv7
            if one.lease_ns <= now + MARGIN_NS or began < since.starts_ns + since.edge_ns:
                edges.add(one.event_id)  # its lease is about to end, or it may hold of the window before
        sides.append(amounts)
    before, after = sides
    least = sum(amount for event, amount in before.items() if event in after and event not in edges)
    most = sum({**before, **after}.values())
    return least, most
