"""What only SQLite knows: opening a file safely, its settings, its functions, and its errors in our words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from pathlib import Path

from ..exceptions import StoreError, StoreFullError
from ..ownership import give, make_folder
from .histogram import less, packed
from .patience import BUSY_TIMEOUT, patiently
from .schema import MIGRATIONS, VERSION

__all__ = ["connect", "open_file", "refuse_newer", "schema_version", "translated"]

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
        if not create:
            _refuse_link(path)
            return _connect_reading(path, timeout)
        # Without a timeout: waiting is `patiently`'s.
        return _prepared(open_file(path), path, timeout)


def open_file(path: Path) -> sqlite3.Connection:
    """Any database of ours, made empty if it is not there: no link is followed, and only its owner reads it.

    Raises:
        StoreError, sqlite3.Error, OSError: It cannot be opened.
    """
    _refuse_link(path)
    with _opening:
        _make_file(path)
    return _open(path, "rw", 0)


def schema_version(path: Path) -> int:
    """The version of the schema of the store at `path`.

    Raises:
        StoreError: There is none, or it is another program's; the message names the cure.
    """
    with translated(path):
        _refuse_link(path)
        if not path.exists():
            raise _no_store(path)
        _refuse_odd(path)
        with contextlib.closing(_open(path, "ro", BUSY_TIMEOUT)) as connection:
            version = _version(connection, path)
    if version == 0:
        raise _no_store(path)
    return version


class translated:  # noqa: N801 - used as a function
    """Turn SQLite's errors, in a block, into `StoreError`s that name the cure."""

    __slots__ = ("_path",)

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (sqlite3.Error, OSError)):
            told = StoreFullError if _code(error) in _FULL else StoreError
            raise told(_message(error, self._path)) from error


def _code(error: sqlite3.Error | OSError) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _message(error: sqlite3.Error | OSError, path: Path | None) -> str:
    where = f"store {path or 'in memory'}"
    if isinstance(error, OSError):
        return f"{where}: {error.strerror or error}; create the folder, or give this user the right to write there"
    cure = _CURES.get(_code(error))
    if cure is None:
        return f"{where}: {error}"
    return f"{where} {cure.format(path=path, files=f'{path}, {path}-wal and {path}-shm')} ({error})"


_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)  # a quota, or a bound of a file's size, is the latter
_CURES = {
    sqlite3.SQLITE_BUSY: "is locked by another program; end that program or wait for it",
    sqlite3.SQLITE_LOCKED: "is locked by another program; end that program or wait for it",
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "cannot be read or written, the disk reports an error; check the disk, quota and free space",
    sqlite3.SQLITE_READONLY: "is read-only; give this user the right to write {path} and its folder",
    sqlite3.SQLITE_PERM: "is not accessible; give this user the right to write {path} and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that {path} and its folder exist and may be written",
    sqlite3.SQLITE_CORRUPT: "is corrupt; move {files} away so that a new one is made, and try sqlite3's `.recover` on it",
    sqlite3.SQLITE_NOTADB: "is no SQLite database; name another file, or move {files} away so that a new one is made",
}


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise StoreError(
            f"store {path} is a symbolic link, which is not followed; name the file {path.resolve()} itself"
        )


def _refuse_odd(path: Path) -> None:
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise StoreError(f"store {path} is not a regular file; name another")


def _make_file(path: Path) -> None:
    make_folder(path.parent)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    with contextlib.suppress(FileExistsError):
        fd = os.open(
            path, flags, 0o600
        )  # SQLite gives its -wal and -shm files the same mode, and as root the same owner
        give(fd, path.parent)
        os.close(fd)
    _refuse_odd(path)


def _open(path: Path, mode: str, timeout: float) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?{mode if '=' in mode else f'mode={mode}'}"
    return sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)


def _prepared(connection: sqlite3.Connection, path: Path | None, timeout: float) -> sqlite3.Connection:
    try:
        patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), timeout)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        _tune(connection)
        patiently(lambda: _migrate(connection, path), timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def _tune(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.create_function("hist_packed", 1, packed, deterministic=True)
    connection.create_function("hist_less", 2, less, deterministic=True)


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


def refuse_newer(connection: sqlite3.Connection, path: Path | None) -> None:
    """Within a transaction: another process may have brought the store to a schema that this one does not know.

    Raises:
        StoreError: It has; what is to be written waits.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise _too_new(path, version)


def _too_new(path: Path | None, version: int) -> StoreError:
    return StoreError(
        f"store {path} was written by a newer version of payi-middleware (schema {version}, this one knows {VERSION}); "
        "upgrade this one"
    )


def _version(connection: sqlite3.Connection, path: Path | None) -> int:
    """The version of the schema; 0 for an empty database."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    # Whose it is, is asked last: another process may be making the store, all of it in one transaction.
    has_tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if has_tables and owner != _APPLICATION_ID:
        raise StoreError(f"store {path} is a database of another program; name another file")
    if version > VERSION:
        raise _too_new(path, version)
    return version


def _connect_reading(path: Path, timeout: float) -> sqlite3.Connection:
    if not path.exists():
        raise _no_store(path)
    _refuse_odd(path)
    connection = _open(path, "ro", timeout)
    try:
        version = _version(connection, path)
    except BaseException as error:
        connection.close()
        if not _is_denied(error) or _has_log(path):
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
    raise StoreError(
        f"store {path} has an older schema ({version}); bring it up to date: payi store upgrade, or start the application once"
    )


def _is_denied(error: BaseException) -> bool:
    denials = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in denials


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0


def _no_store(path: Path) -> StoreError:
    return StoreError(
        f"there is no store at {path}; run the application, which makes one when a call has ended, or name another: --store sqlite:///PATH"
    )
