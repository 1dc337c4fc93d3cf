"""The rules of a ledger: what a step does to rows and records, and its answer. Pure: it reads from a shelf and writes nothing.

A book lives for one transaction. What it changed is in `changed`, `records` and `alerts` when its steps are done; whoever runs
it writes that, or throws all of it away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from .ledger import (
    Account,
    Admitted,
    Alert,
    Amount,
    Answer,
    Blocked,
    Crossed,
    Extend,
    Release,
    Renew,
    Reserve,
    Settle,
    Settled,
    Stale,
    Standing,
    State,
    Step,
)
from .limit import FORECAST
from .rows import BLOCKED, HELD, LAPSED, SETTLED, SETTLED_NS, Known, Place, Record, Row, Terms

__all__ = ["Book", "Shelf"]

_MOST_HELD: Final = 10**15  # of a call, in any unit: so that what thousands hold stays within 64 bits
_FULL: Final = 2**63 - 1
_NOTHING: Final = Amount(0, 0, 0)
_WORSE: Final = ("ok", "exceeded", "overrun", "blocked_external", "blocked")


class Shelf(Protocol):
    """Where a book reads. It never gives the same row or record out twice in a transaction; the book remembers."""

    def terms(self, application: str) -> Terms:
        """The limits of an application."""

    def record(self, event_id: bytes) -> Record | None:
        """Of a call; not to be changed."""

    def row(self, place: Place) -> Row | None:
        """A row, to be changed."""

    def rows(self, number: int, key: str, since_ns: int) -> Sequence[Row]:
        """An account's rows that end after an instant, to be changed."""

    def lapsing(self, now_ns: int) -> Iterable[bytes]:
        """The events whose leases have ended."""


class _Charged(NamedTuple):
    """An account that a step is about."""

    known: Known
    row: Row
    live: Sequence[Row]
    """The rows that count now: itself, or all slices of a rolling window."""


class Book:
    """Does steps.

    Args:
        shelf: Where rows are read.
        now_ns: The ledger's clock.
        lease_ns: How long a hold lives.
    """

    def __init__(self, shelf: Shelf, now_ns: int, lease_ns: int) -> None:
        self._shelf = shelf
        self.now_ns = now_ns
        self._lease = lease_ns
        self._rows: dict[Place, Row | None] = {}
        self._live: dict[tuple[int, str], list[Row]] = {}
        self.swept = False
        self.changed: dict[Place, Row] = {}
        """Rows to write."""
        self.records: dict[bytes, Record | None] = {}
        """Records to write; None for one to delete."""
        self.alerts: list[Alert] = []
        """To put into the outbox, under ids of the ledger's making."""
        self.outdated: dict[tuple[int, str], int] = {}
        """By account, of which a row was begun: its rows that ended by then may go."""

    def do(self, step: Step) -> Answer:
        """Do a step."""
        return _DOING[type(step)](self, step)

    def sweep(self) -> bool:
        """Take back holds whose leases have ended; whether there were any."""
        if self.swept:
            return False
        self.swept = True
        lapsed = [self._lapse(event_id) for event_id in self._shelf.lapsing(self.now_ns)]
        return any(lapsed)

    def reserve(self, step: Reserve) -> Answer:
        """Admit a call to all of its accounts, or to none."""
        terms = self._shelf.terms(step.application)
        if step.version != terms.version:
            return Stale(terms.version)
        charged = [
            self._charged(known, account.key, self.now_ns) for known, account in _found(terms, step.accounts) if known
        ]
        record = self._record(step.event_id)
        if record is not None:
            return self._again(record, charged)
        hold = Amount(*(min(max(0, amount), _MOST_HELD) for amount in step.hold))
        refusing = [_refuses(one, hold) for one in charged]
        if any(refusing) and self.sweep():
            refusing = [_refuses(one, hold) for one in charged]
        if any(refusing):
            return self._refused(step, charged, refusing)
        for one in charged:
            one.row.held += hold[one.known.at]
            self._change(one)
        if charged:
            places = tuple((one.row.place, one.known.at) for one in charged)
            self.records[step.event_id] = Record(HELD, self.now_ns + self._lease, step.application, places, hold, {})
        return Admitted(tuple(map(self._standing, charged)))

    def settle(self, step: Settle) -> Settled:
        """Count a call."""
        record = self._record(step.event_id)
        if record is not None and record.state in (SETTLED, BLOCKED):
            return Settled(dict(record.states), fresh=False)
        terms = self._shelf.terms(step.application)
        if record is None:
            hold, charged = _NOTHING, self._told(terms, step)
        else:
            self._take_back(record)
            hold, charged = record.hold, self._reserved(terms, record)
        states: dict[str, str] = {}
        crossed: list[Crossed] = []
        for one in charged:
            state = self._charge(one, step, hold)
            states[one.known.limit_id] = max(state, states.get(one.known.limit_id, "ok"), key=_WORSE.index)
            if one.known.alerts:
                crossed += self._crossed(one, step.application)
        if charged or record is not None:
            due = self.now_ns + SETTLED_NS
            self.records[step.event_id] = Record(SETTLED, due, step.application, (), _NOTHING, states)
        return Settled(dict(states), True, tuple(crossed))

    def release(self, step: Release) -> None:
        """Take back what is held for a call."""
        record = self._record(step.event_id)
        if record is not None and record.state in (HELD, LAPSED):
            self._take_back(record)
            self.records[step.event_id] = None

    def extend(self, step: Extend) -> None:
        """Hold more for a call."""
        record = self._record(step.event_id)
        if record is None or record.state not in (HELD, LAPSED):
            return
        more = Amount(*(max(old, min(new, _MOST_HELD)) for old, new in zip(record.hold, step.hold, strict=True)))
        if record.state == HELD:
            self._hold(record, 1, Amount(*(new - old for old, new in zip(record.hold, more, strict=True))))
        self.records[step.event_id] = Record(
            record.state, record.due_ns, record.application, record.places, more, record.states
        )

    def renew(self, step: Renew) -> None:
        """Begin leases anew; what no longer counted as held does again."""
        for event_id in step.event_ids:
            record = self._record(event_id)
            if record is None or record.state not in (HELD, LAPSED):
                continue
            if record.state == LAPSED:
                self._hold(record, 1, record.hold)
            due = self.now_ns + self._lease
            self.records[event_id] = Record(HELD, due, record.application, record.places, record.hold, {})

    def _lapse(self, event_id: bytes) -> bool:
        record = self._record(event_id)
        if record is None or record.state != HELD or record.due_ns > self.now_ns:
            return False
        self._take_back(record)
        due = record.due_ns + SETTLED_NS
        self.records[event_id] = Record(LAPSED, due, record.application, record.places, record.hold, {})
        return True

    def _record(self, event_id: bytes) -> Record | None:
        try:
            return self.records[event_id]
        except KeyError:
            return self._shelf.record(event_id)

    def _row(self, place: Place) -> Row | None:
        try:
            return self._rows[place]
        except KeyError:
            row = self._rows[place] = self._shelf.row(place)
            return row

    def _charged(self, known: Known, key: str, at_ns: int) -> _Charged:
        """An account with the row that an instant belongs to, made if need be."""
        starts, ends = known.window_at(at_ns)
        live = self._slices(known, key) if known.rolling else None
        place = (known.number, key, starts)
        row = self._row(place)
        if row is None:
            row = self._rows[place] = Row(known.number, key, starts, ends)
            self.outdated[known.number, key] = known.outdated_at(self.now_ns)
            if live is not None and known.is_live(row, self.now_ns):
                live.append(row)
        return _Charged(known, row, (row,) if live is None else live)

    def _slices(self, known: Known, key: str) -> list[Row]:
        """The live rows of a rolling window; each of them is in `_rows` too."""
        account = (known.number, key)
        live = self._live.get(account)
        if live is None:
            live = self._live[account] = []
            for read in self._shelf.rows(known.number, key, self.now_ns - known.rolling):
                row = self._rows.setdefault(read.place, read)
                if row is not None and known.is_live(row, self.now_ns):
                    live.append(row)
        return live

    def _change(self, one: _Charged) -> None:
        one.row.most = one.known.most
        self.changed[one.row.place] = one.row

    def _hold(self, record: Record, sign: int, amount: Amount) -> None:
        for place, at in record.places:
            row = self._row(place)
            if row is not None:  # else its account was forgotten
                row.held += sign * amount[at]
                self.changed[place] = row

    def _take_back(self, record: Record) -> None:
        if record.state == HELD:
            self._hold(record, -1, record.hold)

    def _refused(self, step: Reserve, charged: Sequence[_Charged], refusing: Sequence[bool]) -> Blocked:
        states: dict[str, str] = {}
        standings: list[Standing] = []
        for one, refuses in zip(charged, refusing, strict=True):
            state: State = "blocked" if refuses else "blocked_external"
            setattr(one.row, state, getattr(one.row, state) + 1)
            self._change(one)
            limit_id = one.known.limit_id
            states[limit_id] = max(state, states.get(limit_id, state), key=_WORSE.index)
            standings.append(self._standing(one, state))
        due = self.now_ns + SETTLED_NS
        self.records[step.event_id] = Record(BLOCKED, due, step.application, (), _NOTHING, states)
        return Blocked(tuple(standings))

    def _again(self, record: Record, charged: Sequence[_Charged]) -> Answer:
        """A call that was asked for before."""
        if record.state != BLOCKED:
            return Admitted(tuple(map(self._standing, charged)))
        told: Any = record.states
        return Blocked(tuple(self._standing(one, told.get(one.known.limit_id, "blocked_external")) for one in charged))

    def _standing(self, one: _Charged, state: State | None = None) -> Standing:
        known, row, live = one
        spent, held = _sums(live)
        return Standing(
            known.limit_id,
            known.name,
            row.key,
            known.type,
            known.unit,
            state or known.state(spent),
            known.most,
            spent,
            held,
            *self._bounds(known, row, live),
        )

    def _bounds(self, known: Known, row: Row, live: Sequence[Row]) -> tuple[int | None, int | None]:
        """When the window began, and when room returns."""
        if not known.rolling:
            return row.starts_ns or None, row.ends_ns or None
        first = min((one.ends_ns for one in live if one.spent or one.held), default=row.ends_ns)
        return self.now_ns - known.rolling, first + known.rolling

    def _told(self, terms: Terms, step: Settle) -> list[_Charged]:
        """The accounts of a call for which nothing is held."""
        at = min(max(0, step.at_ns), self.now_ns)
        return [self._charged(known, account.key, at) for known, account in _found(terms, step.accounts) if known]

    def _reserved(self, terms: Terms, record: Record) -> list[_Charged]:
        """The accounts in which a call was reserved, of limits and accounts that are still there."""
        found: list[_Charged] = []
        for place, _ in record.places:
            known, row = terms.numbers.get(place[0]), self._row(place)
            if known is None:
                continue
            if row is None and known.rolling:  # its slice is out of the window, and went
                row = self._rows[place] = Row(*place, place[2] + known.slice)
            if row is not None:
                found.append(_Charged(known, row, self._slices(known, row.key) if known.rolling else (row,)))
        return found

    def _charge(self, one: _Charged, step: Settle, hold: Amount) -> State:
        """Add the cost to a row; the state that it leaves."""
        known, row, live = one
        cost = (step.input_ticks + step.output_ticks, step.tokens, int(step.counts))[known.at]
        if known.strict and not step.known:
            cost = max(cost, hold[known.at])
        # Less than nothing is what a correction would make of what was reset since.
        row.spent = max(0, min(row.spent + cost, _FULL))
        row.input_ticks = max(0, min(row.input_ticks + step.input_ticks, _FULL))
        row.output_ticks = max(0, min(row.output_ticks + step.output_ticks, _FULL))
        state = known.state(_sums(live)[0])
        if step.counts:
            counted = "failed" if step.failed else state
            setattr(row, counted, getattr(row, counted) + 1)
        self._change(one)
        return state

    def _crossed(self, one: _Charged, application: str) -> list[Crossed]:
        """The alerts that are due now; told once a window, of a rolling one once in the length of it."""
        known, row, live = one
        spent = _sums(live)[0]
        told = {share for each in live for share in each.told}
        crossed: list[Crossed] = []
        for share, amount in known.alerts:
            due = self._is_forecast(one, spent) if share == FORECAST else spent >= amount
            if not due or share in told:
                continue
            row.told = (*row.told, share)
            starts = self._bounds(known, row, live)[0]
            crossed.append(Crossed(known.limit_id, row.key, share, spent, starts))
            self.alerts.append(
                Alert(
                    "",
                    application,
                    known.limit_id,
                    known.name,
                    row.key,
                    share,
                    known.unit,
                    spent,
                    known.most,
                    known.definition.limit.window,
                    starts,
                    self.now_ns,
                )
            )
        return crossed

    def _is_forecast(self, one: _Charged, spent: int) -> bool:
        """Whether the limit is reached before its window ends if spending goes on as it does; its first tenth tells too little."""
        known, row, live = one
        if known.rolling:
            begun, length = min((each.starts_ns for each in live if each.spent), default=self.now_ns), known.rolling
        else:
            begun, length = row.starts_ns, row.ends_ns - row.starts_ns
        elapsed = self.now_ns - begun
        if spent >= known.most or not length // 10 <= elapsed <= length:
            return False
        return length > 0 and spent * length >= known.most * elapsed


def _found(terms: Terms, accounts: Sequence[Account]) -> list[tuple[Known | None, Account]]:
    return [(terms.by_id.get(account.limit_id), account) for account in dict.fromkeys(accounts)]


def _sums(live: Sequence[Row]) -> tuple[int, int]:
    """What is spent and what is held."""
    if len(live) == 1:
        return live[0].spent, live[0].held
    return sum(row.spent for row in live), sum(row.held for row in live)


def _refuses(one: _Charged, hold: Amount) -> bool:
    known = one.known
    if not known.blocks:
        return False
    spent, held = _sums(one.live)
    return spent + held + hold[known.at] > known.most if known.strict else spent + held >= known.most


_DOING: Final[dict[type, Callable[[Book, Any], Answer]]] = {
    Reserve: Book.reserve,
    Settle: Book.settle,
    Release: Book.release,
    Extend: Book.extend,
    Renew: Book.renew,
}
