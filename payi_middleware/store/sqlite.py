"""What only SQLite knows: opening a file safely, its settings, its functions, and its errors in our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..exceptions import StoreError
from .histogram import packed
from .schema import MIGRATIONS, VERSION

__all__ = ["BUSY_TIMEOUT", "connect", "is_current", "leave", "translated"]

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that writes."""

_APPLICATION_ID = 0x50617969  # "Payi": what file(1) and we ourselves know the file by
_CACHE_KIB = 8192
_CHECKPOINT_PAGES = 4000

# Creating closes a file descriptor of the database, which drops every lock this process holds on the file (POSIX),
# so it must not happen while another thread opens the same file.
_opening = threading.Lock()


def _after_fork() -> None:
    """In a forked child: another thread of the parent may have held the lock, which nobody here would ever release."""
    global _opening
    _opening = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

_left: list[sqlite3.Connection] = []


def connect(path: Path | None, *, create: bool, timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
    """Open the database for writing, made or brought up to date if need be; or, without `create`, for reading only.

    Args:
        path: The file; None for a database in memory, which is always made.
        create: Whether to write.
        timeout: Seconds to wait for another process's lock.

    Raises:
        StoreError: It cannot be opened; the message names the cure.
    """
    with translated(path):
        if path is None:
            return _prepared(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False), None, timeout)
        _refuse_link(path)
        if not create:
            return _connect_reading(path, timeout)
        with _opening:
            _make_file(path)
            return _prepared(_open(path, "rw", timeout), path, timeout)


def leave(connection: sqlite3.Connection) -> None:
    """Never use this connection again and never close it: closing would delete, by name, files that belong to others.

    For a forked parent's connection, and one whose file is no longer the one at its path.
    """
    _left.append(connection)


def is_current(path: Path, connection_file: tuple[int, int]) -> bool:
    """Whether the file at `path` is still the one that was opened; a deleted file takes writes and loses them."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == connection_file


@contextlib.contextmanager
def translated(path: Path | None) -> Iterator[None]:
    """Turn SQLite's errors into `StoreError`s that name the cure."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(_message(error, path)) from error


def _message(error: sqlite3.Error | OSError, path: Path | None) -> str:
    where = f"store {path or 'in memory'}"
    if isinstance(error, OSError):
        return f"{where}: {error.strerror or error}; create the folder, or give this user the right to write there"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    cure = _CURES.get(code)
    return f"{where}: {error}" if cure is None else f"{where} {cure.format(path=path)} ({error})"


_CURES = {
    sqlite3.SQLITE_BUSY: "is locked by another program; end that program or wait for it",
    sqlite3.SQLITE_LOCKED: "is locked by another program; end that program or wait for it",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "cannot be read or written, the disk reports an error; check the disk, quota and free space",
    sqlite3.SQLITE_READONLY: "is read-only; give this user the right to write {path} and its folder",
    sqlite3.SQLITE_PERM: "is not accessible; give this user the right to write {path} and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that {path} and its folder exist and may be written",
    sqlite3.SQLITE_CORRUPT: "is corrupt; move it away so that a new one is made, and try `sqlite3 {path} .recover`",
    sqlite3.SQLITE_NOTADB: "is no SQLite database; name another file, or move it away so that a new one is made",
}


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise StoreError(
            f"store {path} is a symbolic link, which is not followed; name the file {path.resolve()} itself"
        )


def _make_file(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, flags, 0o600))  # SQLite gives its -wal and -shm files the same mode
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise StoreError(f"store {path} is not a regular file; name another")


def _open(path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{mode if '=' in mode else f'mode={mode}'}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


def _prepared(connection: sqlite3.Connection, path: Path | None, timeout: float) -> sqlite3.Connection:
    try:
        _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), timeout)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        _tune(connection)
        _patiently(lambda: _migrate(connection, path), timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def _tune(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.create_function("hist_packed", 1, packed, deterministic=True)


def _patiently(action: Callable[[], object], timeout: float) -> None:
    """Try again while another process makes the same database: the change to WAL does not wait by itself."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _migrate(connection: sqlite3.Connection, path: Path | None) -> None:
    if _version(connection, path) == VERSION:
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in MIGRATIONS[_version(connection, path) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, path: Path | None) -> int:
    """The version of the schema; 0 for an empty database."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != _APPLICATION_ID and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreError(f"store {path} is a database of another program; name another file")
    if version > VERSION:
        raise StoreError(
            f"store {path} was written by a newer version of payi-middleware (schema {version}, this one knows "
            f"{VERSION}); upgrade this one"
        )
    return version


def _connect_reading(path: Path, timeout: float) -> sqlite3.Connection:
    if not path.exists():
        raise _no_store(path)
    connection = _open(path, "ro", timeout)
    try:
        version = _version(connection, path)
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY) or _has_log(path):
            raise
        # A folder without the right to write cannot take the -shm file; at rest the database can be read without one.
        connection = _open(path, "immutable=1", timeout)
        version = _version(connection, path)
    if version == VERSION:
        _tune(connection)
        return connection
    connection.close()
    if version == 0:
        raise _no_store(path)
    raise StoreError(f"store {path} has an older schema ({version}); start the application once to bring it up to date")


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _no_store(path: Path) -> StoreError:
    return StoreError(
        f"there is no store at {path}; run the application, which makes one, or name another: --store sqlite:///PATH"
    )
