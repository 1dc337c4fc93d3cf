"""Which values of a dimension cost most in a range, without adding up more of each than its calls and its cost."""

from __future__ import annotations

import heapq
import sqlite3
from typing import NamedTuple

from .interned import Names
from .query import Extent, Grouping, read
from .schema import OTHER

__all__ = ["Dearest", "dearest"]


class Dearest(NamedTuple):
    """The values that come first."""

    keys: list[int]
    """In their order."""
    size: int
    """How many there are in all."""


def dearest(
    connection: sqlite3.Connection,
    how: Grouping,
    since_ns: int,
    until_ns: int,
    held: Extent,
    names: Names,
    most: int,
) -> Dearest:
    """The `most` values that come first: by cost, calls, name.

    Args:
        connection: The store's.
        how: A grouping by one number.
        since_ns: The range's begin.
        until_ns: Its end, which is not in it.
        held: What the store has.
        names: Of the store.
        most: How many.
    """
    ticks, calls = _sums(connection, how._replace(slim=True), since_ns, until_ns, held)
    least = min(heapq.nlargest(most, ticks.values()), default=0)
    chosen = [key for key, cost in ticks.items() if cost >= least]  # more than asked for where several cost the same
    names.texts([key for key in chosen if key != OTHER])

    def order(key: int) -> tuple[int, int, str]:
        return -ticks[key], -calls[key], "(other)" if key == OTHER else names.text(key) or ""

    return Dearest(sorted(chosen, key=order)[:most], len(ticks))


def _sums(
    connection: sqlite3.Connection, how: Grouping, since_ns: int, until_ns: int, held: Extent
) -> tuple[dict[int, int], dict[int, int]]:
    """Ticks and calls of each value that has any calls."""
    ticks: dict[int, int] = {}
    calls: dict[int, int] = {}
    for key, n, cost in read(connection, how, since_ns, until_ns, held):
        if key in ticks:
            ticks[key] += cost
            calls[key] += n
        else:
            ticks[key] = cost
            calls[key] = n
    for key in [key for key, n in calls.items() if n == 0]:  # taken away again
        del ticks[key]
    return ticks, calls
