"""What is done beside the writing, so that reports are quick: sums that lack are filled in, running ones move on with the days.

Each step is a day's, some hundred milliseconds where a day has a hundred thousand users, so steps are taken one at a time:
one with each fold, others while nobody waits. A command takes all at once (`catching_up.py`).
"""

from __future__ import annotations

import time
from collections.abc import Collection

from .connection import Connection
from .filling import fill_day
from .periods import HOUR_NS
from .windows import turn

__all__ = ["tend", "today"]

_SHORT = 0.03  # seconds in which small steps are taken together


def today() -> int:
    """The day since the epoch, UTC."""
    return time.time_ns() // (24 * HOUR_NS)


def tend(connection: Connection, most_keys: int, besides: Collection[int] = ()) -> bool:
    """Take a step, or some small ones; False if there was none to take. Within a transaction that writes.

    Args:
        connection: The store's.
        most_keys: Values of one dimension that a rollup tells apart in a day.
        besides: Days of which more is likely to come at once.
    """
    began, done = time.monotonic(), False
    while fill_day(connection, most_keys) is not None or turn(connection, today(), besides):
        done = True
        if time.monotonic() - began > _SHORT:
            break
    return done
