"""Which limits an event may name at Pay-i: those that are there and only count. Ingest refuses an event that names another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from urllib.parse import quote

from .api import Answer

__all__ = ["KnownLimits"]

FRESH_SECONDS = 600.0
"""After which a limit is looked up again: somebody may have made it, or deleted it."""
_MOST = 4096


class KnownLimits:
    """What was asked of the server, remembered for a while.

    Args:
        get: Asks for a path.
        clock: Seconds that only grow.
    """

    def __init__(self, get: Callable[[str], Answer], clock: Callable[[], float] = time.monotonic) -> None:
        self._get = get
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}

    def usable(self, limits: Iterable[str]) -> frozenset[str]:
        """Those that may be named.

        Raises:
            Unreachable: The server cannot be asked.
        """
        return frozenset(limit for limit in set(limits) if self._is_usable(limit))

    def refused(self, limits: Iterable[str]) -> None:
        """An event that named these was refused for it."""
        for limit in limits:
            self._remember(limit, usable=False)

    def _is_usable(self, limit: str) -> bool:
        asked, usable = self._known.get(limit, (-FRESH_SECONDS, False))
        if limit not in self._known or self._clock() - asked >= FRESH_SECONDS:
            usable = self._ask(limit)
            self._remember(limit, usable=usable)
        return usable

    def _remember(self, limit: str, *, usable: bool) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[limit] = (self._clock(), usable)

    def _ask(self, limit: str) -> bool:
        if limit in (".", ".."):  # no path can name it
            return False
        told = self._get(f"/api/v1/limits/{quote(limit, safe='')}").json()
        found = told.get("limit") if isinstance(told, dict) else None
        return isinstance(found, dict) and found.get("limit_type") == "allow"
