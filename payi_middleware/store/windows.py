"""Running sums of the last 7, 30 and 90 days: a row a key and kind, where a report would have to read one a day.

They are grains of the rollups (`WINDOWS`), each the sum of the rows by day of the days that `windows` names. That holds at
any moment: whoever changes sums of a day either changes the running ones with them, in the same transaction, or takes the
day out of these first. Which days are in is never relied on, as reports add those that lack, and take away those that are
too many. Today's sums change all the time, so today is not in; once a day the oldest day goes and yesterday comes in, a
day a time (`tending.py`).

Dimensions with many keys have the same once more without kinds and histograms (`RANKED`), a few megabytes that tell which
keys are dearest.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from collections.abc import Collection

from .adding import (
    ADDED,
    ALL_DIMS,
    COUNTED,
    COUNTS,
    DIMS,
    HISTOGRAMS,
    MEASURES,
    NOTHING,
    PACKED,
    RANKED_DIMS,
    SUMS,
    upsert,
)
from .connection import Connection
from .schema import DAY, LAST_7, RANKED, WINDOWS

__all__ = ["add_late", "days_in", "leave_crowded", "leave_day", "reset", "turn"]

_TO_RANKED = RANKED[LAST_7] - LAST_7
_MANY = 2_000
"""Gathered rows of a day from which it is cheaper to take it out, and in again when no more come."""

_OF_DAY = f"FROM rollup AS r WHERE r.{ALL_DIMS} AND r.grain = {DAY} AND r.period = ?"
_RANKED_OF_DAY = f"FROM rollup AS r WHERE r.{RANKED_DIMS} AND r.grain = {DAY} AND r.period = ? GROUP BY dim, key"
_TAKEN_AWAY = ", ".join(
    [
        *(f"{name} = rollup.{name} + excluded.{name}" for name in COUNTS),
        *(f"{name} = hist_less(rollup.{name}, excluded.{name})" for name in HISTOGRAMS),
    ]
)
_MINUS = ", ".join(f"-{name}" for name in COUNTS)
_MINUS_SUMS = ", ".join(f"-sum({name})" for name in COUNTS)

_JOIN = upsert(f"SELECT dim, ?, 0, key, kind, {MEASURES} {_OF_DAY}", ADDED)
_LEAVE = upsert(f"SELECT dim, ?, 0, key, kind, {_MINUS}, {', '.join(HISTOGRAMS)} {_OF_DAY}", _TAKEN_AWAY)
_RANK = upsert(f"SELECT dim, ?, 0, key, 0, {SUMS}, {NOTHING}, {NOTHING} {_RANKED_OF_DAY}", COUNTED)
_UNRANK = upsert(f"SELECT dim, ?, 0, key, 0, {_MINUS_SUMS}, {NOTHING}, {NOTHING} {_RANKED_OF_DAY}", COUNTED)
_NONE_LEFT = f"""
DELETE FROM rollup WHERE {ALL_DIMS} AND grain = ? AND period = 0 AND {" AND ".join(f"{name} = 0" for name in COUNTS)}
"""

_GATHERED_WITHIN = (
    f"FROM temp.delta AS d JOIN windows AS w ON w.grain IN ({', '.join(map(str, WINDOWS))}) AND w.day = d.hour / 24"
)
_LATE = (
    upsert(
        f"SELECT d.dim, w.grain, 0, d.key, d.kind, {SUMS}, {PACKED} {_GATHERED_WITHIN} "
        "GROUP BY d.dim, w.grain, d.key, d.kind",
        ADDED,
    ),
    upsert(
        f"SELECT d.dim, w.grain + {_TO_RANKED}, 0, d.key, 0, {SUMS}, {NOTHING}, {NOTHING} {_GATHERED_WITHIN} "
        f"WHERE d.{RANKED_DIMS} GROUP BY d.dim, w.grain, d.key",
        COUNTED,
    ),
)
_GATHERED = "SELECT hour / 24 AS day, count(*) FROM temp.delta GROUP BY hour / 24"


def days_in(connection: Connection) -> dict[int, set[int]]:
    """Grain of a running sum -> the days that are in it."""
    found: dict[int, set[int]] = {grain: set() for grain in WINDOWS}
    for grain, day in connection.execute("SELECT grain, day FROM windows"):
        found[grain].add(day)
    return found


def leave_crowded(connection: Connection) -> set[int]:
    """Take out the days of which very much was gathered, before it is added to theirs; the days of all that was gathered."""
    gathered = dict(connection.execute(_GATHERED).fetchall())
    for day, rows in gathered.items():
        if rows > _MANY:
            leave_day(connection, day)
    return set(gathered)


def add_late(connection: Connection, gathered: Collection[int]) -> None:
    """Add what was gathered, of these days, to the running sums that have them."""
    if any(not days.isdisjoint(gathered) for days in days_in(connection).values()):
        for statement in _LATE:
            connection.execute(statement)


def leave_day(connection: Connection, day: int) -> None:
    """Take a day out of all running sums, before its sums are changed otherwise than by adding."""
    for (grain,) in connection.execute("SELECT grain FROM windows WHERE day = ?", (day,)).fetchall():
        _leave(connection, grain, day)


def reset(connection: Connection) -> None:
    """Take all days out."""
    for dim in DIMS:
        for grain in (*WINDOWS, *RANKED.values()):
            connection.execute("DELETE FROM rollup WHERE dim = ? AND grain = ?", (dim, grain))
    connection.execute("DELETE FROM windows")


def turn(connection: Connection, today: int, besides: Collection[int] = ()) -> bool:
    """Take one day in that should be in, or out that should not; False if all is as it should be.

    Args:
        connection: Within a transaction that writes.
        today: Since the epoch, UTC.
        besides: Days of which more is likely to come at once.
    """
    for grain, days in days_in(connection).items():
        wanted = range(today - WINDOWS[grain], today)
        for day in sorted(days):
            if day not in wanted:
                _leave(connection, grain, day)
                return True
        for day in reversed(wanted):
            if day not in days and day not in besides:
                connection.execute(_JOIN, (grain, day))
                connection.execute(_RANK, (RANKED[grain], day))
                connection.execute("INSERT INTO windows (grain, day) VALUES (?, ?)", (grain, day))
                return True
    return False


def _leave(connection: Connection, grain: int, day: int) -> None:
    connection.execute(_LEAVE, (grain, day))
    connection.execute(_UNRANK, (RANKED[grain], day))
    for one in (grain, RANKED[grain]):
        connection.execute(_NONE_LEFT, (one,))
    connection.execute("DELETE FROM windows WHERE grain = ? AND day = ?", (grain, day))
