"""The ledger in a PostgreSQL database: shared by applications and servers on many machines.

A run locks the accounts that its steps are about, in their order, so that runs of different users go on side by side, and reads
what it decides by after that. Where it turns out to need more than it locked (a lease that ended, a call that was reserved
elsewhere) it begins again with all of them.
"""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, Final, TypeAlias

import psycopg

from .. import forks
from ..exceptions import LedgerError, StoreError
from ..store.dialect import in_postgresql
from ..store.postgresql import connect, translated
from .book import Book
from .ledger import LEASE_SECONDS, Answer, Reserve, Settle, Step
from .rows import Place, Record
from .sql import COLUMNS, LATER, TABLES, SqlKept, events_of

__all__ = ["PostgresqlLedger"]

_SCHEMA: Final = "payi_ledger"
"""The schema that the tables are in: apart from the store's, which may be in the same database."""
_LOCK: Final = 0x5061794C  # the advisory lock of who makes the tables
_NS: Final = 10**9
_TRIES: Final = 8  # of a run that is hindered by others, or finds that it needs more accounts
_CONNECT_SECONDS: Final = 2

_MORE: Final = (
    "CREATE TABLE accounts (number INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (number, key))",
    "CREATE INDEX holds_due ON holds (due_ns) WHERE state = 0",
)
_BEGIN: Final = (
    "BEGIN; "
    "SELECT changes, clock_ns, (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint FROM payi_ledger.ledger"
)
_BEGIN_ALONE: Final = _BEGIN.replace("BEGIN;", "BEGIN; LOCK TABLE payi_ledger.accounts IN EXCLUSIVE MODE;")
"""It waits for runs, which lock accounts, and they for it."""
_LOCK_ACCOUNTS: Final = (
    "SELECT (SELECT changes FROM ledger) FROM accounts JOIN unnest(?::bigint[], ?::text[]) AS asked (number, key) "
    "ON accounts.number = asked.number AND accounts.key = asked.key "
    "ORDER BY accounts.number, accounts.key FOR UPDATE OF accounts"
)
_NEW_ACCOUNTS: Final = (
    "INSERT INTO accounts (number, key) SELECT * FROM unnest(?::bigint[], ?::text[]) AS asked (number, key) "
    "ORDER BY 1, 2 ON CONFLICT DO NOTHING"
)
_DROP_EMPTY: Final = (
    "DELETE FROM accounts WHERE number = ? AND key = ? AND NOT EXISTS "
    "(SELECT 1 FROM rows WHERE rows.number = accounts.number AND rows.key = accounts.key)"
)
"""By who has locked the account, or all."""
_RECORDS: Final = (
    "SELECT event_id, record, 1 FROM holds WHERE event_id = ANY (?) "
    "UNION ALL SELECT event_id, record, 0 FROM settled WHERE event_id = ANY (?)"
)
_ROWS: Final = (
    f"SELECT {', '.join(f'rows.{name}' for name in COLUMNS)} FROM rows "  # noqa: S608 - names of ours
    "JOIN unnest(?::bigint[], ?::text[], ?::bigint[]) AS asked (number, key, starts_ns) "
    "ON rows.number = asked.number AND rows.key = asked.key AND rows.starts_ns = asked.starts_ns"
)
# Not by `to_regclass`: within a transaction it remembers that there was nothing, whatever another process has made since.
_HAS: Final = (
    "SELECT column_name FROM information_schema.columns WHERE table_schema = 'payi_ledger' AND table_name = 'limits'"
)
_MARK: Final = "COMMENT ON SCHEMA payi_ledger IS 'payi-middleware limits 2'"
_HINDERED: Final = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UniqueViolation,  # another was first to write of the same event
)

_Account: TypeAlias = tuple[int, str]


class PostgresqlLedger(SqlKept):
    """Any thread may use it, one at a time; a forked child has a connection of its own.

    Args:
        url: `postgresql://user:password@host:port/database`.
        lease_seconds: How long a hold lives without being renewed.
        timeout: Seconds to wait for a lock.
        clock: Nanoseconds of UTC instead of the server's clock; for tests.

    Raises:
        LedgerError: The driver is not installed.
    """

    # One statement, which deletes what it moves and nothing else: others settle calls meanwhile.
    _move = (
        "WITH ended AS (SELECT event_id FROM holds WHERE state >= 2 FOR UPDATE SKIP LOCKED), "
        "moved AS (DELETE FROM holds USING ended WHERE holds.event_id = ended.event_id "
        "RETURNING holds.event_id, holds.due_ns, holds.record) "
        "INSERT INTO settled (event_id, due_ns, record) SELECT event_id, due_ns, record FROM moved",
    )
    _taking = " FOR UPDATE SKIP LOCKED"

    def __init__(
        self,
        url: str,
        *,
        lease_seconds: float = LEASE_SECONDS,
        timeout: float = 5.0,
        clock: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(lease_seconds)
        self.url = url
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.RLock()
        self._connection: psycopg.Connection | None = None
        self._id = ""
        self._seen = 0
        self._kept_clock = 0
        self._locked: frozenset[_Account] | None = frozenset()
        """The accounts that this transaction has locked; None for all there are."""
        self._more: frozenset[_Account] = frozenset()
        """Those that it was found to need beyond what its steps name."""
        self._new: frozenset[_Account] = frozenset()
        """Those among which some were not there before."""
        _ledgers.add(self)

    @property
    def id(self) -> str:
        """Made with the tables.

        Raises:
            LedgerError: The database cannot be used.
        """
        if not self._id:
            self.now_ns()
        return self._id

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps in their order, in one transaction; again from the start if others hinder it."""
        with forks.at_work(), self._lock:
            return self._run(steps)

    def _run(self, steps: Sequence[Step]) -> list[Answer]:
        self._more = frozenset()
        for left in reversed(range(_TRIES)):
            try:
                return super().run(steps)
            except _NeedsMore as error:
                self._more |= error.accounts
            except _Changed:
                pass
            except LedgerError as error:
                if not left or not isinstance(error.__cause__, _HINDERED):
                    raise
        raise LedgerError("ledger: others hinder each try; try again")

    def close(self) -> None:
        """Close the connection; never raises."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()

    def after_fork(self) -> None:
        """In a child: the connection is the parent's, and a thread that is not here may hold the lock."""
        self._lock = threading.RLock()
        forks.keep(self._connection)
        self._connection = None

    def lapsing(self, now_ns: int) -> Iterable[bytes]:
        """See `book.Shelf`; of accounts that are locked.

        Raises:
            _NeedsMore: Others are not. A run that began anew for those that it knew of leaves what lapsed since to the next.
        """
        lapsing = list(super().lapsing(now_ns))
        if self._more:
            lapsing = [event_id for event_id in lapsing if not self._is_of_others(event_id)]
        self._need(self._accounts_of(self._looked_up[event_id] for event_id in lapsing))
        return lapsing

    def _is_of_others(self, event_id: bytes) -> bool:
        accounts = self._accounts_of([self._looked_up[event_id]])
        return self._locked is not None and bool(accounts) and self._locked.isdisjoint(accounts)

    def _transaction(self, *, alone: bool = False) -> AbstractContextManager[int]:
        return self._within(alone)

    @contextmanager
    def _within(self, alone: bool) -> Iterator[int]:
        with forks.at_work(), self._lock, _translated(self.url):
            try:
                with ExitStack() as self._sending:
                    yield self._started(alone)
                    assert self._connection is not None
                    self._sending.enter_context(self._connection.pipeline())
                    self._keep_clock()
                    self._connection.execute("COMMIT")
            except BaseException as error:
                if not isinstance(error, _NeedsMore | _Changed):
                    self._forget_all()
                self._undo()
                raise

    def _started(self, alone: bool) -> int:
        """Begin; in a connection of which nobody knew that it was lost, in another."""
        had, connection = self._connection, self._current()
        try:
            return self._begun(connection, alone)
        except psycopg.OperationalError:
            if had is not connection or not connection.closed:
                raise
        return self._begun(self._current(), alone)

    def _undo(self) -> None:
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error):
                connection.execute("ROLLBACK")
            if connection.closed:
                self._connection = None

    def _begun(self, connection: psycopg.Connection, alone: bool) -> int:
        """Begin, in one way to the server and back; the ledger's clock."""
        self._forget_read()
        cursor = connection.execute(_BEGIN_ALONE if alone else _BEGIN)
        while cursor.nextset():
            pass
        found = cursor.fetchone()
        assert found is not None
        changes, self._kept_clock, now = found
        self._locked = None if alone else frozenset()
        if changes != self._changes:
            self._read_limits(changes)
        now = max(self._clock() if self._clock is not None else now, self._seen)
        self._seen = now if now >= self._kept_clock - _NS else self._kept_clock
        return self._seen

    def _keep_clock(self) -> None:
        """To the second, as that is what windows turn by. Last, as all runs meet there."""
        if self._seen >= self._kept_clock:
            kept = (self._seen // _NS + 1) * _NS
            self._do("UPDATE ledger SET clock_ns = ? WHERE clock_ns < ?", [(kept, kept)])

    def _write(self, book: Book) -> None:
        """All statements are sent together, with the end of the transaction."""
        assert self._connection is not None
        self._sending.enter_context(self._connection.pipeline())
        super()._write(book)
        # Named by the end of a call that was held elsewhere, or whose account was forgotten meanwhile.
        if self._new and (empty := self._new - {place[:2] for place in book.changed}):
            self._do(_DROP_EMPTY, list(empty))

    def _look_up(self, steps: Sequence[Step]) -> None:
        """Lock the accounts that the steps are about, and read what they will ask for."""
        self._new = frozenset()
        accounts = self._locked = self._named(steps) | self._more
        if not accounts:
            super()._look_up(steps)
        elif self._read_locked(accounts, steps) < len(accounts):
            self._do(_NEW_ACCOUNTS, [_columns(accounts)])
            self._new = accounts
            self._read_locked(accounts, steps)
        self._need(self._accounts_of(self._looked_up.values()))

    def _read_locked(self, accounts: frozenset[_Account], steps: Sequence[Step]) -> int:
        """In one way to the server and back; each statement sees what was committed when the one before was done.

        Raises:
            _Changed: Limits were, between the begin and the lock: who changes them waits for all locks, and this for him.
        """
        assert self._connection is not None
        self._forget_read()
        event_ids = list(events_of(steps))
        with self._connection.pipeline():
            locked = self._send(_LOCK_ACCOUNTS, _columns(accounts))
            records = self._send(_RECORDS, (event_ids, event_ids))
            places = self._places(steps)
            rows = self._send(_ROWS, _columns(places)) if places else None
            self._remember_records(event_ids, records.fetchall())
            self._remember_rows([] if rows is None else rows.fetchall())
            found = locked.fetchall()
            if found and found[0][0] != self._changes:
                raise _Changed
            return len(found)

    def _drop_rows(self, places: Iterable[Place]) -> None:
        dropped = list(places)
        super()._drop_rows(dropped)
        self._do(_DROP_EMPTY, list({place[:2] for place in dropped}))

    def _drop_account(self, number: int, key: str) -> None:
        super()._drop_account(number, key)
        self._do_one(_DROP_EMPTY, (number, key))

    def _named(self, steps: Sequence[Step]) -> frozenset[_Account]:
        """The accounts that steps name, of limits that are there."""
        return frozenset(place[:2] for place in self._places(steps))

    def _places(self, steps: Sequence[Step]) -> set[Place]:
        """The rows that they will most likely ask for."""
        places: set[Place] = set()
        for step in steps:
            if isinstance(step, Reserve | Settle):
                at = self._seen if isinstance(step, Reserve) else min(max(0, step.at_ns), self._seen)
                by_id = self.terms(step.application).by_id
                for limit_id, key in step.accounts:
                    known = by_id.get(limit_id)
                    if known is not None:
                        places.add((known.number, key, known.window_at(at)[0]))
        return places

    def _accounts_of(self, records: Iterable[Record | None]) -> frozenset[_Account]:
        """The accounts that hold some calls."""
        return frozenset(place[:2] for record in records if record is not None for place, _ in record.places)

    def _need(self, accounts: frozenset[_Account]) -> None:
        if self._locked is not None and not accounts <= self._locked:
            raise _NeedsMore(accounts)

    def _current(self) -> psycopg.Connection:
        connection = self._connection
        if connection is None or connection.closed:
            connection = self._connection = self._opened()
        return connection

    def _opened(self) -> psycopg.Connection:
        url = self.url
        if "connect_timeout" not in url:
            url += f"{'&' if '?' in url else '?'}connect_timeout={_CONNECT_SECONDS}"
        connection = connect(url, timeout=self._timeout)
        try:
            connection.execute(f"SET search_path = {_SCHEMA}")
            _make(connection)
            found = connection.execute("SELECT id FROM ledger").fetchone()
            assert found is not None
        except BaseException:
            connection.close()
            raise
        self._id = f"postgresql:{found[0]}"
        self._forget_all()
        return connection

    def _send(self, sql: str, values: Sequence[Any]) -> psycopg.Cursor[Any]:
        assert self._connection is not None
        return self._connection.execute(in_postgresql(sql), values)

    def _ask(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._send(sql, values).fetchall()

    def _do_one(self, sql: str, values: Sequence[Any]) -> None:
        self._send(sql, values)

    def _do(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if len(rows) == 1:
            self._send(sql, rows[0])
        elif rows:  # sent together, also where nothing else is
            assert self._connection is not None
            self._connection.cursor().executemany(in_postgresql(sql), rows)


class _NeedsMore(Exception):  # noqa: N818 - it is no error
    """A run is about accounts that it has not locked; in their order they can only be locked from the start."""

    def __init__(self, accounts: frozenset[_Account]) -> None:
        super().__init__(accounts)
        self.accounts = accounts


class _Changed(Exception):  # noqa: N818 - it is no error
    """A run had read other limits than there are by now."""


def _columns(rows: Iterable[_Account | Place]) -> list[str | list[str]]:
    """Numbers and keys in their order, as arrays; whole numbers as text, since the driver takes their type from the first."""
    columns: list[tuple[Any, ...]] = list(zip(*sorted(rows), strict=True))
    return [f"{{{','.join(map(str, one))}}}" if isinstance(one[0], int) else list(one) for one in columns]


_ledgers: weakref.WeakSet[PostgresqlLedger] = weakref.WeakSet()


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """The store's words for what is wrong with a database hold for a ledger."""
    try:
        with translated(url):
            yield
    except StoreError as error:
        raise LedgerError(f"ledger{str(error).removeprefix('store')}") from error.__cause__


def _make(connection: psycopg.Connection) -> None:
    """The tables, if they are not there, and what the first ledgers lack."""
    if _is_whole(connection):
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        there = connection.execute(_HAS).fetchall()
        if _is_whole(connection):
            return  # another process was first
        connection.execute("CREATE SCHEMA IF NOT EXISTS payi_ledger")
        for statement in LATER if there else (*TABLES, *_MORE):
            connection.execute(in_postgresql(statement.replace(" AUTOINCREMENT", "")))
        if not there:
            connection.execute("INSERT INTO ledger VALUES (%s, 0, 0)", (uuid.uuid4().hex[:16],))
        connection.execute(_MARK)


def _is_whole(connection: psycopg.Connection) -> bool:
    return ("turns",) in connection.execute(_HAS).fetchall()
