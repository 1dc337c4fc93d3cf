"""How much a key may ask for and bring in a second, so that one application's mistake is not everybody's.

The bound is one on the mean: what comes at once may be more, and the next has to wait until it is made up for. So a bulk
is taken whole or not at all, and what is refused was never begun. Each process of the server counts for itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from .errors import ApiError

__all__ = ["EVENTS", "REQUESTS", "TOO_MANY", "Budget", "Rates"]

REQUESTS: Final = 5_000
"""Requests a second, unless told otherwise: several times what a process can answer on two cores, single ingests."""
EVENTS: Final = 200_000
"""Events a second, unless told otherwise: several times what a process can store."""
TOO_MANY: Final = "rate_exceeded"
"""The code of a refusal; Pay-i documents none."""


class _Rate:
    """So many things a second. What is left grows to a second's worth; it may become a debt.

    Args:
        most: Things a second; 0 for no bound.
        clock: Seconds.
    """

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.most = most
        self._clock = clock
        self._left = float(most)
        self._at = clock()

    def take(self, number: int) -> None:
        """Take some, whether or not they are left."""
        if self.most:
            self._left = self._now() - number

    def wait(self) -> float:
        """Seconds until one may be taken; 0 if it may now."""
        return max(0.0, (1 - self._now()) / self.most) if self.most else 0.0

    def _now(self) -> float:
        at = self._clock()
        self._left = min(float(self.most), self._left + (at - self._at) * self.most)
        self._at = at
        return self._left


class Budget:
    """What is left to one key. Used by one event loop, so it needs no lock."""

    def __init__(self, requests: _Rate, events: _Rate) -> None:
        self._requests = requests
        self._events = events

    def ask(self) -> None:
        """Count a request.

        Raises:
            ApiError: There were too many.
        """
        _refuse_if_over(self._requests, "requests")
        self._requests.take(1)

    def begin(self) -> None:
        """Before events are read.

        Raises:
            ApiError: There were too many.
        """
        _refuse_if_over(self._events, "events")

    def bring(self, number: int) -> None:
        """Count events, whatever becomes of them."""
        self._events.take(number)


class Rates:
    """The budgets of all keys of a process.

    Args:
        requests: A second; 0 for no bound.
        events: The same of events that are ingested.
        clock: Seconds.
    """

    def __init__(
        self, requests: int = REQUESTS, events: int = EVENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.requests = requests
        self.events = events
        self._clock = clock
        self._budgets: dict[bytes, Budget] = {}

    def of(self, key: bytes) -> Budget:
        """What is left to a key that is known, by its digest."""
        budget = self._budgets.get(key)
        if budget is None:
            budget = Budget(_Rate(self.requests, self._clock), _Rate(self.events, self._clock))
            self._budgets[key] = budget
        return budget


def _refuse_if_over(rate: _Rate, what: str) -> None:
    seconds = rate.wait()
    if seconds:
        after = math.ceil(seconds)
        message = f"more than {rate.most} {what} a second by this key; send it again in {after} s"
        raise ApiError(429, message, TOO_MANY, retry_after=after)
