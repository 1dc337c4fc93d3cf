"""A ledger whatever it is kept in: what is asked of it besides steps, over the few things that a place to keep rows can do."""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from .. import forks
from .aging import is_history, may_go
from .book import Book
from .ledger import STAGES, TOLD, Account, Alert, Answer, Definitions, Deleted, Held, Past, Step, Totals
from .limit import Definition
from .redefined import changed, check_name, goes_on, last_deleted, nameless, windows_of
from .rows import HELD, OUTBOX_NS, Known, Place, Record, Row, Terms, Turn, held_of, merged, past_of, totals_of

__all__ = ["EVERY", "Follow", "Kept", "Sought"]

_PAGE: Final = 250
"""Rows or accounts that are read in one transaction where all of a limit's are: about two milliseconds."""
_PAUSE: Final = 0.002
"""Seconds between two of these, in which another thread that waits for the ledger has it."""
_FEW: Final = 50
"""Rows that are changed in one transaction where all of a limit's are: one to five milliseconds."""
_WAY: Final = 0.006
"""Seconds between two of these: other processes are not woken, and try for the lock every few milliseconds."""
EVERY: Final = (-1, -1)
"""Of rows, which are looked for by when they end and begin (`Known.counting`)."""

Follow: TypeAlias = Any
"""Where the next page begins, as the ledger that made it reads it; None after the last."""


class Sought(NamedTuple):
    """Which alerts are asked for."""

    application: str | None
    """Whose; None for everybody's."""
    before_ns: int
    stages: Collection[int]
    most: int


class Kept(abc.ABC):
    """Keeps to `ledger.Ledger`. All but the two methods that clocks and closing need run within a transaction."""

    waits: bool
    lease_seconds: float

    @property
    @abc.abstractmethod
    def id(self) -> str:
        """Names the ledger in events."""

    def names(self) -> frozenset[str]:
        """Its id: data that is lost takes the knowledge of its own with it."""
        return frozenset((self.id,))

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in their order, in one transaction."""
        with self._transaction() as now:
            self._look_up(steps)
            book = self._book(now)
            answers = [book.do(step) for step in steps]
            self._write(book)
        return answers

    def applications(self) -> list[str]:
        """Whose limits are kept here, or were."""
        with self._looking():
            return sorted({known.definition.application for known, _ in self._limits()} | self._with_unreadable())

    def definitions(self, application: str) -> Definitions:
        """The limits of an application, in the order in which they were made."""
        with self._looking():
            return self.terms(application).told()

    def deleted(self, application: str) -> list[Deleted]:
        """The limits that an application had, the last deleted first."""
        with self._looking():
            return last_deleted(self._limits(application))

    def define(self, definition: Definition) -> Definition:
        """Keep a new limit, or one of the same id anew.

        Another unit, or another `per`, makes it another limit: what was counted of the old one is history.

        Raises:
            LimitError: Another limit of the application has the name.
        """
        with self._transaction(alone=True) as now:
            terms = self.terms(definition.application)
            check_name(terms, definition)
            for number in terms.giving_way(definition):
                self._bury_limit(number, now)
            before = terms.by_id.get(definition.limit_id)
            if before is None:
                created = definition.created_ns or now  # told where a limit comes from elsewhere
                return self._add_limit(
                    msgspec.structs.replace(definition, created_ns=created, updated_ns=now)
                ).definition
            kept = changed(before.definition, definition, now)
            if kept is before.definition:
                return kept
            if goes_on(before.definition, kept):
                after = Known(before.number, kept, before.turns)
                if windows_of(kept) != windows_of(before.definition):
                    after = after.turned(now, is_reset=False)
                return self._change_limit(after).definition
            self._bury_limit(before.number, now)
            return self._add_limit(kept).definition

    def remove(self, application: str, limit_id: str) -> bool:
        """Delete a limit; its history stays."""
        with self._transaction(alone=True) as now:
            number = self.terms(application).number_of(limit_id)
            if number is not None:
                self._bury_limit(number, now)
            return number is not None

    def reset(self, application: str, limit_id: str, key: str | None = None) -> list[Past]:
        """Begin counting anew, in all accounts or in one.

        All of them in one instant, which is only noted with the limit (`rows.Turn`), so no call waits for that.
        """
        self._end_leases()
        with self._transaction(alone=True) as now:
            known = self.terms(application).by_id.get(limit_id)
            if known is None:
                return []
            if key is not None or not known.definition.limit.per:
                return [self._reset_one(known, key or "", now)]
            known = self._change_limit(known.turned(now, is_reset=True))
        return self._closed_at(known, known.turns[-1])

    def _reset_one(self, known: Known, key: str, now: int) -> Past:
        rows = [row for row in self._there(known, key, known.counting(now)) if known.is_live(row, now)]
        past = Past(totals_of(known, key, rows, now), known.most, now, reset=True)
        self._add_resets(known.number, [past])
        for row in rows:
            row.begin_anew()
        self._put_rows(rows)
        return past

    def _closed_at(self, known: Known, turn: Turn) -> list[Past]:
        """What accounts had come to at a reset of all: some have gone through it meanwhile, and some have not."""
        found: dict[tuple[str, int | None], Past] = {}
        follow: Follow = None
        while True:
            with self._looking():
                page, follow = self._page_of(known.number, known.counting(turn.at_ns), follow, _PAGE)
                told = [past for row in page for past in known.seen(row)[1] if past.closed_ns == turn.at_ns]
            found.update(((past.totals.key, past.totals.starts_ns), past) for past in told)
            if follow is None:
                break
            forks.rest(_PAUSE)
        with self._looking():  # last, as none that went through it since is missing there
            told = self._resets(known.number, turn.at_ns)
        found.update(((past.totals.key, past.totals.starts_ns), past) for past in told)
        return merged(found.values())

    def totals(self, application: str, limit_id: str, key: str | None = None) -> list[Totals]:
        """The running rows of a limit's accounts, or of one; all of the windows that ran when the first were read."""
        self._end_leases()
        found: list[Totals] = []
        known: Known | None = None
        follow: Follow = None
        now = 0
        while True:
            with self._looking() as clock:
                if known is None:
                    known, now = self.terms(application).by_id.get(limit_id), clock
                    if known is None:
                        return []
                running, follow = self._running(known, key, now, follow)
                found += [totals_of(known, *account, now) for account in running.items()]
            if follow is None:
                return found
            forks.rest(_PAUSE)

    def history(self, application: str, limit_id: str) -> list[Past]:
        """The rows that are over, the newest first."""
        with self._looking() as now:
            past: list[Past] = []
            for known, gone in self._called(application, limit_id):
                resets = self._resets(known.number)
                for kept in self._rows_of(known.number):
                    row, closed = known.seen(kept)
                    resets += closed
                    if is_history(known, gone, row, now):
                        past.append(past_of(row, min(row.ends or now, gone or now, now)))
                past += merged(resets)
            return sorted(past, key=lambda one: one.closed_ns, reverse=True)

    def held(self) -> list[Held]:
        """What is held now, lease or not."""
        with self._looking():
            limit_ids = {known.number: known.limit_id for known, _ in self._limits()}
            return [held_of(event_id, record, limit_ids) for event_id, record in self._running_records()]

    def set_spent(self, application: str, account: Account, starts_ns: int | None, totals: Totals) -> None:
        """Correct a row."""
        with self._transaction(alone=True) as now:
            known = self.terms(application).by_id.get(account.limit_id)
            if known is not None:
                rows = self._mended(known, account.key, starts_ns, totals, now)
                for row in rows:
                    row.held = self._held_by(row.place)
                self._put_rows(rows)

    def accounts(self, application: str) -> list[Account]:
        """All accounts that have rows."""
        with self._looking():
            found: set[Account] = set()
            for known, _ in self._limits(application):
                found.update(Account(known.limit_id, row.key) for row in self._rows_of(known.number))
                found.update(Account(known.limit_id, past.totals.key) for past in self._resets(known.number))
            return sorted(found)

    def forget(self, application: str, account: Account) -> int:
        """Delete an account with its history and its alerts; how many rows it had. The calls that it holds know it no more."""
        with self._transaction(alone=True):
            count = 0
            for known, _ in self._called(application, account.limit_id):
                places = [row.place for row in self._rows_of(known.number, account.key)]
                self._drop_rows(places)
                self._drop_account(known.number, account.key)
                count += len(places) + self._drop_resets(known.number, account.key)
            self._drop_alerts_of(application, account.limit_id, account.key)
            return count

    def _drop_account(self, number: int, key: str) -> None:
        """What is kept of an account besides rows: in the records of calls that it holds."""
        for event_id, record in self._running_records():
            left = tuple([one for one in record.places if one[0][:2] != (number, key)])
            if left != record.places:
                self._change_record(event_id, msgspec.structs.replace(record, places=left))

    def erase(self, application: str, limit_id: str) -> None:
        """Delete a limit, or what is kept of one, but for its history, which stays under an id and a name that tell nothing."""
        with self._transaction(alone=True) as now:
            for known, gone in self._called(application, limit_id):
                erased = self._change_limit(Known(known.number, nameless(known.definition), known.turns))
                self._bury_limit(erased.number, now if gone is None else gone)
            self._drop_alerts_of(application, limit_id)

    def prune(self, before_ns: int) -> int:
        """Delete rows that were over by then, and old accounts of instances; how many. In pages, so that no call waits for all."""
        with self._looking() as now:
            numbers, before = [known.number for known, _ in self._limits()], min(before_ns, now)
        return sum(self._pruned(number, before) + self._forgotten(number, before) for number in numbers)

    def _pruned(self, number: int, before: int) -> int:
        count = 0
        follow: Follow = None
        while True:
            with self._transaction(alone=True) as now:
                known, gone = next(one for one in self._limits() if one[0].number == number)
                page, follow = self._page_of(number, EVERY, follow, _FEW)
                over, behind, past = [], [], []
                for row in page:
                    after, closed = known.seen(row)
                    if may_go(known, gone, after, now, before):
                        over.append(after.place)
                    elif closed and closed[0].closed_ns <= before:
                        behind.append(after)
                    else:
                        continue
                    past += closed
                self._put_rows(behind)
                self._drop_rows(over)
                self._add_resets(number, [one for one in past if one.closed_ns > before])
                count += len(over) + sum(one.closed_ns <= before for one in past)
            if follow is None:
                return count
            forks.rest(_WAY)

    def _forgotten(self, number: int, before: int) -> int:
        """Delete what accounts of a limit had come to by then when they were reset; of how many."""
        count = 0
        follow: Follow = None
        while True:
            with self._transaction(alone=True):
                some, follow = self._drop_old_resets(number, before, follow, _FEW)
            count += some
            if follow is None:
                return count
            forks.rest(_WAY)

    def outbox_take(
        self,
        lease_seconds: float,
        application: str | None = None,
        before_ns: int | None = None,
        *,
        stages: Collection[int] = STAGES,
        most: int = 1000,
    ) -> list[Alert]:
        """Alerts that nobody is telling, the oldest first."""
        with self._transaction() as now:
            self._drop_old_alerts(now - OUTBOX_NS)
            sought = Sought(application, now if before_ns is None else before_ns, stages, most)
            found = self._free_alerts(now, sought)
            self._lease_alerts([alert.alert_id for alert in found], now + int(lease_seconds * 10**9))
            return found

    def outbox_told(self, alert_ids: Sequence[str], stage: int = TOLD, lease_seconds: float = 0) -> None:
        """These have come so far, and stay."""
        with self._transaction() as now:
            self._note_alerts(alert_ids, stage, now + int(lease_seconds * 10**9))

    def outbox_done(self, alert_ids: Sequence[str]) -> None:
        """These are told."""
        with self._transaction():
            self._drop_alerts(alert_ids)

    def now_ns(self) -> int:
        """The ledger's clock, UTC."""
        with self._transaction() as now:
            return now

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""

    def _book(self, now: int) -> Book:
        book = Book(self, now, int(self.lease_seconds * 10**9))
        if self._is_to_sweep(now):
            book.sweep()
        return book

    def _end_leases(self) -> None:
        """Have leases end that are over, apart from what is read after: nearly always there are none, and nothing is written."""
        with self._looking() as now:
            is_over = self._is_lease_over(now)
        if is_over:
            self._sweep()

    def _running(self, known: Known, key: str | None, now: int, follow: Follow) -> tuple[dict[str, list[Row]], Follow]:
        """By key the rows that count now, of one account or of a page; none for an account that has none yet, if it is named.

        They are not to be changed.
        """
        running: dict[str, list[Row]] = {}
        if follow is None and (key is not None or not known.definition.limit.per):
            running[key or ""] = []
        if key is None:
            rows, follow = self._page_of(known.number, known.counting(now), follow, _PAGE)
        else:
            rows = self._rows_of(known.number, key, known.counting(now))
        for kept in rows:
            row, _ = known.seen(kept)
            if known.is_live(row, now):
                running.setdefault(row.key, []).append(row)
        return running, follow

    def _there(self, known: Known, key: str, counting: tuple[int, int]) -> list[Row]:
        """Rows of an account as they stand now, to be changed: what they have missed they go through."""
        rows, behind = [], []
        for kept in self._rows_of(known.number, key, counting):
            row, closed = known.seen(kept)
            rows.append(row)
            if row is not kept:
                behind.append(row)
                self._add_resets(known.number, closed)
        self._put_rows(behind)
        return rows

    def _called(self, application: str, limit_id: str) -> list[tuple[Known, int | None]]:
        """All limits that have or had an id, with when they were deleted."""
        return [one for one in self._limits(application) if one[0].limit_id == limit_id]

    def _mended(self, known: Known, key: str, starts_ns: int | None, totals: Totals, now: int) -> list[Row]:
        at = now if known.rolling or starts_ns is None else starts_ns
        starts, ends = known.window_at(at)
        rows = self._there(known, key, known.counting(at))
        row = next((one for one in rows if one.starts_ns == starts), None)
        if row is None:
            row = Row(known.number, key, starts, now if known.dated else ends, turn=known.turn)
        emptied = [one for one in rows if one.starts_ns != starts and known.is_live(one, now)]
        for one in emptied:
            one.begin_anew()
        row.take(totals)
        row.most = known.most
        return [row, *emptied]

    def _held_by(self, place: Place) -> int:
        """What the calls that run hold of a row."""
        return sum(
            record.hold[at]
            for _, record in self._running_records()
            if record.state == HELD
            for held, at in record.places
            if held == place
        )

    @abc.abstractmethod
    def _transaction(self, *, alone: bool = False) -> AbstractContextManager[int]:
        """All or nothing of what is done within; gives the ledger's clock.

        Args:
            alone: Whether no step is done meanwhile, whichever rows it is about.
        """

    def _looking(self) -> AbstractContextManager[int]:
        """The same for what only reads: it keeps nobody else from writing."""
        return self._transaction()

    @abc.abstractmethod
    def _is_lease_over(self, now_ns: int) -> bool:
        """Whether there is a hold whose lease has ended, and that counts still."""

    def _sweep(self) -> None:
        """Have leases end that are over."""
        self.run(())

    @abc.abstractmethod
    def terms(self, application: str) -> Terms:
        """See `book.Shelf`."""

    @abc.abstractmethod
    def known(self, number: int) -> Known | None:
        """See `book.Shelf`."""

    @abc.abstractmethod
    def record(self, event_id: bytes) -> Record | None:
        """See `book.Shelf`."""

    @abc.abstractmethod
    def row(self, place: Place) -> Row | None:
        """See `book.Shelf`."""

    @abc.abstractmethod
    def rows(self, number: int, key: str, since_ns: int) -> list[Row]:
        """See `book.Shelf`."""

    def _look_up(self, steps: Sequence[Step]) -> None:  # noqa: B027 - there may be nothing to gain
        """Read what several steps will ask for, if that is cheaper together."""

    @abc.abstractmethod
    def _write(self, book: Book) -> None:
        """Keep what a book changed, and forget some records whose time has come."""

    @abc.abstractmethod
    def behind(self, number: int, key: str, ended_ns: int, turn: int) -> Iterable[Row]:
        """See `book.Shelf`."""

    @abc.abstractmethod
    def lapsing(self, now_ns: int) -> Iterable[bytes]:
        """See `book.Shelf`."""

    @abc.abstractmethod
    def _is_to_sweep(self, now_ns: int) -> bool:
        """Whether leases that ended are looked for, though no call is refused: from time to time, as it costs."""

    @abc.abstractmethod
    def _running_records(self) -> list[tuple[bytes, Record]]:
        """Calls that are held, lease or not."""

    @abc.abstractmethod
    def _change_record(self, event_id: bytes, record: Record) -> None:
        """Keep the record of a call that is held anew."""

    @abc.abstractmethod
    def _limits(self, application: str | None = None) -> list[tuple[Known, int | None]]:
        """All limits there are and were, with when they were deleted."""

    @abc.abstractmethod
    def _add_limit(self, definition: Definition) -> Known:
        """A new one, under a number of its own."""

    @abc.abstractmethod
    def _change_limit(self, known: Known) -> Known:
        """Keep it anew."""

    @abc.abstractmethod
    def _bury_limit(self, number: int, now_ns: int) -> None:
        """Delete it, but not its rows."""

    def _with_unreadable(self) -> set[str]:
        """The applications that have limits which cannot be read."""
        return set()

    @abc.abstractmethod
    def _rows_of(self, number: int, key: str | None = None, counting: tuple[int, int] = EVERY) -> list[Row]:
        """Of a limit, or of one account; those that may count (`Known.counting`)."""

    @abc.abstractmethod
    def _page_of(self, number: int, counting: tuple[int, int], follow: Follow, most: int) -> tuple[list[Row], Follow]:
        """As `_rows_of`, of about so many accounts as have so many rows, each whole; and where the next page begins."""

    @abc.abstractmethod
    def _put_rows(self, rows: Iterable[Row]) -> None:
        """Keep them."""

    @abc.abstractmethod
    def _drop_rows(self, places: Iterable[Place]) -> None:
        """Delete them."""

    @abc.abstractmethod
    def _resets(self, number: int, closed_ns: int | None = None) -> list[Past]:
        """What accounts of a limit had come to when they were reset, at any time or then; by row, where several had been."""

    @abc.abstractmethod
    def _add_resets(self, number: int, past: Iterable[Past]) -> None:
        """Keep them."""

    @abc.abstractmethod
    def _drop_resets(self, number: int, key: str) -> int:
        """Delete those of an account; how many."""

    @abc.abstractmethod
    def _drop_old_resets(self, number: int, before_ns: int, follow: Follow, most: int) -> tuple[int, Follow]:
        """Look at so many, and delete those that were closed by then; how many, and where the next page begins."""

    @abc.abstractmethod
    def _free_alerts(self, now_ns: int, sought: Sought) -> list[Alert]:
        """Alerts that nobody is telling, the oldest first."""

    @abc.abstractmethod
    def _lease_alerts(self, alert_ids: Iterable[str], until_ns: int) -> None:
        """From now on these are somebody's until then."""

    @abc.abstractmethod
    def _note_alerts(self, alert_ids: Iterable[str], stage: int, until_ns: int) -> None:
        """Note how far they have come, and that they are somebody's until then."""

    @abc.abstractmethod
    def _drop_alerts(self, alert_ids: Iterable[str]) -> None:
        """Delete them."""

    @abc.abstractmethod
    def _drop_alerts_of(self, application: str, limit_id: str, key: str | None = None) -> None:
        """Delete those of a limit, or of one account, whoever is telling them."""

    @abc.abstractmethod
    def _drop_old_alerts(self, until_ns: int) -> None:
        """Delete those that were due by then."""
