"""A store whose file was moved away or replaced while it is open.

SQLite finds the log and its index (`-wal`, `-shm`) by the store's name, so a new database at the path would take the old one's for
its own. Who notices first therefore moves the log into the old file, wherever that is now, and takes the two names away. Other
processes that still have the old file open reach its log by their descriptors, and see that the names are no longer its.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from .. import forks
from ..exceptions import StoreError
from .patience import patiently

__all__ = ["File", "file_at", "leave", "log_of"]

File = tuple[int, int]
"""Device and inode."""

_PATIENCE = 1.0  # seconds for others that use the old file


def file_at(path: Path | str) -> File | None:
    """The file at a path, if there is one."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def log_of(path: Path) -> Path:
    """Where SQLite keeps the log of the store at `path`."""
    return path.with_name(path.name + "-wal")


def leave(connection: sqlite3.Connection, path: Path, log: File | None) -> None:
    """Let go of the old file, whose log was `log`.

    Raises:
        StoreError: The old file's log is still there, so what is at the path must not be used.
    """
    if file_at(log_of(path)) in (log, None) and _closed(connection):
        return
    try:
        _emptied(connection)
        _take_names(connection, path, log)
    except sqlite3.Error as error:
        if file_at(log_of(path)) == log:
            raise StoreError(
                f"store {path} was replaced while it is in use, and {path}-wal still belongs to the old one ({error}); "
                f"end the programs that use it, and move {path}-wal and {path}-shm away"
            ) from error
    forks.keep(connection)  # to close it might delete, by name, a log that is another's


def _closed(connection: sqlite3.Connection) -> bool:
    """Close the old file if nobody else uses it; then its log and index are deleted, and everything is in the file."""
    try:
        connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        return False  # the file is at its path after all
    except sqlite3.Error as error:
        # It does away with the log, then finds that it may not write to a file that has moved, as we know.
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_DBMOVED:
            return False
    connection.close()
    return True


def _emptied(connection: sqlite3.Connection) -> None:
    """Move the log into the old file, as far as its readers let us: the last of its users has the rest."""
    deadline = time.monotonic() + _PATIENCE
    while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] and time.monotonic() < deadline:
        forks.rest(0.01)


def _take_names(connection: sqlite3.Connection, path: Path, log: File | None) -> None:
    """Unless another process did so: under the old file's own lock, or one could take the names of the new one's log."""
    patiently(lambda: connection.execute("BEGIN IMMEDIATE"), _PATIENCE)
    try:
        if file_at(log_of(path)) == log:
            for name in (log_of(path), path.with_name(path.name + "-shm")):
                with contextlib.suppress(FileNotFoundError):
                    name.unlink()
    finally:
        connection.execute("ROLLBACK")
