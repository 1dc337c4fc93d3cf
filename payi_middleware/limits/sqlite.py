"""The ledger in a SQLite file: shared by all processes of one machine, beside the store and apart from it.

Apart, because an event store is written by long transactions, and no call waits for one of those.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from .. import forks
from ..exceptions import LedgerError, StoreError
from ..store import inherited, replaced
from ..store.patience import patiently
from ..store.sqlite import open_file, translated
from .ledger import LEASE_SECONDS, Answer, Step
from .sql import LATER, TABLES, TOGETHER, SqlKept

__all__ = ["SqliteLedger"]

_APPLICATION_ID: Final = 0x5061794C  # "PayL": what file(1) and we ourselves know the file by
_VERSION: Final = 2
_NS: Final = 10**9
_COMMITS, _APART = 500, 1.0  # after so many of ours and so many seconds the log is copied into the file
_LONG_LOG: Final = 16_000  # pages; while several processes write all the time it would grow for ever
_LONGEST_LOG: Final = 64_000  # when SQLite copies it: where no process lives for long enough to do so itself
_PAGE: Final = 1_024  # a step changes few bytes of each page that it writes
_LOOK_NS: Final = _NS  # between two looks whether the file is still at its path
_SHORTEST, _LONG = 0.0002, 0.001  # seconds between two tries for the lock: a transaction takes 0.1 to 2 ms
_AWHILE, _LONGEST = 0.1, 0.004  # the same after so many seconds: whoever has the lock is not about to let it go
_TRIES: Final = 100  # of a second of patience
_CROWDED: Final = 0.02  # seconds after waiting for the lock in which others must be thought to wait for it
_WAY: Final = 0.0015  # seconds that they are then given after a transaction, so that one of them finds it free
_QUICK: Final = 0.0005  # seconds that a statement takes at most while no other thread or process wants what it needs
_LEDGER: Final = "SELECT clock_ns, changes FROM ledger"
_PASSING: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
"""Errors that go by. After others the file is opened anew."""


class _Later(Exception):  # noqa: N818 - no error
    """A step turns out to be more than may be done at once."""


class SqliteLedger(SqlKept):
    """Any thread may use it, one at a time; a forked child opens its own connection.

    Args:
        path: The file; made, with its folder, at first use.
        lease_seconds: How long a hold lives without being renewed.
        timeout: Seconds to wait for another process's lock.
        clock: Nanoseconds of UTC; for tests.
    """

    def __init__(
        self,
        path: Path,
        *,
        lease_seconds: float = LEASE_SECONDS,
        timeout: float = 5.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__(lease_seconds)
        self.path = path
        self._timeout = timeout
        self._clock = clock
        self.lock = threading.RLock()
        self._cursor: sqlite3.Cursor | None = None
        self._file: replaced.File | None = None
        self._log: replaced.File | None = None
        self._looked_ns = 0
        self._id = ""
        self._seen = 0
        self._kept_clock = 0
        self._data_version = -1
        self._crowded_until = self._way_until = 0.0
        self._commits, self._copied = 0, 0.0
        self.took = 0.0
        """See `moment.Quick`."""
        self._is_at_once = False
        """Whether what is done now must not take long."""
        _ledgers.add(self)

    @property
    def id(self) -> str:
        """Made with the file.

        Raises:
            LedgerError: The file cannot be used.
        """
        if not self._id:
            self.now_ns()
        return self._id

    def vacuum(self) -> None:
        """Write the file anew, so that no byte of it tells what was deleted. Others wait meanwhile, about a second for 100 MB.

        Raises:
            LedgerError: It cannot be done now.
        """
        try:
            with forks.at_work(), self.lock, translated(self.path):
                cursor = self._current()
                if cursor.connection.in_transaction:  # begun and left by `at_once`; nothing was written in it
                    cursor.execute("ROLLBACK")
                patiently(lambda: cursor.execute("VACUUM"), self._timeout)
                patiently(lambda: cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), self._timeout)
        except StoreError as error:
            raise LedgerError(f"ledger{str(error).removeprefix('store')}") from error.__cause__

    def close(self) -> None:
        """Close the file, unless it was replaced; never raises."""
        with self.lock:
            cursor, self._cursor = self._cursor, None
            if cursor is None:
                return
            try:
                self._let_go(cursor.connection)
            except (StoreError, sqlite3.Error):
                forks.keep(cursor.connection)

    def after_fork(self) -> None:
        """In a child: the connection is the parent's, and a thread that is not here may hold the lock."""
        self.lock = threading.RLock()
        self._cursor = None

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in their order, in one transaction."""
        with forks.at_work(), self.lock:
            try:
                now, began = self.begin(), time.perf_counter()
                answers = self._run_at(now, steps)
                self.commit()
                self.took = time.perf_counter() - began
            except BaseException as error:
                self.undo(error)
                raise _told(self.path, error) from error
        return answers

    def at_once(self, step: Step) -> list[Answer]:
        """Do a step if nothing is in its way, for a thread that must not wait; else nothing, and it is `run` by one that may.

        What takes longer, or may, is not done here: reading limits that were changed, taking back what lapsed, tidying.
        """
        if forks.is_near():
            return []
        with forks.at_work():
            if not self.lock.acquire(blocking=False):
                return []
            try:
                return self._done_at_once(step) if self._is_free() else []
            finally:
                self.lock.release()

    def _is_free(self) -> bool:
        """Whether the file is open and still at its path, nobody must be given way, and nothing else is due."""
        if self._cursor is None or self._is_to_tidy():
            return False
        now = time.monotonic()
        if now < self._crowded_until or (self._commits >= _COMMITS and now >= self._copied + _APART):
            return False
        return self._is_in_place()

    def _done_at_once(self, step: Step) -> list[Answer]:
        cursor, began = self._cursor, time.perf_counter()
        assert cursor is not None
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            self._crowded_until = time.monotonic() + _CROWDED
            return []
        if time.perf_counter() - began > _QUICK:  # other threads are busy: each statement would let them go first
            return []  # who does the step finds it begun
        self._is_at_once = True
        try:
            answers = self._run_at(self._begun(cursor), (step,))
            self.commit()
        except BaseException as error:
            self.undo(error)
            if not isinstance(error, Exception):
                raise
            return []  # if it fails there too, its asker is told so in order
        finally:
            self._is_at_once = False
        return answers

    def lapsing(self, now_ns: int) -> Iterable[bytes]:
        """See `book.Shelf`."""
        if self._is_at_once:
            if self._ask("SELECT 1 FROM holds WHERE state = 0 AND due_ns <= ? LIMIT 1", (now_ns,)):
                raise _Later
            self._swept_ns = now_ns
            return ()
        return super().lapsing(now_ns)

    def _tidy(self, now_ns: int) -> None:
        if self._is_at_once:
            self._unlooked = max(self._unlooked, TOGETHER)  # it is due, and done with the next step
        else:
            super()._tidy(now_ns)

    @contextlib.contextmanager
    def _transaction(self, *, alone: bool = False) -> Iterator[int]:
        with forks.at_work(), self.lock:
            try:
                yield self.begin()
                self.commit()
            except BaseException as error:
                self.undo(error)
                raise _told(self.path, error) from error

    @contextlib.contextmanager
    def _looking(self) -> Iterator[int]:
        """Others write meanwhile; what they write is not seen until the next."""
        with forks.at_work(), self.lock:
            try:
                cursor = self._current()
                if cursor.connection.in_transaction:  # begun and left by `at_once`; nothing was written in it
                    cursor.execute("ROLLBACK")
                cursor.execute("BEGIN")
                clock, changes = patiently(lambda: cursor.execute(_LEDGER).fetchone(), self._timeout)
                if changes != self._changes:
                    self._read_limits(changes)
                now = max(self._clock(), self._seen)
                self._seen = now if now >= clock - _NS else clock
                yield self._seen
                cursor.execute("COMMIT")
            except BaseException as error:
                self.undo(error)
                raise _told(self.path, error) from error

    def begin(self) -> int:
        """Begin a transaction; the ledger's clock. The lock is held."""
        cursor = self._current()
        if self._commits >= _COMMITS:
            self._copy_log(cursor)
        if cursor.connection.in_transaction:  # see `at_once`
            return self._begun(cursor)
        if self._way_until:
            self._give_way()
        began, pause, tries = 0.0, _SHORTEST, 0
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
                return self._begun(cursor)
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                began, tries = began or now, tries + 1
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                # Where processes hardly get to run, time alone tells nothing: neither does the one that has the lock.
                if now > began + self._timeout and tries > self._timeout * _TRIES:
                    raise
            self._crowded_until = now + _CROWDED
            # SQLite's own waiting would be in C, and ten times as long; by chance, so that those who wait do not meet again.
            forks.rest(pause * random.random())  # noqa: S311
            pause = min(2 * pause, _LONG if now < began + _AWHILE else _LONGEST)

    def commit(self) -> None:
        """End it. The lock is held."""
        assert self._cursor is not None
        self._cursor.execute("COMMIT")
        self._commits += 1
        if self._crowded_until:
            now = time.monotonic()
            if now < self._crowded_until:
                self._way_until = now + _WAY
            else:
                self._crowded_until = 0.0

    def _copy_log(self, cursor: sqlite3.Cursor) -> None:
        """Between two transactions, while others write: SQLite itself would do it before a transaction's answers are given."""
        now = time.monotonic()
        if now < self._copied + _APART:
            return
        self._commits, self._copied = 0, now
        with contextlib.suppress(sqlite3.OperationalError):  # there is another time
            _, pages, _ = cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if pages >= _LONG_LOG:  # it begins anew, unless somebody writes in this moment
                cursor.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _give_way(self) -> None:
        """Nobody is woken when the lock is free, so who has just had it would have it again and again, and others never."""
        left, self._way_until = self._way_until - time.monotonic(), 0.0
        if left > 0:
            forks.rest(left)

    def undo(self, error: BaseException) -> None:
        """Take it back, and all that was remembered of it. The lock is held; never raises."""
        self._forget_all()
        cursor = self._cursor
        if cursor is None:
            return
        with contextlib.suppress(sqlite3.Error):
            if cursor.connection.in_transaction:
                cursor.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF not in _PASSING:
            self.close()

    def _ask(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        assert self._cursor is not None
        return self._cursor.execute(sql, values).fetchall()

    def _do_one(self, sql: str, values: Sequence[Any]) -> None:
        assert self._cursor is not None
        self._cursor.execute(sql, values)

    def _do(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        assert self._cursor is not None
        if len(rows) == 1:
            self._cursor.execute(sql, rows[0])
        else:
            self._cursor.executemany(sql, rows)

    def _begun(self, cursor: sqlite3.Cursor) -> int:
        """What others changed is read anew; the ledger's clock, which is kept to the second, as that is what windows turn by."""
        data_version: int = cursor.execute("PRAGMA data_version").fetchone()[0]
        if data_version != self._data_version:
            self._forget_read()
            clock, changes = cursor.execute(_LEDGER).fetchone()
            self._kept_clock = clock
            if changes != self._changes:
                if self._is_at_once:
                    raise _Later
                self._read_limits(changes)
            self._data_version = data_version
        now = max(self._clock(), self._seen)
        if now < self._kept_clock - _NS:
            now = self._kept_clock
        self._seen = now
        if now >= self._kept_clock:
            self._kept_clock = (now // _NS + 1) * _NS
            cursor.execute("UPDATE ledger SET clock_ns = ?", (self._kept_clock,))
        return now

    def _forget_all(self) -> None:
        super()._forget_all()
        self._kept_clock = 0
        self._data_version = -1

    def _current(self) -> sqlite3.Cursor:
        """Of the connection, opened anew where the file was replaced."""
        if self._cursor is not None:
            if self._is_in_place():
                return self._cursor
            cursor, self._cursor = self._cursor, None
            self._let_go(cursor.connection)
        self._looked_ns = time.monotonic_ns()
        self._cursor = self._opened().cursor()
        return self._cursor

    def _is_in_place(self) -> bool:
        """Whether the file that is open is the one at its path, as it was looked lately."""
        now = time.monotonic_ns()
        if now - self._looked_ns >= _LOOK_NS:
            if replaced.file_at(self.path) != self._file:
                return False
            self._looked_ns = now
        return True

    def _opened(self) -> sqlite3.Connection:
        inherited.let_go()
        connection = open_file(self.path)
        try:
            _prepare(connection, self.path, self._timeout)
            (made,) = connection.execute("SELECT id FROM ledger").fetchone()
        except BaseException:
            connection.close()
            raise
        inherited.opened(connection)
        self._id = f"sqlite:{made}"
        self._forget_all()
        self._file, self._log = replaced.file_at(self.path), replaced.file_at(replaced.log_of(self.path))
        return connection

    def _let_go(self, connection: sqlite3.Connection) -> None:
        """Raises StoreError: What is at the path must not be opened yet; the message names the cure."""
        inherited.closed(connection)
        if replaced.file_at(self.path) == self._file:
            connection.close()
        else:
            replaced.leave(connection, self.path, self._log)


def _told(path: Path, error: BaseException) -> BaseException:
    """What is wrong with a file in the store's words, which hold for a ledger; any other error as it is."""
    try:
        with translated(path):
            raise error
    except StoreError as told:
        return LedgerError(f"ledger{str(told).removeprefix('store')}")
    except BaseException as other:
        return other


_ledgers: weakref.WeakSet[SqliteLedger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _prepare(connection: sqlite3.Connection, path: Path, timeout: float) -> None:
    """Settings, and the tables if there are none.

    Raises:
        StoreError: It is another program's, or another version's.
    """
    connection.execute(f"PRAGMA page_size = {_PAGE}")
    patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), timeout)
    # A power cut may take the last moments: what was spent in them is in the store, and `payi limits audit` says so.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST_LOG}")
    connection.execute("PRAGMA temp_store = MEMORY")
    if _version(connection, path) != _VERSION:
        patiently(lambda: _make(connection, path), timeout)


def _make(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    try:
        version = _version(connection, path)
        for statement in () if version == _VERSION else LATER if version else TABLES:  # else another process was first
            connection.execute(statement)
        if not version:
            connection.execute("INSERT INTO ledger VALUES (?, 0, 0)", (uuid.uuid4().hex[:16],))
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != _APPLICATION_ID and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"store {path} is a database of another program; name another file")
    if version > _VERSION:
        raise StoreError(
            f"store {path} was written by a newer version of payi-middleware (schema {version}, this one knows "
            f"{_VERSION}); upgrade this one"
        )
    return version
