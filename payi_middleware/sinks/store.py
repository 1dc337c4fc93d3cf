"""Events into the store: what the drainer's thread writes to."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..exceptions import StoreError
from ..settings import Settings

if TYPE_CHECKING:
    from ..events import CallEvent
    from ..store import Store

__all__ = ["StoreSink"]


class StoreSink:
    """Writes to the store that the settings name; opened by the first write, and anew after an error or a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
        """Store the events that are new, and this process's health, in one transaction.

        Raises:
            StoreError: Nothing was written: locked, missing, full, corrupt, read-only; the message names the cure.
        """
        if self._pid != os.getpid():  # the parent's thread may have held the lock when this process was forked
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            store = self._opened()
            try:
                store.write(events, health)
                if not events:  # just a report: there is nothing else to do
                    store.tend()
                    store.checkpoint()
            except StoreError:
                self._close()
                raise

    def close(self) -> None:
        """Let go of the file; never raises."""
        with self._lock:
            self._close()

    def _opened(self) -> Store:
        # The database library is loaded by the thread that writes, not by the application's.
        from ..store import open_store

        if self._store is not None and not self._store.is_current():
            self._store.leave()
            self._store = None
        if self._store is None:
            self._store = open_store(self._settings, create=True)
        return self._store

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()
