"""The ledger of one process, in memory: for tests, and for applications of one process whose limits may be forgotten at its end."""

from __future__ import annotations

import copy
import itertools
import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from .book import Book
from .kept import Kept
from .ledger import LEASE_SECONDS, Alert, Past
from .limit import Definition
from .rows import HELD, LAPSED, Known, Place, Record, Row, Terms

__all__ = ["MemoryLedger"]

_NONE: Final = Terms(0, ())


class MemoryLedger(Kept):
    """Nothing in it waits.

    Args:
        lease_seconds: How long a hold lives without being renewed.
        clock: Nanoseconds of UTC; for tests.
    """

    waits = False

    def __init__(self, *, lease_seconds: float = LEASE_SECONDS, clock: Callable[[], int] = time.time_ns) -> None:
        self.id = f"memory:{uuid.uuid4().hex[:16]}"
        self.lease_seconds = lease_seconds
        self._clock = clock
        self._seen = 0
        self._lock = threading.RLock()
        self._terms: dict[str, Terms] = {}
        self._every: dict[int, tuple[Known, int | None]] = {}
        """All limits there ever were, by number, with when they were deleted."""
        self._rows: dict[tuple[int, str], dict[int, Row]] = {}
        """By account and beginning."""
        self._records: dict[bytes, Record] = {}
        self._due: tuple[deque[tuple[int, bytes]], deque[tuple[int, bytes]]] = (deque(), deque())
        """When which records are looked at: those that run, and all others. Of each the same time is added, so they are sorted."""
        self._past: list[tuple[int, Past]] = []
        self._outbox: dict[str, tuple[Alert, int]] = {}
        """With when it is anybody's to tell."""
        self._alert_ids = itertools.count(1)
        _ledgers.add(self)

    def close(self) -> None:
        """Nothing to let go of."""

    def after_fork(self) -> None:
        """In a child, which counts by itself from here: a thread that is not here may hold the lock."""
        self._lock = threading.RLock()

    def terms(self, application: str) -> Terms:
        """See `book.Shelf`."""
        return self._terms.get(application, _NONE)

    def record(self, event_id: bytes) -> Record | None:
        """See `book.Shelf`."""
        return self._records.get(event_id)

    def row(self, place: Place) -> Row | None:
        """A copy, so that a step that fails changes nothing."""
        account = self._rows.get(place[:2])
        row = None if account is None else account.get(place[2])
        return None if row is None else copy.copy(row)

    def rows(self, number: int, key: str, since_ns: int) -> list[Row]:
        """As `row`."""
        return self._rows_of(number, key, since_ns)

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        with self._lock:
            self._seen = max(self._seen, self._clock())
            yield self._seen

    def _write(self, book: Book) -> None:
        self._put_rows(book.changed.values())
        for account, ended_ns in book.outdated.items():
            rows = self._rows_of(*account)
            self._drop_rows([row.place for row in rows if 0 < row.ends_ns <= ended_ns])
        for event_id, record in book.records.items():
            if record is None:
                self._records.pop(event_id, None)
                continue
            self._records[event_id] = record
            self._due[record.state != HELD].append((record.due_ns, event_id))
        for alert in book.alerts:
            alert_id = f"{next(self._alert_ids)}"
            self._outbox[alert_id] = (alert._replace(alert_id=alert_id), 0)
        self._forget_records()

    def _forget_records(self) -> None:
        for event_id in self._taken_due(1, self._seen):
            del self._records[event_id]

    def lapsing(self, now_ns: int) -> Iterable[bytes]:
        return self._taken_due(0, now_ns)

    def _is_to_sweep(self, now_ns: int) -> bool:
        waiting = self._due[0]
        return bool(waiting) and waiting[0][0] <= now_ns

    def _taken_due(self, which: int, now_ns: int) -> Iterable[bytes]:
        waiting = self._due[which]
        taken: dict[bytes, None] = {}
        while waiting and waiting[0][0] <= now_ns:
            due, event_id = waiting.popleft()
            record = self._records.get(event_id)
            if record is not None and record.due_ns == due:  # else it was settled or renewed since
                taken[event_id] = None
        return taken

    def _running_records(self) -> list[tuple[bytes, Record]]:
        return [(event_id, record) for event_id, record in self._records.items() if record.state in (HELD, LAPSED)]

    def _limits(self, application: str | None = None) -> list[tuple[Known, int | None]]:
        every = self._every.values()
        return [one for one in every if application is None or one[0].definition.application == application]

    def _add_limit(self, definition: Definition) -> Known:
        return self._change_limit(Known(len(self._every) + 1, definition))

    def _change_limit(self, known: Known) -> Known:
        self._every[known.number] = (known, None)
        self._changed(known)
        return known

    def _bury_limit(self, known: Known, now_ns: int) -> None:
        self._every[known.number] = (known, now_ns)
        self._changed(known)

    def _changed(self, known: Known) -> None:
        application = known.definition.application
        there = [one for one, gone in self._limits(application) if gone is None]
        self._terms[application] = Terms(self.terms(application).version + 1, there)

    def _rows_of(self, number: int, key: str | None = None, since_ns: int | None = None) -> list[Row]:
        if key is not None:
            accounts = [self._rows.get((number, key), {})]
        else:
            accounts = [rows for account, rows in self._rows.items() if account[0] == number]
        return [
            copy.copy(row)
            for rows in accounts
            for row in rows.values()
            if since_ns is None or not row.ends_ns or row.ends_ns > since_ns
        ]

    def _put_rows(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._rows.setdefault((row.number, row.key), {})[row.starts_ns] = row

    def _drop_rows(self, places: Iterable[Place]) -> None:
        for number, key, starts in places:
            account = self._rows[number, key]
            del account[starts]
            if not account:
                del self._rows[number, key]

    def _resets(self, number: int) -> list[Past]:
        return [past for limit, past in self._past if limit == number]

    def _add_resets(self, number: int, past: Iterable[Past]) -> None:
        self._past += [(number, one) for one in past]

    def _drop_resets(self, number: int, *, key: str | None = None, before_ns: int | None = None) -> int:
        before = len(self._past)
        self._past = [
            (limit, past)
            for limit, past in self._past
            if limit != number
            or (key is not None and past.totals.key != key)
            or (before_ns is not None and past.closed_ns > before_ns)
        ]
        return before - len(self._past)

    def _take_alerts(self, now_ns: int, until_ns: int) -> list[Alert]:
        free = [alert for alert, leased in self._outbox.values() if leased <= now_ns]
        self._outbox.update((alert.alert_id, (alert, until_ns)) for alert in free)
        return free

    def _drop_alerts(self, alert_ids: Iterable[str]) -> None:
        for alert_id in alert_ids:
            self._outbox.pop(alert_id, None)


_ledgers: weakref.WeakSet[MemoryLedger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
