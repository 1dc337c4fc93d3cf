"""Old events out of the store, while applications write: in short transactions, with rests between them.

Cut is by whole days of UTC. An event goes only when it is in the rollups, so sums lose nothing. Where sums go too, a month
that is cut keeps the sum of its remaining days. A process that is killed meanwhile leaves a store that is right, and the
next one goes on where it stood.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from .. import forks
from .adding import DIMS
from .connection import Connection
from .deliveries import forget_events
from .keeping import removed
from .periods import HOUR_NS, day_of_month, month_of_hour
from .rebuild import month_again
from .schema import DAY, HOUR, MONTH
from .unused import remove_unused
from .windows import days_in, leave_day

if TYPE_CHECKING:
    from .store import Store

__all__ = ["Pruned", "day_before", "prune", "would_prune"]

_EVENTS = 1_000  # of one transaction: 20 to 50 ms for which no application can write
_SUMS = 5_000  # rows of a rollup, likewise
_REST = 0.02  # seconds between two transactions, at least, in which others get the lock

_AWAITED = """
EXISTS (
    SELECT 1 FROM wide AS w JOIN deliveries AS d ON d.application = w.application WHERE w.id = e.wide AND e.id > d.mark
)
"""
_OLD = f"""
SELECT id FROM events AS e WHERE hour < ? AND id <= (SELECT event FROM folded) AND (? OR NOT {_AWAITED}) ORDER BY hour LIMIT ?
"""
_OLD_SUMS = "SELECT dim, grain, period, key, kind FROM rollup WHERE dim = ? AND grain = ? AND period < ? LIMIT ?"
_NO_SUM = "DELETE FROM rollup WHERE dim = ? AND grain = ? AND period = ? AND key = ? AND kind = ?"


class Pruned(NamedTuple):
    """What was removed, or would be."""

    events: int = 0
    corrections: int = 0
    sums: int = 0
    """Rows of rollups."""
    texts: int = 0
    """Repeated values that nothing uses any more."""
    waiting: int = 0
    """Events that stay, since a server does not have them yet."""

    def plus(self, other: Pruned) -> Pruned:
        """Both together."""
        return Pruned(*(mine + more for mine, more in zip(self, other, strict=True)))


def day_before(moment_ns: int) -> int:
    """The day (since the epoch, UTC) that holds a moment: what began before it is older than the moment."""
    return moment_ns // (24 * HOUR_NS)


def would_prune(store: Store, day: int, *, keep_sums: bool, undelivered: bool = False) -> Pruned:
    """What `prune` would remove, without what nothing would use then."""
    with store.snapshot() as connection:
        waiting = 0 if undelivered else _waiting(connection, day)
        events, corrections = connection.execute(
            "SELECT count(*), coalesce(sum((SELECT count(*) FROM corrections AS c WHERE c.event = e.id)), 0) "
            f"FROM events AS e WHERE hour < ? AND (? OR NOT {_AWAITED})",
            (day * 24, undelivered),
        ).fetchone()
        sums = 0 if keep_sums else sum(_count(connection, dim, *end) for dim in DIMS for end in _ends(day))
    return Pruned(events, corrections, sums, waiting=waiting)


def _waiting(connection: Connection, day: int) -> int:
    n: int = connection.execute(
        f"SELECT count(*) FROM events AS e WHERE hour < ? AND {_AWAITED}", (day * 24,)
    ).fetchone()[0]
    return n


def prune(store: Store, day: int, *, keep_sums: bool = True, undelivered: bool = False) -> Iterator[Pruned]:
    """Remove what began before a day, and tell of each step what it removed.

    Args:
        store: Open for writing.
        day: Since the epoch, UTC.
        keep_sums: Whether the rollups stay; else they go too.
        undelivered: Whether events go too that a server, to which events of their application were sent, does not have.

    Raises:
        StoreError: A step failed; those before it hold.
    """
    with store.transaction() as connection:
        store.fold()
        connection.execute(
            # Where there is nothing to remove, nothing will be missing, and no report is to say so.
            "UPDATE keeping SET before_hour = :hour WHERE (before_hour IS NULL OR before_hour < :hour) "
            "AND EXISTS (SELECT 1 FROM events WHERE hour < :hour)",
            {"hour": day * 24},
        )
    while (step := _step(store, day, undelivered)).events:
        yield step
    if not undelivered:
        with store.snapshot() as connection:
            yield Pruned(waiting=_waiting(connection, day))
    if not keep_sums:
        yield from _without_sums(store, day)
    for n in remove_unused(store):
        yield Pruned(texts=n)


def _step(store: Store, day: int, undelivered: bool) -> Pruned:
    began = time.monotonic()
    with store.transaction() as connection:
        numbers = connection.execute(_OLD, (day * 24, undelivered, _EVENTS)).fetchall()
        corrections = connection.executemany("DELETE FROM corrections WHERE event = ?", numbers).rowcount
        connection.executemany("DELETE FROM events WHERE id = ?", numbers)
        forget_events(connection, numbers)
        removed(connection, len(numbers))
    rest(began)
    return Pruned(len(numbers), max(0, corrections))


def rest(began: float) -> None:
    """Leave the lock to others for as long as it was held, since `began` (monotonic seconds)."""
    forks.rest(max(_REST, time.monotonic() - began))


def _without_sums(store: Store, day: int) -> Iterator[Pruned]:
    month = month_of_hour(day * 24)
    for dim in DIMS:
        for grain, end in _ends(day):
            while n := _sums_step(store, dim, grain, end):
                yield Pruned(sums=n)
        if day_of_month(month) < day:
            with store.transaction() as connection:
                month_again(connection, dim, month)


def _ends(day: int) -> list[tuple[int, int]]:
    """Of each grain the first period that stays; the month in which the day is stays, with the sum of what stays of it."""
    return [(MONTH, month_of_hour(day * 24)), (DAY, day), (HOUR, day * 24)]


def _sums_step(store: Store, dim: int, grain: int, end: int) -> int:
    began = time.monotonic()
    with store.transaction() as connection:
        if grain == DAY:
            for old in {day for days in days_in(connection).values() for day in days if day < end}:
                leave_day(connection, old)
        rows = connection.execute(_OLD_SUMS, (dim, grain, end, _SUMS)).fetchall()
        connection.executemany(_NO_SUM, rows)
    rest(began)
    return len(rows)


def _count(connection: Connection, dim: int, grain: int, end: int) -> int:
    question = "SELECT count(*) FROM rollup WHERE dim = ? AND grain = ? AND period < ?"
    n: int = connection.execute(question, (dim, grain, end)).fetchone()[0]
    return n
