"""What only PostgreSQL knows: connecting, its errors in our words, and statements that go through its own dialect.

Imported only where a store's URL says so; the driver is psycopg 3.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..exceptions import StoreError, StoreFullError
from ..store_url import shown_store
from .connection import Rows, Values
from .dialect import in_postgresql
from .patience import BUSY_TIMEOUT

try:
    import psycopg
except ImportError as error:
    raise StoreError(
        f"a store on PostgreSQL takes psycopg 3 ({error}); install it: pip install 'payi-middleware[postgresql]'"
    ) from None
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.numeric import Int8BinaryDumper, IntLoader
from psycopg.types.string import StrDumperUnknown

if TYPE_CHECKING:
    from psycopg.adapt import Buffer

__all__ = ["LOCK", "SCHEMA", "Statements", "Unavailable", "Unfit", "connect", "message_of", "translated"]

SCHEMA = "payi"
"""The schema that all our tables are in, so that the database may be another application's too."""

LOCK = 0x50617969
"""The advisory lock of who writes, or changes the schema; with a second number, that of other things that one process does."""

Unavailable = psycopg.OperationalError
"""What is raised when the database cannot do something now, or is gone."""
Unfit = psycopg.DataError
"""What is raised for a value that no column of its kind can hold."""

_DEFAULTS: dict[str, Any] = {
    "application_name": "payi",
    "client_encoding": "utf8",
    "connect_timeout": 5,  # seconds, for each host
    # A server that is gone without a word is noticed in half a minute.
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_AT_ONCE = 1000  # rows of a long answer that are fetched together
_LONGEST = 500  # characters of what the server said
_UNDER_WAY = (pq.TransactionStatus.ACTIVE, pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)


class _Text(StrDumperUnknown):
    """Text without NUL, which PostgreSQL cannot keep."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


def connect(url: str, *, timeout: float = BUSY_TIMEOUT, read_only: bool = False) -> psycopg.Connection:
    """A connection in autocommit, whose transactions are those that are begun by statements; numbers come as `int`.

    Args:
        url: `postgresql://user:password@host:port/database`, with libpq's parameters in the query.
        timeout: Seconds to wait for a lock, at most.
        read_only: Whether transactions cannot write unless they say so.

    Raises:
        StoreError: It cannot be had; the message names the cure.
    """
    with translated(url):
        given = conninfo_to_dict(url)
        more = {key: value for key, value in _DEFAULTS.items() if key not in given}
        raw = psycopg.connect(make_conninfo(url, **more), autocommit=True)
        try:
            raw.adapters.register_dumper(int, Int8BinaryDumper)  # one type for all, or each size has a plan of its own
            raw.adapters.register_dumper(str, _Text)
            raw.adapters.register_loader("numeric", IntLoader)  # sums of whole numbers
            raw.execute(_settings(timeout, read_only))
        except BaseException:
            raw.close()
            raise
    return raw


def _settings(timeout: float, read_only: bool) -> bytes:
    """One text, and one way to the server and back."""
    settings = {
        "search_path": SCHEMA,
        "client_min_messages": "warning",
        "lock_timeout": max(1, int(timeout * 1000)),  # milliseconds
        "default_transaction_isolation": "'read committed'",  # after a lock is had, all that was committed is seen
        "jit": "off",  # compiling a question takes longer than most of ours
        "default_transaction_read_only": "on" if read_only else "off",
    }
    return "; ".join(f"SET {name} = {value}" for name, value in settings.items()).encode()


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Turn the driver's errors into `StoreError`s that name the cure."""
    try:
        yield
    except psycopg.Error as error:
        kind = StoreFullError if error.sqlstate == _FULL else StoreError
        raise kind(message_of(error, url)) from (None if _is_of_url(error) else error)


def message_of(error: psycopg.Error, url: str) -> str:
    """What an error means, and what helps; without a password."""
    where = f"store {shown_store(url)}"
    if _is_of_url(error):
        return f"{where} has a URL that cannot be read; use postgresql://user:password@host:5432/database"
    told = " ".join(str(error).split())[:_LONGEST]
    state = error.sqlstate or _state_of(error, told)
    cure = _CURES.get(state) or _CURES.get(state[:2]) or "cannot be used"
    return f"{where} {cure} ({told})"


def _is_of_url(error: psycopg.Error) -> bool:
    """Whether the URL is no URL; what libpq says of it may have the password in it."""
    return isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None


_FULL = "53100"
_CURES = {
    "08": "cannot be reached; check that the server runs and may be reached from here",
    "28": "refuses this user; check the user and the password of the URL, and the server's pg_hba.conf",
    "3D": "is not there; make it: CREATE DATABASE name ENCODING 'UTF8'",
    "3F": "has no tables of ours; run the application, which makes them",
    "42501": "does not give this user the right; as its owner: CREATE SCHEMA payi AUTHORIZATION the_user",
    "42P01": "lacks a table; see payi store upgrade, or restore a backup",
    "25006": "is read-only, a standby for example; name the server that may be written",
    _FULL: "cannot grow, the disk is full; free some space on the server",
    "53200": "has no memory left; give the server more, or lower work_mem",
    "53300": "has too many connections; raise max_connections, or end some",
    "55P03": "is locked by another program; end that program or wait for it",
    "40": "was hindered by another program; it is tried again",
    "57014": "ended the question, which took longer than its statement_timeout; raise it for this user",
    "57": "is being stopped or started; it is tried again",
    "58": "has a disk that reports an error; check the server's disk",
    "XX": "reports that it is damaged; see the server's log, and restore a backup",
}
"""SQLSTATE, or its class -> cure; see appendix A of PostgreSQL's manual. Tables that are not there have their own."""


def _state_of(error: psycopg.Error, told: str) -> str:
    """The state of what failed before the server gave one: libpq hands on words only."""
    if not isinstance(error, psycopg.OperationalError):
        return ""
    return next((state for words, state in _WORDS if words in told), "08")


_WORDS = [
    ("authentication failed", "28"),
    ("no password supplied", "28"),
    ("pg_hba.conf", "28"),
    ("role ", "28"),
    ("database ", "3D"),
    ("too many clients", "53300"),
    ("connection slots", "53300"),
    ("starting up", "57"),
    ("shutting down", "57"),
]


class Statements:
    """A connection that takes the store's statements, and puts them into PostgreSQL's words."""

    def __init__(self, raw: psycopg.Connection) -> None:
        self.raw = raw

    @property
    def in_transaction(self) -> bool:
        """Whether one is under way; never in a connection that is lost."""
        return self.raw.info.transaction_status in _UNDER_WAY

    def execute(self, statement: str, values: Values = (), /) -> Rows:
        """Run a statement."""
        return _Rows(self.raw.execute(in_postgresql(statement), values or None))

    def executemany(self, statement: str, values: Iterable[Values], /) -> Rows:
        """Run a statement once for each, all sent together."""
        cursor = self.raw.cursor()
        cursor.executemany(in_postgresql(statement), list(values))
        return _Rows(cursor)

    def streamed(self, statement: str, values: Values) -> Iterator[Any]:
        """The rows of a long answer, some at a time, in a transaction of its own."""
        with self.raw.transaction(), self.raw.cursor("payi") as cursor:
            cursor.itersize = _AT_ONCE
            yield from cursor.execute(in_postgresql(statement), values)


class _Rows:
    """What a statement found; a statement that tells of nothing has no rows, as in SQLite."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: psycopg.Cursor[Any]) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The number that the last row got."""
        found = self._cursor.connection.execute("SELECT lastval()").fetchone()
        return None if found is None else found[0]

    def fetchone(self) -> Any:
        return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cursor)
