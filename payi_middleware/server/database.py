"""The server's tables in the store's file: made under one exclusive lock, read by as many connections as there are readers."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from ..exceptions import StoreError
from ..settings import Settings, load
from ..store import Store, open_store
from .tables import METADATA, VERSION, version

__all__ = ["file_of", "over", "plainly", "prepare", "reading"]


def file_of(store: str | Settings) -> Path:
    """The file of a store.

    Raises:
        StoreError: It is one in memory, which no second connection could see.
    """
    settings = store if isinstance(store, Settings) else load({"store": store})
    if settings.store_path is None:
        raise StoreError(
            f"{settings.store} is lost with its process; the server needs a file, such as sqlite:///payi.db"
        )
    return settings.store_path


def prepare(path: Path) -> Store:
    """The store, open for writing, with the server's tables in it.

    Raises:
        StoreError: It cannot be used, or a newer server made its tables.
    """
    store = open_store(f"sqlite:///{path}", create=True)
    try:
        with store.batch() as batch:  # one transaction, which only one process has at a time
            _make(over(batch.connection), path)
    except BaseException:
        store.close()
        raise
    return store


def over(connection: sqlite3.Connection) -> Connection:
    """SQLAlchemy over a connection whose transactions are somebody else's; it begins and ends none."""
    lent = _Lent(connection)
    engine = sqlalchemy.create_engine(
        "sqlite://", creator=lambda: lent, poolclass=StaticPool, pool_reset_on_return=None
    )
    return engine.connect()


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Have a database that cannot be used say so in its own words, as the store understands them."""
    try:
        yield
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.DatabaseError) and not isinstance(error.orig, sqlite3.IntegrityError):
            raise error.orig from None
        raise


class _Lent:
    """A connection that is not to be committed, rolled back or closed by who has it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Left to the owner, as the two below are."""

    def rollback(self) -> None:
        pass

    def close(self) -> None:
        pass


def reading(path: Path) -> Engine:
    """Connections that cannot write."""

    def connect() -> sqlite3.Connection:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5)

    return sqlalchemy.create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=4, max_overflow=40, pool_reset_on_return=None
    )


def _make(connection: Connection, path: Path) -> None:
    for table in METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in table.indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))
    found = connection.execute(sqlalchemy.select(version.c.version)).scalar()
    if found is None:
        connection.execute(version.insert().values(version=VERSION, probed_ns=0))
    elif found > VERSION:
        raise StoreError(
            f"store {path} was written by a newer server (tables {found}, this one knows {VERSION}); upgrade this one"
        )
    elif found < VERSION:
        connection.execute(version.update().values(version=VERSION))
