"""The store as a whole: made small again, and copied."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import forks
from ..exceptions import StoreError
from ..ownership import give

if TYPE_CHECKING:
    from .store import Store

__all__ = ["Compacted", "backup", "emptied_log", "vacuum"]


class Compacted(NamedTuple):
    """How large the store was and is, its log included, and how long it took."""

    before: int
    after: int
    seconds: float


def vacuum(store: Store, timeout: float) -> Compacted:
    """Write the store anew without its free space. Nobody can write meanwhile, and as much room is needed again.

    Args:
        store: Open for writing.
        timeout: Seconds to wait for others who use the store.

    Raises:
        StoreError: It could not; the store is as it was.
    """
    began = time.monotonic()
    with store.alone():
        before = store.database.size()
        store.database.compact(timeout)
    emptied_log(store, timeout)
    with store.alone():
        return Compacted(before, store.database.size(), time.monotonic() - began)


def emptied_log(store: Store, timeout: float) -> bool:
    """Move the log into the file and cut it to nothing; whether nobody hindered it for `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        with store.alone():
            emptied = store.database.emptied()
        if emptied or time.monotonic() > deadline:
            return emptied
        forks.rest(0.01)


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
        with store.alone():
            store.database.copy(to)
        with to.open("rb") as file:
            os.fsync(file.fileno())
    except BaseException:
        to.unlink(missing_ok=True)
        raise
    return to.stat().st_size
