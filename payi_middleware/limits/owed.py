"""What the ledger is still to be told of: the ids of calls that were stored while it was away, in a file that outlives the process.

Their events are in the store, so the ids are enough, and tell nothing of anybody. One file in the spool's folder is shared by all
processes of a store and a ledger. Each adds to its end; whoever finds the ledger in reach takes the file away under another name,
has the calls counted, and deletes it. To count a call twice does no harm, since a ledger counts an event once, so nothing has to
be remembered of who did what: a process that dies in between leaves a file that the next one finds.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..events import CallEvent
from ..ownership import give, make_folder
from ..segment import fcntl
from ..settings import Settings
from ..store_url import SQLITE, identity, is_postgresql
from .ledger import SETTLED_DAYS

__all__ = ["Owed", "is_remembered", "stored_events"]

_ID: Final = 16
_AT_ONCE: Final = 500
_MOST_BYTES: Final = 64 << 20
"""Of a file: four million calls."""
_KEPT_MS: Final = (SETTLED_DAYS - 1) * 86_400_000
"""After that a ledger may not know any more whether it counted a call: `payi limits audit` does."""
_TELLS_TIME: Final = 7
"""The version of a UUID that begins with its milliseconds; see `record.new_id` and `once.event_id`."""
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def is_remembered(event_id: bytes) -> bool:
    """Whether a ledger still knows of a call if it counted it: the call began lately, as its id tells.

    One that is made of a provider's id, which is no UUIDv7, tells no time: such a call counts, whenever it was.
    """
    if event_id[6] >> 4 != _TELLS_TIME:
        return True
    return int.from_bytes(event_id[:6], "big") >= int(time.time() * 1000) - _KEPT_MS


class Owed:
    """The file of a store and a ledger.

    Args:
        folder: The spool's.
        label: What tells the store's files in a folder that stores may share.
        ledger: The ledger, as the settings name it; empty for the store's own.
    """

    def __init__(self, folder: Path, label: str, ledger: str) -> None:
        self._folder = folder
        name = hashlib.blake2b(f"{label}\n{ledger}".encode(), digest_size=6).hexdigest()
        self._path = folder / f"{name}.owed"

    @classmethod
    def of(cls, settings: Settings, label: str) -> Owed | None:
        """The one of some settings; None where nothing is kept on disk."""
        folder = settings.spool_path
        return None if folder is None or settings.in_memory else cls(folder, label, _named(settings.ledger))

    def add(self, event_ids: Sequence[bytes]) -> None:
        """Remember calls whose events are in the store.

        Raises:
            OSError: The file cannot be written, or is as large as it may get.
        """
        make_folder(self._folder)
        fd = self._locked()
        try:
            size = os.fstat(fd).st_size
            whole = size - size % _ID
            if whole < size:  # a write that was cut off: what follows would be read from its midst
                os.ftruncate(fd, whole)
            ids = b"".join(event_ids)
            if whole + len(ids) > _MOST_BYTES:
                raise OSError(errno.EDQUOT, "more calls wait for the ledger than can be remembered", str(self._path))
            if os.write(fd, ids) < len(ids):
                os.ftruncate(fd, whole)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        finally:
            os.close(fd)

    def _locked(self) -> int:
        """The file, which nobody takes away until it is closed."""
        while True:
            fd = os.open(self._path, _FLAGS, 0o600)
            try:
                if fcntl is not None:
                    fcntl.flock(fd, fcntl.LOCK_EX)
                give(fd, self._folder)
                if os.path.samestat(os.fstat(fd), os.stat(self._path, follow_symlinks=False)):
                    return fd
            except FileNotFoundError:  # it was taken between opening and locking
                pass
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def is_empty(self) -> bool:
        """Whether nothing is to be told, by this process or any other."""
        return not self._path.exists() and not self._taken()

    def settle(self, count: Callable[[list[bytes]], None]) -> None:
        """Have all calls counted; what is left when that raises is found the next time.

        Args:
            count: Has the calls of some ids counted, or raises.
        """
        self._take()
        for path in self._taken():
            for some in _read(path):
                count(some)
            path.unlink(missing_ok=True)

    def _take(self) -> None:
        """Take the file away from those who add to it."""
        if self._path.exists():
            fd = self._locked()
            try:
                os.rename(self._path, self._path.with_name(f"{self._path.name}.{secrets.token_hex(4)}"))
            finally:
                os.close(fd)

    def _taken(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._path.name}.*"))


def _named(ledger: object) -> str:
    """A ledger in the one spelling that all processes agree on."""
    if not isinstance(ledger, str):
        return "" if ledger is None else type(ledger).__name__
    if ledger.startswith(SQLITE):
        return os.path.realpath(ledger.removeprefix(SQLITE))
    return identity(ledger) if is_postgresql(ledger) else ledger


def _read(path: Path) -> Iterator[list[bytes]]:
    """The ids of a file that are not too old, some at a time; a torn one at its end is left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:  # another process was faster
        return
    with file:
        while data := file.read(_ID * _AT_ONCE):
            ids = [data[at : at + _ID] for at in range(0, len(data) - _ID + 1, _ID)]
            if young := [one for one in ids if is_remembered(one)]:
                yield young


def stored_events(settings: Settings, event_ids: list[bytes]) -> list[CallEvent]:
    """The events of some ids, as they were recorded. Those that were pruned or forgotten are left out.

    Raises:
        StoreError: The store cannot be read.
    """
    from ..store import open_store
    from ..store.read import by_ids

    with open_store(settings, create=False) as store, store.snapshot() as connection:
        return [event for _, event in by_ids(connection, event_ids, as_recorded=True).values()]
