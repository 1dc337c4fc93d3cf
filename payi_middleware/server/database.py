"""The server's tables in the store: made under its one lock, read by as many connections as there are readers."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import QueuePool, StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from ..exceptions import StoreError
from ..settings import Settings, load
from ..store import Store, open_store
from ..store.connection import Connection as StoreConnection
from ..store_url import is_postgresql, shown_store
from .readers import Readers
from .tables import METADATA, VERSION, version

__all__ = ["kept", "over", "plainly", "prepare", "reading"]

_SQLITE, _POSTGRESQL = "sqlite://", "postgresql+psycopg://"  # SQLAlchemy's names; the connections are ours
_PLAIN: dict[str, Any] = {"use_native_hstore": False}  # to look for that type takes the driver's very connection


def kept(store: str | os.PathLike[str] | Settings) -> Settings:
    """The settings of a store.

    Raises:
        StoreError: It is one in memory, which no second connection could see.
    """
    settings = store if isinstance(store, Settings) else load({"store": store})
    if settings.in_memory:
        raise StoreError(
            f"{settings.store} is lost with its process; the server needs a file, such as sqlite:///payi.db, "
            "or a postgresql:// URL"
        )
    return settings


def prepare(store: str | os.PathLike[str] | Settings) -> Store:
    """The store, open for writing, with the server's tables in it.

    Raises:
        StoreError: It cannot be used, or a newer server made its tables.
    """
    settings = kept(store)
    opened = open_store(settings, create=True)
    try:
        with opened.batch() as batch, plainly():  # one transaction, which only one process has at a time
            _make(over(batch.connection), settings)
    except BaseException:
        opened.close()
        raise
    return opened


def over(connection: StoreConnection) -> Connection:
    """SQLAlchemy over a connection whose transactions are somebody else's; it begins and ends none."""
    raw = getattr(connection, "raw", None)  # of PostgreSQL: the driver's own
    lent: Any = _Lent(connection if raw is None else raw)
    name, options = (_SQLITE, {}) if raw is None else (_POSTGRESQL, _PLAIN)
    engine = sqlalchemy.create_engine(
        name, creator=lambda: lent, poolclass=StaticPool, pool_reset_on_return=None, **options
    )
    return engine.connect()


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Have a database that cannot be used say so in its own words, as the store understands them."""
    try:
        yield
    except DBAPIError as error:
        if error.orig is not None and not isinstance(error, IntegrityError):
            raise error.orig from None
        raise


class _Lent:
    """A connection that is not to be committed, rolled back or closed by who has it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Left to the owner, as the two below are."""

    def rollback(self) -> None:
        pass

    def close(self) -> None:
        pass


def reading(store: Settings) -> Readers:
    """Connections that cannot write."""
    if is_postgresql(store.store):
        from ..store.postgresql import connect

        # What the server closed meanwhile is noticed before a request is given it.
        return _pool(_POSTGRESQL, lambda: connect(store.store, read_only=True), most=20, pool_pre_ping=True, **_PLAIN)
    assert store.store_path is not None
    return _pool(_SQLITE, _reader_of(store.store_path), most=44)


def _pool(name: str, connect: Callable[[], Any], *, most: int, **options: Any) -> Readers:
    engine = sqlalchemy.create_engine(
        name,
        creator=connect,
        poolclass=QueuePool,
        pool_size=4,
        max_overflow=most - 4,
        pool_reset_on_return=None,
        **options,
    )
    return Readers(engine, most)


def _reader_of(path: Path) -> Callable[[], sqlite3.Connection]:
    def connect() -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5)

    return connect


def _make(connection: Connection, store: Settings) -> None:
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    found = connection.execute(sqlalchemy.select(version.c.version)).scalar()
    if found is None:
        connection.execute(version.insert().values(version=VERSION, probed_ns=0))
    elif found > VERSION:
        raise StoreError(
            f"store {shown_store(store.store)} was written by a newer server (tables {found}, this one knows {VERSION}); "
            "upgrade this one"
        )
    elif found < VERSION:
        connection.execute(version.update().values(version=VERSION))
