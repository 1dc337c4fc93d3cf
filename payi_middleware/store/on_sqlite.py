"""A store in a SQLite file, or in memory."""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import functools
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from .. import forks
from ..alone import alone
from . import inherited, replaced, sqlite
from .database import Known
from .patience import patiently

__all__ = ["OnSQLite"]

_AT_ONCE = (40, 20, 10, 5, 2, 1)
"""Rows of one statement. With each, Python lets go of the interpreter's lock, and has to win it back; 40 rows have 800
parameters, which every version takes."""
_ASKED_AT_ONCE = 500  # ids in one question
_BEGIN = "BEGIN IMMEDIATE"
_VERSION = "PRAGMA data_version"
_STATE = "SELECT event, coalesce((SELECT max(id) FROM events), 0), generation FROM folded CROSS JOIN keeping"


class OnSQLite:
    """As `Database` says.

    Args:
        path: The file; None for memory.
        create: Whether to write.
        timeout: Seconds to wait for a lock of another process.

    Raises:
        StoreError: It cannot be opened; the message names the cure.
    """

    tells_known = True

    def __init__(self, path: Path | None, *, create: bool, timeout: float) -> None:
        self.path = path
        inherited.let_go()
        self.connection: sqlite3.Connection = sqlite.connect(path, create=create, timeout=timeout)
        inherited.opened(self.connection)
        self._name = "" if path is None else os.fspath(path)
        self._file = replaced.file_at(self._name) if path is not None else None
        self._log = replaced.file_at(replaced.log_of(path)) if path is not None else None
        self._translated = sqlite.translated(path)
        self._writes = create
        self._timeout = timeout
        self._pid = os.getpid()
        self._mark = self._newest = self._generation = 0
        """Within a transaction that writes: where the rollups end, the newest event's number, which texts' numbers hold."""
        self._is_plain = False
        self._at = (0, 0)
        """When that was so: the data's version, and how many rows this connection had changed."""
        self._still: tuple[int, int] | None = None
        """When it is still so, in the next transaction."""

    def translated(self) -> AbstractContextManager[None]:
        """As the protocol says."""
        return self._translated

    def begin(self, *, plain: bool = False) -> tuple[int, ...]:
        """As the protocol says; a file that was replaced is opened as another store."""
        still, self._still = self._still, None
        try:  # immediate: which events are new must still hold when they are written
            self.connection.execute(_BEGIN)
        except sqlite3.OperationalError:
            patiently(lambda: self.connection.execute(_BEGIN), self._timeout)
        self._at = (self.connection.execute(_VERSION).fetchone()[0], self.connection.total_changes)
        if self._at != still:
            sqlite.refuse_newer(self.connection, self.path)
            self._look()
        self._is_plain = plain
        return 0, self._generation

    def _look(self) -> None:
        self._mark, self._newest, self._generation = self.connection.execute(_STATE).fetchone()

    def commit(self, *, plain: bool = False) -> None:
        """As the protocol says."""
        self.connection.execute("COMMIT")
        if plain:
            self._still = (self._at[0], self.connection.total_changes)

    def begin_reading(self) -> None:
        """As the protocol says."""
        self.connection.execute("BEGIN")

    def begin_looking(self) -> None:
        """As the protocol says."""
        self.connection.execute("BEGIN")

    def end(self) -> None:
        """As the protocol says."""
        if self.connection.in_transaction:  # a full disk has rolled back by itself
            self.connection.execute("ROLLBACK")

    def numbers(self, texts: Callable[[], set[str]]) -> dict[str, int]:
        """As the protocol says."""
        return {}

    def insert(self, columns: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """As the protocol says."""
        if not self._is_plain:  # whoever it is may have changed these
            self._look()
        try:
            at, many = 0, len(rows)
            if self._newest < self._mark and rows:  # SQLite would give the number of a removed event
                self._newest = self._mark
                self.connection.execute(_statement(f"id, {columns}", 1), (self._mark + 1, *rows[0]))
                at = 1
            for size in _AT_ONCE:
                while many - at >= size:
                    values = list(itertools.chain.from_iterable(rows[at : at + size]))
                    self.connection.execute(_statement(columns, size), values)
                    at += size
        except sqlite3.IntegrityError as error:
            if self._is_plain and error.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise Known from error
            raise
        self._newest += many
        return self._newest - self._mark

    def among(self, event_ids: Sequence[bytes]) -> Iterator[bytes]:
        """As the protocol says."""
        for start in range(0, len(event_ids), _ASKED_AT_ONCE):
            part = event_ids[start : start + _ASKED_AT_ONCE]
            question = f"SELECT event_id FROM events WHERE event_id IN ({', '.join('?' * len(part))})"
            for (known,) in self.connection.execute(question, part):
                yield known

    def data_version(self) -> int:
        """As the protocol says."""
        number: int = self.connection.execute(_VERSION).fetchone()[0]
        return number

    def streamed(self, statement: str, values: Sequence[Any]) -> Iterator[Any]:
        """As the protocol says."""
        return iter(self.connection.execute(statement, values))

    def only_one(self, name: str) -> AbstractContextManager[bool]:
        """As the protocol says: a file beside the store, where all its processes find it."""
        if self.path is None:
            return nullcontext(True)
        return alone(self.path.with_name(f"{self.path.name}.{name}.lock"))

    def size(self) -> int:
        """As the protocol says."""
        if self.path is None:
            return 0
        return sum(file.stat().st_size for file in (self.path, replaced.log_of(self.path)) if file.exists())

    def compact(self, timeout: float) -> None:
        """As the protocol says; the copy of a large store goes into temporary files, not into memory."""
        self.connection.execute("PRAGMA temp_store = FILE")
        try:
            patiently(lambda: self.connection.execute("VACUUM"), timeout)
        finally:
            self.connection.execute("PRAGMA temp_store = MEMORY")

    def emptied(self) -> bool:
        """As the protocol says."""
        busy: int = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        return not busy

    def damage(self) -> list[str]:
        """As the protocol says."""
        try:
            found = [str(row[0]) for row in self.connection.execute("PRAGMA integrity_check(20)")]
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
                raise
            return [str(error)]
        return [line for line in found if line != "ok"]

    def copy(self, to: Path) -> None:
        """As the protocol says."""
        self.connection.execute("VACUUM INTO ?", (os.fspath(to),))

    def is_current(self) -> bool:
        """As the protocol says; a deleted file takes writes and loses them."""
        if self._pid != os.getpid():
            return False
        return self.path is None or (self._file is not None and replaced.file_at(self._name) == self._file)

    def leave(self) -> None:
        """As the protocol says.

        Raises:
            StoreError: What is at the path must not be opened yet; the message names the cure.
        """
        if self.path is None or not self._writes:
            forks.keep(self.connection)
        else:
            with self.translated():
                replaced.leave(self.connection, self.path, self._log)
        inherited.closed(self.connection)

    def close(self) -> None:
        """As the protocol says."""
        inherited.closed(self.connection)
        self.connection.close()

    def checkpoint(self) -> None:
        """Move the log into the file, so that a copy of the file alone has nearly everything."""
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


@functools.cache
def _statement(columns: str, size: int) -> str:
    marks = ", ".join("?" * len(columns.split(", ")))
    return f"INSERT INTO events ({columns}) VALUES {', '.join([f'({marks})'] * size)}"
