"""The ledger of one process, in memory: for tests, and for applications of one process whose limits may be forgotten at its end."""

from __future__ import annotations

import itertools
import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from .book import Book, Shelf
from .kept import EVERY, Follow, Kept, Sought
from .ledger import LEASE_SECONDS, Alert, Answer, Past, Step
from .limit import Definition
from .rows import HELD, LAPSED, Known, Place, Record, Row, Terms

__all__ = ["MemoryLedger"]

_NONE: Final = Terms(0, ())
_GONE: Final = (None, None)


class MemoryLedger(Kept):
    """Nothing in it waits, and one book does all its steps: what that remembers is what is kept.

    Args:
        lease_seconds: How long a hold lives without being renewed.
        clock: Nanoseconds of UTC; for tests.
    """

    waits = False

    def __init__(self, *, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], int] = time.time_ns) -> None:
        self._id = f"memory:{uuid.uuid4().hex[:16]}"
        self.lease_seconds = lease_seconds
        self._clock = clock
        self._lock = threading.RLock()
        self._terms: dict[str, Terms] = {}
        self._every: dict[int, tuple[Known, int | None]] = {}
        """All limits there ever were, by number, with when they were deleted."""
        self._kept = _MemoryBook(self, 0, int(lease_seconds * 10**9))
        self._past: list[tuple[int, Past]] = []
        self._outbox: dict[str, tuple[Alert, int]] = {}
        """With when it is anybody's to tell."""
        self._alert_ids = itertools.count(1)
        _ledgers.add(self)

    @property
    def id(self) -> str:
        """Its own in all the world: nobody else counts here."""
        return self._id

    def close(self) -> None:
        """Nothing to let go of."""

    def after_fork(self) -> None:
        """In a child, which counts by itself from here: a thread that is not here may hold the lock."""
        self._lock = threading.RLock()

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in their order."""
        with self._lock:
            book = self._kept
            now = self._clock()
            if now > book.now_ns:
                book.now_ns = now
            if book.leases and book.leases[0][0] <= book.now_ns:
                book.sweep()
            answers = [book.do(steps[0])] if len(steps) == 1 else [book.do(step) for step in steps]
            if book.has_news():
                self._write(book)
            return answers

    def terms(self, application: str) -> Terms:
        """See `book.Shelf`."""
        return self._terms.get(application, _NONE)

    def known(self, number: int) -> Known | None:
        """See `book.Shelf`."""
        known, _ = self._every.get(number, _GONE)
        return known

    def record(self, event_id: bytes) -> Record | None:
        """The book has all there are."""
        return None

    def row(self, place: Place) -> Row | None:
        """See `book.Shelf`; asked by the book itself, which has all there are, for nothing."""
        return self._kept.changed.get(place)

    def rows(self, number: int, key: str, since_ns: int) -> list[Row]:
        """See `book.Shelf`."""
        return self._rows_of(number, key, (since_ns, -1))

    def behind(self, number: int, key: str, ended_ns: int, turn: int) -> Iterable[Row]:
        """See `book.Shelf`."""
        return [row for row in self._rows_of(number, key) if 0 < row.ends_ns <= ended_ns and row.turn < turn]

    def lapsing(self, now_ns: int) -> Iterable[bytes]:
        """See `book.Shelf`."""
        return self._kept.due(self._kept.leases)

    @contextmanager
    def _transaction(self, *, alone: bool = False) -> Iterator[int]:
        with self._lock:
            yield self._now()

    def _now(self) -> int:
        book = self._kept
        book.now_ns = max(book.now_ns, self._clock())
        return book.now_ns

    def _book(self, now: int) -> Book:
        book = self._kept
        if book.leases and book.leases[0][0] <= now:
            book.sweep()
        return book

    def _write(self, book: Book) -> None:
        self._past += book.past
        for alert in book.alerts:
            alert_id = f"{next(self._alert_ids)}"
            self._outbox[alert_id] = (alert._replace(alert_id=alert_id), 0)
        for account, ended_ns in book.outdated.items():
            self._drop_rows([row.place for row in self._rows_of(*account) if 0 < row.ends_ns <= ended_ns])
        self._kept.tidy()

    def _is_to_sweep(self, now_ns: int) -> bool:
        return False  # it is looked for each time

    def _is_lease_over(self, now_ns: int) -> bool:
        leases = self._kept.leases
        return bool(leases) and leases[0][0] <= now_ns

    def _running_records(self) -> list[tuple[bytes, Record]]:
        return [one for one in self._kept.kept.items() if one[1].state in (HELD, LAPSED)]

    def _change_record(self, event_id: bytes, record: Record) -> None:
        self._kept.records[event_id] = record

    def _limits(self, application: str | None = None) -> list[tuple[Known, int | None]]:
        every = self._every.values()
        return [one for one in every if application is None or one[0].definition.application == application]

    def _add_limit(self, definition: Definition) -> Known:
        return self._change_limit(Known(len(self._every) + 1, definition))

    def _change_limit(self, known: Known) -> Known:
        self._every[known.number] = (known, None)
        self._changed(known)
        return known

    def _bury_limit(self, number: int, now_ns: int) -> None:
        known, _ = self._every[number]
        self._every[number] = (known, now_ns)
        self._changed(known)

    def _changed(self, known: Known) -> None:
        application = known.definition.application
        there = [one for one, gone in self._limits(application) if gone is None]
        self._terms[application] = Terms(self.terms(application).version + 1, there)

    def _rows_of(self, number: int, key: str | None = None, counting: tuple[int, int] = EVERY) -> list[Row]:
        by_account = self._kept.by_account
        accounts = [account for account in by_account if account[0] == number] if key is None else [(number, key)]
        return [
            row
            for account in accounts
            for row in by_account.get(account, {}).values()
            if row.ends_ns > counting[0] or row.starts_ns == counting[1]
        ]

    def _page_of(self, number: int, counting: tuple[int, int], follow: Follow, most: int) -> tuple[list[Row], Follow]:
        """What follows is the keys that are left of those that there were at first."""
        keys = [key for limit, key in self._kept.by_account if limit == number] if follow is None else follow
        rows = [row for key in keys[:most] for row in self._rows_of(number, key, counting)]
        return rows, keys[most:] or None

    def _put_rows(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._kept.put(row)

    def _drop_rows(self, places: Iterable[Place]) -> None:
        for place in places:
            self._kept.drop(place)

    def _resets(self, number: int, closed_ns: int | None = None) -> list[Past]:
        return [past for limit, past in self._past if limit == number and closed_ns in (None, past.closed_ns)]

    def _add_resets(self, number: int, past: Iterable[Past]) -> None:
        self._past += [(number, one) for one in past]

    def _drop_resets(self, number: int, key: str) -> int:
        before = len(self._past)
        self._past = [(limit, past) for limit, past in self._past if (limit, past.totals.key) != (number, key)]
        return before - len(self._past)

    def _drop_old_resets(self, number: int, before_ns: int, follow: Follow, most: int) -> tuple[int, Follow]:
        before = len(self._past)
        self._past = [(limit, past) for limit, past in self._past if limit != number or past.closed_ns > before_ns]
        return before - len(self._past), None

    def _free_alerts(self, now_ns: int, sought: Sought) -> list[Alert]:
        free = (alert for alert, leased in self._outbox.values() if leased <= now_ns)
        found = (
            alert
            for alert in free
            if sought.application in (None, alert.application)
            and alert.at_ns <= sought.before_ns
            and alert.stage in sought.stages
        )
        return list(itertools.islice(found, sought.most))

    def _lease_alerts(self, alert_ids: Iterable[str], until_ns: int) -> None:
        for alert_id in alert_ids:
            self._outbox[alert_id] = (self._outbox[alert_id][0], until_ns)

    def _note_alerts(self, alert_ids: Iterable[str], stage: int, until_ns: int) -> None:
        for alert_id in alert_ids:
            if alert_id in self._outbox:
                self._outbox[alert_id] = (self._outbox[alert_id][0]._replace(stage=stage), until_ns)

    def _drop_alerts(self, alert_ids: Iterable[str]) -> None:
        for alert_id in alert_ids:
            self._outbox.pop(alert_id, None)

    def _drop_old_alerts(self, until_ns: int) -> None:
        while self._outbox:
            first = next(iter(self._outbox))  # the oldest
            if self._outbox[first][0].at_ns > until_ns:
                return
            del self._outbox[first]

    def _drop_alerts_of(self, application: str, limit_id: str, key: str | None = None) -> None:
        about = (application, limit_id)
        for alert, _ in list(self._outbox.values()):
            if (alert.application, alert.limit_id) == about and key in (None, alert.key):
                del self._outbox[alert.alert_id]


class _MemoryBook(Book):
    """A book that is never written down."""

    def __init__(self, shelf: Shelf, now_ns: int, lease_ns: int) -> None:
        super().__init__(shelf, now_ns, lease_ns)
        self.by_account: dict[tuple[int, str], dict[int, Row]] = {}
        self.leases: deque[tuple[int, bytes]] = deque()
        self._ends: deque[tuple[int, bytes]] = deque()
        """When which records are looked at: those that run, and all others. To each its time is added alike, so they are sorted."""

    def put(self, row: Row) -> None:
        """Keep a row that was not there."""
        self._rows[row.place] = self.changed[row.place] = row
        self.by_account.setdefault(row.place[:2], {})[row.starts_ns] = row

    def drop(self, place: Place) -> None:
        """Delete a row."""
        self._rows.pop(place, None)
        self.changed.pop(place, None)
        rows = self.by_account[place[:2]]
        del rows[place[2]]
        if not rows:
            del self.by_account[place[:2]]

    def tidy(self) -> None:
        """After some steps: forget what was for them alone, and records whose time has come."""
        if self._live:
            self._live.clear()
        if self.past:
            self.past.clear()
        if self.alerts:
            self.alerts.clear()
        if self.outdated:
            self.outdated.clear()
        self.swept = False
        if self._ends and self._ends[0][0] <= self.now_ns:
            for event_id in self.due(self._ends):
                del self.records[event_id]

    def due(self, waiting: deque[tuple[int, bytes]]) -> Iterable[bytes]:
        """The events whose time has come."""
        due: dict[bytes, None] = {}
        while waiting and waiting[0][0] <= self.now_ns:
            at, event_id = waiting.popleft()
            record = self.records.get(event_id)
            if record is not None and record.due_ns == at:  # else it was settled or renewed since
                due[event_id] = None
        return due

    def has_news(self) -> bool:
        """Whether there is something to tidy."""
        if self.swept or self.outdated or self.alerts or self._live or self.past:
            return True
        return bool(self._ends) and self._ends[0][0] <= self.now_ns

    @property
    def kept(self) -> dict[bytes, Record]:
        """All records."""
        return {event_id: record for event_id, record in self.records.items() if record is not None}

    def _record(self, event_id: bytes) -> Record | None:
        return self.records.get(event_id)

    def _keep(self, event_id: bytes, record: Record | None) -> None:
        if record is None:
            self.records.pop(event_id, None)
            return
        self.records[event_id] = record
        (self._ends if record.state else self.leases).append((record.due_ns, event_id))

    def _begun(self, known: Known, place: Place, ends_ns: int) -> Row:
        row = super()._begun(known, place, ends_ns)
        self.put(row)
        return row


_ledgers: weakref.WeakSet[MemoryLedger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
