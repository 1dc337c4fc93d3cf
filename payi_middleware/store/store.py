"""The store as one object: opened, written, asked, closed."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .. import forks
from ..exceptions import StoreError
from ..settings import Settings
from ..store_url import FORMS, SQLITE, is_postgresql, shown_store
from . import deliveries, sqlite
from .connection import Connection
from .corrections import walk
from .database import Database
from .fold import EVERY, MOST_KEYS
from .keeping import count
from .on_sqlite import OnSQLite
from .patience import BUSY_TIMEOUT
from .processes import Process, processes
from .read import by_ids, latest, of_request, oldest_first
from .report import Report, failures, report
from .tending import tend
from .write import Batch, Writer

if TYPE_CHECKING:
    from ..events import CallEvent

__all__ = ["Store", "exists", "open_store", "schema_version"]

T = TypeVar("T")

_LOOKED = 60.0  # seconds between two looks at whether there is something to tend
_TENDED = 10  # how many times as long as it took others have the lock


def open_store(
    store: str | Settings,
    *,
    create: bool,
    timeout: float = BUSY_TIMEOUT,
    fold_every: int = EVERY,
    most_keys: int = MOST_KEYS,
) -> Store:
    """Open the store.

    Args:
        store: Its URL (`sqlite:///payi.db`), or settings that name it.
        create: Open for writing, made if missing and brought up to date if old; else for reading only.
        timeout: Seconds to wait for a lock of another process.
        fold_every: Events after which rollups are brought up to date.
        most_keys: Values of one dimension that rollups tell apart in a day; the rest is counted as `(other)`.

    Raises:
        StoreError: It cannot be opened, or (without `create`) is not there; the message names the cure.
    """
    settings = store if isinstance(store, Settings) else Settings(store=store)
    return Store(_database(settings, create, timeout), fold_every=fold_every, most_keys=most_keys)


def _database(settings: Settings, create: bool, timeout: float) -> Database:
    """The database that the settings name, of which alone the code is loaded."""
    if is_postgresql(settings.store):
        with forks.loading():
            from .on_postgresql import OnPostgreSQL

        return OnPostgreSQL(settings.store, create=create, timeout=timeout)
    if not settings.store.startswith(SQLITE):
        raise StoreError(f"{shown_store(settings.store)!r} is not a store; use {FORMS}")
    return OnSQLite(settings.store_path, create=create, timeout=timeout)


def exists(settings: Settings) -> bool:
    """Whether there is a store, outside of memory.

    Raises:
        StoreError: Nobody can tell; the message names the cure.
    """
    if is_postgresql(settings.store):
        from .on_postgresql import exists_at

        return exists_at(settings.store)
    return settings.store_path is not None and settings.store_path.exists()


def schema_version(settings: Settings) -> int:
    """The version of the schema of a store that is kept.

    Raises:
        StoreError: There is none, or it is another program's; the message names the cure.
    """
    if is_postgresql(settings.store):
        from .on_postgresql import schema_version_at

        return schema_version_at(settings.store)
    assert settings.store_path is not None
    return sqlite.schema_version(settings.store_path)


class Store:
    """An open store. Any thread may use it, one at a time; a forked child opens its own."""

    def __init__(self, database: Database, *, fold_every: int, most_keys: int) -> None:
        self.database = database
        self.most_keys = most_keys
        self._connection = database.connection
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._tend_from = 0.0
        self._writer = Writer(database, fold_every=fold_every, most_keys=most_keys)

    @property
    def path(self) -> Path | None:
        """The store's file, if it is one."""
        return self.database.path

    def write(self, events: Sequence[CallEvent], health: dict[str, Any] | None = None, *, uncounted: int = 0) -> int:
        """Store the events that are new, and this process's health; how many were new.

        `uncounted` are those that the process wrote before without its health.

        Raises:
            StoreError: Nothing was written; the message names the cure.
        """
        with self._lock, self.database.translated():
            return self._writer.write(events, health, uncounted=uncounted)

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch]:
        """One transaction, for who writes more than events; see `Writer.batch`.

        Raises:
            StoreError: Nothing was written; the message names the cure.
        """
        with self._lock, self.database.translated(), self._writer.batch() as batch:
            yield batch

    def processes(self) -> list[Process]:
        """The processes that wrote, the last seen first."""
        return self._ask(lambda: processes(self._connection))

    def report(
        self,
        by: Sequence[str],
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        timezone: str = "UTC",
        as_recorded: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> Report:
        """Calls that began in [since, until), grouped by members of `query.BY`; dearest first, days in their order.

        Costs are those of the last correction, if there is one, unless `as_recorded`. `limit` rows from the one of number
        `offset` on, which is much quicker than all where there are many.
        """
        more: dict[str, Any] = {"as_recorded": as_recorded, "limit": limit, "offset": offset}
        return self._ask(lambda: report(self._connection, tuple(by), since_ns, until_ns, timezone, **more))

    def failures(
        self,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        timezone: str = "UTC",
        as_recorded: bool = False,
        limit: int | None = None,
        offset: int = 0,
    ) -> Report:
        """What failed or was tried again, by kind, with the money it took."""
        more: dict[str, Any] = {"as_recorded": as_recorded, "limit": limit, "offset": offset}
        return self._ask(lambda: failures(self._connection, since_ns, until_ns, timezone, **more))

    def walk(
        self, since_ns: int | None = None, until_ns: int | None = None, size: int = 1000
    ) -> Iterator[list[tuple[int, CallEvent]]]:
        """The events that began in [since, until) with their numbers here, `size` at a time, to be corrected."""
        with self.database.translated():
            yield from walk(self._connection, since_ns, until_ns, size)

    def correct(self, changed: Sequence[tuple[int, CallEvent, CallEvent]]) -> set[int]:
        """Write corrections of costs: (number here, the event as it was read, as it shall be), all or none.

        The numbers of those that were corrected: not of events whose cost somebody else corrected since, or that are gone.

        Raises:
            StoreError: Nothing was written; the message names the cure.
        """
        with self._lock, self.database.translated():
            return self._writer.correct(changed)

    def last(self) -> int:
        """The number of the newest event."""
        return self._ask(lambda: deliveries.last(self._connection))

    def undelivered(
        self, place: deliveries.Place, upto: int, size: int, looked: int = 0, *, again: bool = True
    ) -> deliveries.Batch | None:
        """What another place is to get next, of the events up to a number; see `deliveries.undelivered`."""
        return self._ask(lambda: deliveries.undelivered(self._connection, place, upto, size, looked, again=again))

    def delivered(
        self, place: deliveries.Place, batch: deliveries.Batch, rejected: Sequence[deliveries.Rejected]
    ) -> None:
        """Another place has a batch, but for what it refused, which is set aside.

        Raises:
            StoreError: Nothing was written; the message names the cure.
        """
        with self._lock, self.database.translated():
            self._writer.delivered(place, batch, rejected)

    def expect(self, place: deliveries.Place) -> None:
        """Another place is to get events: none is pruned before it has them, although it has taken none yet.

        Raises:
            StoreError: It cannot be written; the message names the cure.
        """
        if self._ask(lambda: deliveries.is_expected(self._connection, place)):
            return
        with self._lock, self.database.translated():
            self._writer.expect(place)

    def deliveries(self) -> list[deliveries.Delivered]:
        """How far other places are."""
        return self._ask(lambda: deliveries.deliveries(self._connection))

    def offer_again(self) -> int:
        """Let what other places refused be offered again; how many events that are.

        Raises:
            StoreError: Nothing was written; the message names the cure.
        """
        with self._lock, self.database.translated():
            return self._writer.offer_again()

    def events(
        self, since_ns: int | None = None, until_ns: int | None = None, *, as_recorded: bool = False
    ) -> Iterator[CallEvent]:
        """The events that began in [since, until), in the order in which their calls began."""
        with self.database.translated():
            yield from oldest_first(self.database, since_ns, until_ns, as_recorded=as_recorded)

    def latest(self, n: int, *, until_ns: int | None = None, as_recorded: bool = False) -> list[CallEvent]:
        """The last `n` events that began before `until_ns`, newest last."""
        return self._ask(lambda: latest(self._connection, n, until_ns, as_recorded=as_recorded))

    def find(self, event_id: bytes, *, as_recorded: bool = False) -> CallEvent | None:
        """The event of an id; None if the store has none."""
        found = self._ask(lambda: by_ids(self._connection, [event_id], as_recorded=as_recorded))
        return found[event_id][1] if found else None

    def known(self, event_ids: Sequence[bytes]) -> set[bytes]:
        """Of some ids those that the store has an event of."""
        return set(self._ask(lambda: by_ids(self._connection, event_ids)))

    def of_request(self, request_id: str, *, as_recorded: bool = False) -> list[CallEvent]:
        """The events of one web request, newest last."""
        return self._ask(lambda: of_request(self._connection, request_id, as_recorded=as_recorded))

    def count(self) -> int:
        """How many events the store holds."""
        return self._ask(lambda: count(self._connection))

    def size(self) -> int:
        """Bytes that it takes, a file's log included."""
        with self._lock, self.database.translated():
            return self.database.size()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction that writes, for housekeeping; taken back if the block raises.

        Raises:
            StoreError: Nothing was written; the message names the cure.
        """
        with self._lock, self.database.translated(), self._writer.transaction():
            yield self._connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Several questions of housekeeping to one state of the store; temporary tables may be written."""
        with self._lock, self.database.translated():
            self.database.begin_looking()
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                self.database.end()

    @contextlib.contextmanager
    def alone(self) -> Iterator[Connection]:
        """The connection, outside of any transaction."""
        with self._lock, self.database.translated():
            yield self._connection

    def tend(self) -> None:
        """While there is nothing else to do, do a little of what makes reports quick; see `tending.py`.

        Raises:
            StoreError: Nothing of it was done; the message names the cure.
        """
        if time.monotonic() < self._tend_from:
            return
        began = time.monotonic()
        with self.transaction() as connection:
            done = tend(connection, self.most_keys)
        ended = time.monotonic()
        self._tend_from = ended + (_TENDED * (ended - began) if done else _LOOKED)

    def fold(self) -> None:
        """Bring the rollups up to date, within a `transaction`."""
        self._writer.fold()

    def checkpoint(self) -> None:
        """While there is nothing else to do, move a file's log into it as far as nobody is hindered."""
        with self._lock, self.database.translated():
            self.database.checkpoint()

    @contextlib.contextmanager
    def only_one(self, name: str) -> Iterator[bool]:
        """Whether no other process does what has this name, until the block ends; others may use this object meanwhile.

        Raises:
            StoreError, OSError: Nobody can tell.
        """
        with self.database.translated(), self.database.only_one(name) as mine:
            yield mine

    def is_current(self) -> bool:
        """Whether this is still the store that was opened, by this process."""
        return self.database.is_current()

    def leave(self) -> None:
        """Let go of what is no longer current.

        Raises:
            StoreError: What is at the path must not be opened yet; the message names the cure.
        """
        if self._pid != os.getpid():
            return
        with self._lock:
            self.database.leave()

    def close(self) -> None:
        """Close the database, unless it is a parent's or was replaced; never raises."""
        if not self.is_current():
            try:
                self.leave()
            except StoreError:
                forks.keep(self._connection)
            return
        with self._lock:
            self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask within one snapshot, so that rollups and events agree."""
        with self._lock, self.database.translated():
            self.database.begin_reading()
            try:
                return question()
            finally:
                self.database.end()
