"""Events into the store: what the drainer's thread writes to."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import forks
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
        self._health: dict[str, Any] = {}
        """As this process told it last."""
        self._stored: dict[str, Any] = {}
        """As it is in the store, but for the time."""
        self._stored_at = 0.0
        self._uncounted = 0
        """Events that were written since."""

    def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
        """Store the events that are new, and this process's health, in one transaction.

        Health that is as it was is written once a second.

        Raises:
            StoreError: Nothing was written: locked, missing, full, corrupt, read-only; the message names the cure.
        """
        if self._pid != os.getpid():  # the parent's thread may have held the lock when this process was forked
            self._lock, self._pid, self._uncounted = threading.Lock(), os.getpid(), 0
        with self._lock:
            store, self._health = self._opened(), health
            try:
                if events and self._is_told():
                    self._uncounted += store.write(events)
                else:
                    self._tell(store, events)
                if not events:  # just a report: there is nothing else to do
                    store.tend()
                    store.checkpoint()
            except StoreError:
                self._close()
                raise

    def close(self) -> None:
        """Let go of the file; never raises."""
        with self._lock:
            if self._store is not None and self._uncounted and self._pid == os.getpid() and self._store.is_current():
                with contextlib.suppress(StoreError):
                    self._tell(self._store, ())
            self._close()

    def _is_told(self) -> bool:
        """Whether the store has this health, but for the time, and for less than a second."""
        return self._health | _WHENEVER == self._stored and time.monotonic() - self._stored_at < _TELL_EVERY

    def _tell(self, store: Store, events: Sequence[CallEvent]) -> None:
        store.write(events, self._health, uncounted=self._uncounted)
        self._uncounted, self._stored, self._stored_at = 0, self._health | _WHENEVER, time.monotonic()

    def _opened(self) -> Store:
        if self._store is not None and not self._store.is_current():
            self._store.leave()
            self._store = None
        if self._store is None:
            with forks.loading():  # by the thread that writes, not by the application's
                from ..store import open_store

            self._store, self._stored = open_store(self._settings, create=True), {}
        return self._store

    def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


_TELL_EVERY = 1.0  # seconds
_WHENEVER = {"seen_ns": 0}
