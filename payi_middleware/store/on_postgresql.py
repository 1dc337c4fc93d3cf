"""A store in a PostgreSQL database, which many processes on many machines may use at once.

One transaction writes at a time, under an advisory lock that is held to its commit, as SQLite has it too. So events have numbers
without gaps, in the order in which they are committed, and everything that goes on after a mark (rollups, deliveries) misses
none; a sequence would hand out numbers before it is known who commits first. What waits for the lock is batches, not calls.

A connection that is lost is made anew by the next transaction.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import forks
from ..exceptions import StoreError
from ..store_url import shown_store
from .postgresql import LOCK, SCHEMA, Statements, Unavailable, Unfit, connect, translated
from .postgresql_schema import migrate, no_store, readable, refuse_newer, version_of

if TYPE_CHECKING:
    import psycopg

__all__ = ["OnPostgreSQL", "exists_at", "schema_version_at"]

_FEW = 5  # rows that an INSERT takes in a shorter time than a COPY
_BEGIN = (
    f"BEGIN; SELECT pg_advisory_xact_lock({LOCK}); "  # what follows sees all that was committed under the lock
    "SELECT nextval('turns'), 'payi_schema'::regclass::oid::bigint, (SELECT generation FROM keeping), (SELECT event FROM folded), "
    "(SELECT coalesce(max(id), 0) FROM events), (SELECT version FROM payi_schema)"
).encode()
"""One text, as each statement by itself would take a way to the server and back."""
_KNOWN = "SELECT packed, id FROM texts WHERE packed = ANY(%s::text[])"
_MADE = "INSERT INTO texts (packed) SELECT unnest(%s::text[]) RETURNING packed, id"
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r' ORDER BY 1"
_SIZE = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
    "WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'"
)
_TYPES = {"event_id": "bytea", "latency": "bytea", "first_byte": "bytea", "rest": "bytea"}
"""The columns of `events` that are no whole numbers."""


class OnPostgreSQL:
    """As `Database` says.

    Args:
        url: Of the database.
        create: Whether to write.
        timeout: Seconds to wait for a lock of another process.

    Raises:
        StoreError: It cannot be opened; the message names the cure.
    """

    path = None
    tells_known = False

    def __init__(self, url: str, *, create: bool, timeout: float) -> None:
        self._url = url
        self._writes = create
        self._timeout = timeout
        self._pid = os.getpid()
        self._epoch = 0
        """Counts connections."""
        self._turn = 0
        self._table = 0
        """The number of a table, which is another one when a backup was restored in its place."""
        self._others = 0
        self._mark = self._last = 0
        """Within a transaction that writes: where the rollups end, and the newest event's number."""
        self.connection = Statements(self._connected())

    def translated(self) -> AbstractContextManager[None]:
        """As the protocol says."""
        return translated(self._url)

    def begin(self, *, plain: bool = False) -> tuple[int, ...]:
        """As the protocol says."""
        cursor = self._begun(_BEGIN)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
        assert row is not None
        turn, table, generation, self._mark, newest, version = row
        refuse_newer(version, self._url)
        self._last = max(self._mark, newest)
        # Transactions that write are counted, taken back or not: who has the number after its last one was alone since.
        if (turn, table) != (self._turn + 1, self._table):
            self._others += 1
        self._turn, self._table = turn, table
        return self._epoch, table, generation

    def commit(self, *, plain: bool = False) -> None:
        """As the protocol says."""
        self.connection.execute("COMMIT")

    def begin_reading(self) -> None:
        """As the protocol says."""
        self._begun(b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def begin_looking(self) -> None:
        """As the protocol says; a transaction that cannot write could make no temporary table either."""
        self._begun(b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE")

    def end(self) -> None:
        """As the protocol says."""
        if self.connection.in_transaction:
            with suppress(Unavailable):  # the connection is lost, and the transaction with it
                self.connection.raw.execute("ROLLBACK")

    def numbers(self, texts: Callable[[], set[str]]) -> dict[str, int]:
        """As the protocol says: in two statements, however many they are."""
        unknown = texts()
        if not unknown:
            return {}
        raw = self.connection.raw
        known: dict[str, int] = dict(raw.execute(_KNOWN, (list(unknown),)).fetchall())
        new = [text for text in unknown if text not in known and "\0" not in text]
        return known | dict(raw.execute(_MADE, (new,)).fetchall()) if new else known

    def insert(self, columns: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """As the protocol says."""
        self._put(columns, rows)
        self._last += len(rows)
        return self._last - self._mark

    def _put(self, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
        raw, first = self.connection.raw, self._last + 1
        names = ", ".join(["id", *(f'"{name}"' for name in columns.split(", "))])
        try:
            with raw.cursor() as cursor:
                if len(rows) <= _FEW:
                    marks = ", ".join([f"({', '.join(['%s'] * (len(rows[0]) + 1))})"] * len(rows))
                    statement = f"INSERT INTO events ({names}) VALUES {marks}"
                    cursor.execute(
                        statement.encode(), [value for n, row in enumerate(rows) for value in (first + n, *row)]
                    )
                    return
                with cursor.copy(f"COPY events ({names}) FROM STDIN (FORMAT BINARY)".encode()) as copy:
                    copy.set_types(["int8", *(_TYPES.get(name, "int8") for name in columns.split(", "))])
                    for n, row in enumerate(rows):
                        copy.write_row((first + n, *row))
        except Unfit as error:  # of one row; who writes leaves it out
            raise ValueError(str(error)) from error

    def among(self, event_ids: Sequence[bytes]) -> Iterator[bytes]:
        """As the protocol says."""
        question = "SELECT event_id FROM events WHERE event_id = ANY(%s)"
        return iter([row[0] for row in self.connection.raw.execute(question, (list(event_ids),))])

    def data_version(self) -> int:
        """As the protocol says."""
        return self._others

    def streamed(self, statement: str, values: Sequence[Any]) -> Iterator[Any]:
        """As the protocol says, over a connection of its own: the answer may be longer than memory."""
        with connect(self._url, timeout=self._timeout, read_only=True) as raw:
            yield from Statements(raw).streamed(statement, values)

    @contextmanager
    def only_one(self, name: str) -> Iterator[bool]:
        """As the protocol says: a lock of the connection's, which ends with it."""
        self._alive()
        raw, digest = self.connection.raw, hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=4).digest()
        which = (LOCK, int.from_bytes(digest, "big", signed=True))
        row = raw.execute("SELECT pg_try_advisory_lock(%s::int, %s::int)", which).fetchone()
        mine = bool(row and row[0])
        try:
            yield mine
        finally:
            if mine and self._pid == os.getpid() and raw is self.connection.raw:
                with suppress(Unavailable):
                    raw.execute("SELECT pg_advisory_unlock(%s::int, %s::int)", which)

    def size(self) -> int:
        """As the protocol says: tables and indexes."""
        self._alive()
        row = self.connection.raw.execute(_SIZE, (SCHEMA,)).fetchone()
        return 0 if row is None else int(row[0])

    def compact(self, timeout: float) -> None:
        """As the protocol says: each table is written anew."""
        self._alive()
        for (name,) in self.connection.raw.execute(_TABLES, (SCHEMA,)).fetchall():
            self.connection.raw.execute(f"VACUUM (FULL, ANALYZE) {name}".encode())

    def emptied(self) -> bool:
        """As the protocol says: the server keeps its own log, as long as it needs it."""
        return True

    def damage(self) -> list[str]:
        """As the protocol says: the server checks what it reads, if it was made with checksums."""
        return []

    def copy(self, to: Path) -> None:
        """As the protocol says.

        Raises:
            StoreError: Always, with the command that does so.
        """
        raise StoreError(
            f"store {shown_store(self._url)} is copied by PostgreSQL's own program: pg_dump --schema={SCHEMA} "
            f"--schema={SCHEMA}_ledger --format=custom --file={to} URL; to restore: docs/postgresql.md"
        )

    def is_current(self) -> bool:
        """As the protocol says; a lost connection is made anew."""
        return self._pid == os.getpid()

    def leave(self) -> None:
        """As the protocol says."""

    def close(self) -> None:
        """As the protocol says."""
        _forget(self.connection.raw)
        self.connection.raw.close()

    def checkpoint(self) -> None:
        """Nothing to do: the server does so."""

    def _begun(self, statement: bytes) -> psycopg.Cursor[Any]:
        """Begin a transaction, over a new connection if the one there was turns out to be lost."""
        self._alive()
        try:
            return self.connection.raw.execute(statement)
        except Unavailable:
            if not self.connection.raw.closed:
                raise
        self._alive()
        return self.connection.raw.execute(statement)

    def _alive(self) -> None:
        """Have a connection that is not known to be lost."""
        if self.connection.raw.closed:
            _forget(self.connection.raw)
            self.connection.raw = self._connected()

    def _connected(self) -> psycopg.Connection[Any]:
        raw = connect(self._url, timeout=self._timeout, read_only=not self._writes)
        try:
            with self.translated():
                migrate(raw, self._url) if self._writes else readable(raw, self._url)
        except BaseException:
            raw.close()
            raise
        _open.append(raw)
        self._epoch += 1
        self._turn, self._others = 0, self._others + 1
        return raw


def schema_version_at(url: str) -> int:
    """The version of the schema of the store in a database.

    Raises:
        StoreError: There is none, or it is another program's; the message names the cure.
    """
    version = _version_at(url)
    if version == 0:
        raise no_store(url)
    return version


def exists_at(url: str) -> bool:
    """Whether there is a store in a database.

    Raises:
        StoreError: Nobody can tell; the message names the cure.
    """
    return _version_at(url) > 0


def _version_at(url: str) -> int:
    with connect(url, read_only=True) as raw, translated(url):
        return version_of(raw, url)


_open: list[psycopg.Connection[Any]] = []


def _forget(raw: psycopg.Connection[Any]) -> None:
    with suppress(ValueError):
        _open.remove(raw)


def _after_fork() -> None:
    """In a forked child: the connections are the parent's, and to close one would end it for the parent."""
    while _open:
        forks.keep(_open.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
