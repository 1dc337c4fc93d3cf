"""When to try again at a server that could not be had: later each time, never all at once, and with little at first."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

__all__ = ["FULL", "Circuit"]

FULL = 200
"""Events of one request, at most: some 300 kB of JSON."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
MOST_ASKED = 3600.0
"""Seconds that a server may ask us to stay away, at most: a date far off is a mistake."""
SUSPECTS_AT = 5
"""Failures in a row after which an event may be what the server breaks at."""
MOST_LOOKED = 32
"""Events in a row that are looked through for one that gets through, at most."""
OPENS_AT = 2
"""Failures in a row after which nobody waits for the server any more."""


class Circuit:
    """What failures in a row come to.

    Args:
        clock: Seconds that only grow.
        chance: A number in [0, 1): pauses are between half of what they are said to be and all of it, so that processes
            which failed together do not come back together.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._failures = 0
        self._next = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the server is known to be away: a flush does not wait for it."""
        return self._failures >= OPENS_AT

    @property
    def looked(self) -> int:
        """How many events to look through for one that gets through, the first included; 0 as long as none is suspected.

        Twice as many each time: a server that is broken itself is to be asked little.
        """
        over = self._failures - SUSPECTS_AT
        return 0 if over < 0 else min(MOST_LOOKED, 2 << min(over, MOST_LOOKED))

    @property
    def size(self) -> int:
        """How many events to send: after a failure one, which tells as much as many."""
        return 1 if self._failures else FULL

    @property
    def seconds(self) -> float:
        """Until the next try; 0 if it may be now."""
        return max(0.0, self._next - self._clock())

    def succeeded(self) -> None:
        """The server took something."""
        self._failures, self._next = 0, 0.0

    def failed(self, asked: float = 0.0, pause: float = 0.0) -> float:
        """It did not; returns the seconds until the next try.

        Args:
            asked: Seconds that the server wants us to stay away (`Retry-After`).
            pause: Seconds that make sense whatever happened before; 0 for twice those of the last time.
        """
        self._failures += 1
        doubled = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - 1, 10))
        seconds = max((pause or doubled) * (0.5 + self._chance() / 2), min(asked, MOST_ASKED))
        self._next = self._clock() + seconds
        return seconds
