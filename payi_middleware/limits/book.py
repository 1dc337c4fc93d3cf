"""The rules of a ledger: what a step does to rows and records, and its answer. Pure: it reads from a shelf and writes nothing.

A book lives for one transaction. What it changed is in `changed`, `records` and `alerts` when its steps are done; whoever runs
it writes that, or throws all of it away.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from .ledger import (
    Account,
    Admitted,
    Alert,
    Amount,
    Answer,
    Blocked,
    Crossed,
    Extend,
    Past,
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
_NO_STATES: Final[dict[str, str]] = {}
_WORSE: Final = ("ok", "exceeded", "overrun", "blocked_external", "blocked")


class Shelf(Protocol):
    """Where a book reads. It never gives the same row or record out twice in a transaction; the book remembers."""

    def terms(self, application: str) -> Terms:
        """The limits of an application."""
        ...

    def known(self, number: int) -> Known | None:
        """A limit, also one that is deleted."""
        ...

    def record(self, event_id: bytes) -> Record | None:
        """Of a call; not to be changed."""
        ...

    def row(self, place: Place) -> Row | None:
        """A row, to be changed."""
        ...

    def rows(self, number: int, key: str, since_ns: int) -> Sequence[Row]:
        """An account's rows that end after an instant, to be changed."""
        ...

    def behind(self, number: int, key: str, ended_ns: int, turn: int) -> Iterable[Row]:
        """An account's rows that ended by an instant and have not gone through a turn of their limit."""
        ...

    def lapsing(self, now_ns: int) -> Iterable[bytes]:
        """The events whose leases have ended."""
        ...


_Charged: TypeAlias = "tuple[Known, Row, Sequence[Row] | None, Place]"
"""An account that a step is about: its limit, its row, of a rolling window all slices that count now, and the row's place."""


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
        self.has_turned = False
        """Whether rows among them went through turns of their limits."""
        self.past: list[tuple[int, Past]] = []
        """What rows had come to when their limits were reset, with the limits' numbers; to write."""
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
        charged = self._accounts(terms, step.accounts, self.now_ns)
        record = self._record(step.event_id)
        if record is not None:
            return self._again(record, charged)
        hold = _bounded(step.hold)
        refusing = _refusing(charged, hold)
        if refusing and self.sweep():
            refusing = _refusing(charged, hold)
        if refusing:
            return self._refused(step, charged, refusing)
        if not charged:
            return Admitted(())
        places: list[tuple[Place, int]] = []
        standings: list[Standing] = []
        for one in charged:
            known, row, _, place = one
            row.held += hold[known.at]
            row.most = known.most
            self.changed[place] = row
            places.append((place, known.at))
            standings.append(self._standing(one))
        due = self.now_ns + self._lease
        self._keep(step.event_id, Record(HELD, due, step.application, tuple(places), hold, _NO_STATES))
        return Admitted(tuple(standings))

    def settle(self, step: Settle) -> Settled:
        """Count a call."""
        record = self._record(step.event_id)
        if record is None:
            hold = _NOTHING
            terms = self._shelf.terms(step.application)
            charged = self._accounts(terms, step.accounts, min(max(0, step.at_ns), self.now_ns))
        elif record.state >= SETTLED:
            return Settled(dict(record.states), fresh=False)
        else:
            hold = record.hold
            charged = self._given_back(self._shelf.terms(step.application), record)
        states: dict[str, str] = {}
        crossed: tuple[Crossed, ...] = ()
        for one in charged:
            known = one[0]
            state: str = self._charge(one, step, hold)
            if known.limit_id in states:
                state = _worse(state, states[known.limit_id])
            states[known.limit_id] = state
            if known.alerts:
                crossed += self._crossed(one, step.application)
        if charged or record is not None:
            due = self.now_ns + SETTLED_NS
            self._keep(step.event_id, Record(SETTLED, due, step.application, (), _NOTHING, states))
        return Settled(states.copy(), True, crossed)

    def release(self, step: Release) -> None:
        """Take back what is held for a call, or that it was refused."""
        record = self._record(step.event_id)
        if record is None or record.state == SETTLED:
            return
        if record.state != BLOCKED:
            self._take_back(record)
        self._keep(step.event_id, None)

    def extend(self, step: Extend) -> None:
        """Hold more for a call."""
        record = self._record(step.event_id)
        if record is None or record.state >= SETTLED:
            return
        more = Amount(*map(max, record.hold, _bounded(step.hold)))
        if record.state == HELD:
            self._hold(record, Amount(*map(operator.sub, more, record.hold)))
        changed = Record(record.state, record.due_ns, record.application, record.places, more, _NO_STATES)
        self._keep(step.event_id, changed)

    def renew(self, step: Renew) -> None:
        """Begin leases anew; what no longer counted as held does again."""
        for event_id in step.event_ids:
            record = self._record(event_id)
            if record is None or record.state >= SETTLED:
                continue
            if record.state == LAPSED:
                self._hold(record, record.hold)
            due = self.now_ns + self._lease
            self._keep(event_id, Record(HELD, due, record.application, record.places, record.hold, _NO_STATES))

    def _lapse(self, event_id: bytes) -> bool:
        record = self._record(event_id)
        if record is None or record.state != HELD or record.due_ns > self.now_ns:
            return False
        self._take_back(record)
        due = record.due_ns + SETTLED_NS
        self._keep(event_id, Record(LAPSED, due, record.application, record.places, record.hold, _NO_STATES))
        return True

    def _record(self, event_id: bytes) -> Record | None:
        record = self.records.get(event_id)
        if record is None and event_id not in self.records:
            record = self._shelf.record(event_id)
        return record

    def _keep(self, event_id: bytes, record: Record | None) -> None:
        self.records[event_id] = record

    def _row(self, place: Place) -> Row | None:
        row = self._rows.get(place)
        if row is None:
            row = self._rows[place] = self._shelf.row(place)
        return row

    def _turn(self, known: Known, row: Row) -> None:
        """A row goes through what all rows of its limit have to, when it is looked at first since."""
        self.past += [(known.number, past) for past in known.through(row)]
        self.changed[row.place], self.has_turned = row, True

    def _begun(self, known: Known, place: Place, ends_ns: int) -> Row:
        """A row that nobody has written yet."""
        row = self._rows[place] = Row(*place, ends_ns, turn=known.turn)
        outdated = self.outdated[place[:2]] = known.outdated_at(self.now_ns)
        if known.turns and known.turns[0].at_ns <= outdated + known.rolling:
            # Rows that go by age: what they had come to when they were reset stays.
            for read in self._shelf.behind(*place[:2], outdated, known.turn):
                over = self._rows.get(read.place) or read
                if over.turn < known.turn:
                    self.past += [(known.number, past) for past in known.through(over)]
        return row

    def _accounts(self, terms: Terms, accounts: Sequence[Account], at_ns: int) -> list[_Charged]:
        """Those of limits that are there, with the rows that an instant belongs to, made if need be."""
        found: list[_Charged] = []
        for limit_id, key in accounts if len(accounts) == 1 else dict.fromkeys(accounts):
            known = terms.by_id.get(limit_id)
            if known is None:
                continue
            if not known.starts_ns <= at_ns < known.until_ns:
                known.window_at(at_ns)
            live = self._slices(known, key) if known.rolling else None
            place = (known.number, key, known.starts_ns)
            row = self._rows.get(place) or self._row(place)
            if row is None:
                row = self._begun(known, place, self.now_ns if known.dated else known.ends_ns)
                if live is not None and known.is_live(row, self.now_ns):
                    live.append(row)
            elif row.turn < known.turn:
                self._turn(known, row)
            found.append((known, row, live, place))
        return found

    def _given_back(self, terms: Terms, record: Record) -> list[_Charged]:
        """Take back what a call holds; the accounts in which it was reserved, of limits and accounts that are still there."""
        found: list[_Charged] = []
        is_held, hold = record.state == HELD, record.hold
        for place, at in record.places:
            row = self._rows.get(place) or self._row(place)
            known = terms.numbers.get(place[0])
            if row is not None and (known is None or row.turn < known.turn):
                row = self._standing_row(place)
            if row is not None and is_held:
                row.held -= hold[at]
                self.changed[place] = row
            if known is None:
                continue
            if row is None and known.rolling:  # its slice is out of the window, and went
                row = self._begun(known, place, place[2] + known.slice)
            if row is not None:
                found.append((known, row, self._slices(known, row.key) if known.rolling else None, place))
        return found

    def _standing_row(self, place: Place) -> Row | None:
        """A row as it stands now, also of a limit that is deleted."""
        row = self._rows.get(place) or self._row(place)
        if row is not None:
            known = self._shelf.known(place[0])
            if known is not None and row.turn < known.turn:
                self._turn(known, row)
        return row

    def _slices(self, known: Known, key: str) -> list[Row]:
        """The live rows of a rolling window; each of them is in `_rows` too."""
        account = (known.number, key)
        live = self._live.get(account)
        if live is None:
            live = self._live[account] = []
            for read in self._shelf.rows(known.number, key, self.now_ns - known.rolling):
                row = self._rows.get(read.place)
                if row is None:
                    row = self._rows[read.place] = read
                if row.turn < known.turn:
                    self._turn(known, row)
                if known.is_live(row, self.now_ns):
                    live.append(row)
        return live

    def _hold(self, record: Record, amount: Sequence[int]) -> None:
        """So much more is held for a call."""
        for place, at in record.places:
            row = self._standing_row(place)
            if row is not None:  # else its account was forgotten
                row.held += amount[at]
                self.changed[place] = row

    def _take_back(self, record: Record) -> None:
        if record.state == HELD:
            hold = record.hold
            self._hold(record, (-hold[0], -hold[1], -hold[2]))

    def _refused(self, step: Reserve, charged: Sequence[_Charged], refusing: Sequence[int]) -> Blocked:
        """Count a refusal, in the accounts that refuse and in those that would have had room."""
        states: dict[str, str] = {}
        standings: list[Standing] = []
        for n, one in enumerate(charged):
            known, row, _, place = one
            state: State = "blocked" if n in refusing else "blocked_external"
            setattr(row, state, getattr(row, state) + 1)
            row.most = known.most
            self.changed[place] = row
            states[known.limit_id] = _worse(state, states.get(known.limit_id, state))
            standings.append(self._standing(one, state))
        due = self.now_ns + SETTLED_NS
        self._keep(step.event_id, Record(BLOCKED, due, step.application, (), _NOTHING, states))
        return Blocked(tuple(standings))

    def _again(self, record: Record, charged: Sequence[_Charged]) -> Answer:
        """A call that was asked for before."""
        if record.state != BLOCKED:
            return Admitted(tuple(map(self._standing, charged)))
        told: Any = record.states
        return Blocked(tuple(self._standing(one, told.get(one[0].limit_id, "blocked_external")) for one in charged))

    def _standing(self, one: _Charged, state: State | None = None) -> Standing:
        known, row, live, place = one
        _, key, begun = place
        starts: int | None
        resets: int | None
        if live is None:
            spent, held = row.spent, row.held
            starts, resets = (begun, row.ends_ns) if begun else (None, None)
        else:
            spent, held = _sums(live)
            starts, resets = self._rolled(known, row, live)
        state = state or known.state(spent)
        # Past its own `__new__`, which is a function in Python and half of what this takes.
        return tuple.__new__(
            Standing,
            (known.limit_id, known.name, key, known.type, known.unit, state, known.most, spent, held, starts, resets),
        )

    def _rolled(self, known: Known, row: Row, live: Sequence[Row]) -> tuple[int, int]:
        """When a rolling window began, and when room first returns."""
        first = min((one.ends_ns for one in live if one.spent or one.held), default=row.ends_ns)
        return self.now_ns - known.rolling, first + known.rolling

    def _charge(self, one: _Charged, step: Settle, hold: Amount) -> State:
        """Add the cost to a row; the state that it leaves."""
        if not step.counts:
            return self._correct(one, step)
        known, row, live, place = one
        into, out = step.input_ticks, step.output_ticks
        cost = into + out if known.at == 0 else step.tokens if known.at == 1 else 1
        if known.strict and not step.known:
            cost = max(cost, hold[known.at])
        spent = row.spent = row.spent + cost
        row.input_ticks += into
        row.output_ticks += out
        if spent > _FULL:
            row.spent = _FULL
        if row.input_ticks > _FULL or row.output_ticks > _FULL:
            row.input_ticks, row.output_ticks = min(row.input_ticks, _FULL), min(row.output_ticks, _FULL)
        state = known.state(spent if live is None else _sums(live)[0])
        if state == "ok" and not step.failed:
            row.ok += 1
        else:
            counted = "failed" if step.failed else state
            setattr(row, counted, getattr(row, counted) + 1)
        row.most = known.most
        self.changed[place] = row
        return state

    def _correct(self, one: _Charged, step: Settle) -> State:
        """Add to a row what a call costs otherwise; never to less than nothing, as it would be of what was reset since."""
        known, row, live, place = one
        row.spent = min(max(0, row.spent + (step.input_ticks + step.output_ticks, step.tokens, 0)[known.at]), _FULL)
        row.input_ticks = min(max(0, row.input_ticks + step.input_ticks), _FULL)
        row.output_ticks = min(max(0, row.output_ticks + step.output_ticks), _FULL)
        row.most = known.most
        self.changed[place] = row
        return known.state(row.spent if live is None else _sums(live)[0])

    def _crossed(self, one: _Charged, application: str) -> tuple[Crossed, ...]:
        """The alerts that are due now; told once a window, of a rolling one once in the length of it."""
        known, row, live, _ = one
        rows = (row,) if live is None else live
        spent = _sums(rows)[0]
        told = {share for each in rows for share in each.told}
        starts = (row.starts_ns or None) if live is None else self._rolled(known, row, live)[0]
        crossed: list[Crossed] = []
        for share, amount in known.alerts:
            due = self._is_forecast(known, rows, spent) if share == FORECAST else spent >= amount
            if due and share not in told:
                row.told = (*row.told, share)
                crossed.append(Crossed(known.limit_id, row.key, share, spent, starts))
                self.alerts.append(self._alert(known, application, crossed[-1]))
        return tuple(crossed)

    def _alert(self, known: Known, application: str, crossed: Crossed) -> Alert:
        return Alert(
            "",
            application,
            known.limit_id,
            known.name,
            crossed.key,
            crossed.share,
            known.unit,
            crossed.spent,
            known.most,
            known.definition.limit.window,
            crossed.starts_ns,
            self.now_ns,
        )

    def _is_forecast(self, known: Known, rows: Sequence[Row], spent: int) -> bool:
        """Whether the limit is reached before its window ends if spending goes on as it does; its first tenth tells too little."""
        if known.rolling:
            begun, length = min((row.starts_ns for row in rows if row.spent), default=self.now_ns), known.rolling
        else:
            begun = rows[0].starts_ns
            length = rows[0].ends_ns - begun if begun else 0
        elapsed = self.now_ns - begun
        if spent >= known.most or not length or not length // 10 <= elapsed <= length:
            return False
        return spent * length >= known.most * elapsed


def _bounded(hold: Amount) -> Amount:
    """A hold that no sum of holds makes too large."""
    ticks, tokens, calls = hold
    if 0 <= ticks <= _MOST_HELD and 0 <= tokens <= _MOST_HELD and 0 <= calls <= _MOST_HELD:
        return hold
    return Amount(*(min(max(0, amount), _MOST_HELD) for amount in hold))


def _refusing(charged: Sequence[_Charged], hold: Amount) -> list[int]:
    """Which accounts refuse a call."""
    found: list[int] = []
    for n, (known, row, live, _) in enumerate(charged):
        if known.blocks:
            used = row.spent + row.held if live is None else sum(_sums(live))
            if used + hold[known.at] > known.most if known.strict else used >= known.most:
                found.append(n)
    return found


def _sums(rows: Sequence[Row]) -> tuple[int, int]:
    """What is spent and what is held."""
    return sum(row.spent for row in rows), sum(row.held for row in rows)


def _worse(state: str, other: str) -> str:
    return state if state == other else max(state, other, key=_WORSE.index)


_DOING: Final[dict[type, Callable[[Book, Any], Answer]]] = {
    Reserve: Book.reserve,
    Settle: Book.settle,
    Release: Book.release,
    Extend: Book.extend,
    Renew: Book.renew,
}
