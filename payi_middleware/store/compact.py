"""The store's file as a whole: made small again, and copied."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import forks
from ..exceptions import StoreError
from ..ownership import give
from .patience import patiently
from .replaced import log_of

if TYPE_CHECKING:
    from .store import Store

__all__ = ["Compacted", "backup", "emptied_log", "free_bytes", "vacuum"]


class Compacted(NamedTuple):
    """How large the store was and is, its log included, and how long it took."""

    before: int
    after: int
    seconds: float


def vacuum(store: Store, timeout: float) -> Compacted:
    """Write the file anew without its free pages. Nobody can write meanwhile, and as much room is needed again.

    Args:
        store: Open for writing.
        timeout: Seconds to wait for others who use the store.

    Raises:
        StoreError: It could not; the store is as it was.
    """
    began, before = time.monotonic(), _bytes(store.path)
    with store.alone() as connection:
        _on_disk(connection, lambda: patiently(lambda: connection.execute("VACUUM"), timeout))
    emptied_log(store, timeout)
    return Compacted(before, _bytes(store.path), time.monotonic() - began)


def _on_disk(connection: sqlite3.Connection, action: Callable[[], object]) -> None:
    """Do it with temporary files: the copy of a large store does not go into memory."""
    connection.execute("PRAGMA temp_store = FILE")
    try:
        action()
    finally:
        connection.execute("PRAGMA temp_store = MEMORY")


def emptied_log(store: Store, timeout: float) -> bool:
    """Move the log into the file and cut it to nothing; whether nobody hindered it for `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        with store.alone() as connection:
            busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if not busy or time.monotonic() > deadline:
            return not busy
        forks.rest(0.01)


def free_bytes(store: Store) -> int:
    """What the file holds of free pages, which new events fill before it grows."""
    with store.alone() as connection:
        pages: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
        size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    return pages * size


def backup(store: Store, to: Path) -> int:
    """Copy the store, whole and compact, into a new file for its owner alone, while applications write; its bytes.

    Raises:
        StoreError: The file exists, or cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        fd = os.open(to, flags, 0o600)
    except OSError as error:
        raise StoreError(
            f"backup {to} cannot be made: {error.strerror}; name a file that does not exist yet"
        ) from error
    give(fd, to.parent)
    os.close(fd)
    try:
        with store.alone() as connection:
            connection.execute("VACUUM INTO ?", (os.fspath(to),))
        with to.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        to.unlink(missing_ok=True)
        raise
    return to.stat().st_size


def _bytes(path: Path | None) -> int:
    if path is None:
        return 0
    return sum(file.stat().st_size for file in (path, log_of(path)) if file.exists())
