"""Rates that were fetched since: taken over by a running server as by any other process of the store."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .. import health
from ..pricing import Prices

__all__ = ["Newer"]

_SECONDS = 5.0  # between two looks; each is a question after the file's date


class Newer:
    """Looks for newer rates from construction to `close`, in a thread of its own, so that reading them holds up no event.

    Args:
        prices: Loaded; replaced whole, so that who prices meanwhile prices by the old ones or the new.
        fetch_if_due: Has the newest be fetched, where the settings want it.
    """

    def __init__(self, prices: Prices, fetch_if_due: Callable[[Callable[[], None]], None]) -> None:
        self._prices = prices
        self._fetch_if_due = fetch_if_due
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="payi-server-prices", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_SECONDS):
            try:
                self._fetch_if_due(self._prices.load)
                self._prices.load()
            except Exception:
                health.note("prices_update", "newer rates could not be taken over; those in use stay", exc_info=True)
