"""The rates of a running process: those that were fetched, and the thread that fetches newer ones now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import context, health
from .exceptions import PricesError
from .fetched import URL, Fetched, fetched_at

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

__all__ = ["Updates"]


class Updates:
    """Fetches rates every `interval` seconds, 0 for never; a network that hangs holds up nothing but itself.

    Args:
        store: What the store's files are named after, beside which they are kept; None for memory.
        interval: Seconds between two fetches.
        url: Where they are.
    """

    def __init__(self, store: Path | None, interval: float, url: str = URL) -> None:
        self._fetched = Fetched(fetched_at(store))
        self._interval = interval
        self._url = url
        self._next = 0.0
        self._thread: threading.Thread | None = None

    def snapshot(self) -> DataSnapshot | None:
        """What was fetched last, if anything was. Never raises."""
        try:
            return self._fetched.snapshot()
        except PricesError as error:
            health.note("prices_update", "the installed rates are used: %s", error)
            return None

    def fetch_if_due(self, then: Callable[[], None]) -> None:
        """Start a fetch if it is time, and call `then` after it."""
        now = time.monotonic()
        if not self._interval or now < self._next or (self._thread is not None and self._thread.is_alive()):
            return
        self._next = now + self._interval
        frame = context.frame.set(None)  # the thread is nobody's
        try:
            self._thread = threading.Thread(target=self._fetch, args=(then,), name="payi-prices", daemon=True)
            self._thread.start()
        except RuntimeError:  # the process has too many, or ends
            health.count("thread_refused")
        finally:
            context.frame.reset(frame)

    def _fetch(self, then: Callable[[], None]) -> None:
        try:
            self._fetched.fetch(self._url)
            then()
        except PricesError as error:
            health.note("prices_update", "%s", error)
        except Exception:
            health.note("prices_update", "the newest rates could not be taken over; those in use stay", exc_info=True)
