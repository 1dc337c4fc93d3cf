"""Events into rollups, thousands at a time.

A mark (`folded`) says up to which event the rollups go; moving it and adding to the sums are one transaction, so an
event enters each sum exactly once, whatever its time and whoever wrote it. Why not with each batch: a batch of a
hundred users touches a page for each user, period and dimension, which costs three times as much as the events
themselves; folded together, neighbours share pages and the database adds up natively.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from .adding import ADDED, JOINED, MEASURES, PACKED, SUMS, upsert
from .connection import Connection
from .filled import leave_out
from .periods import day_of_month, month_of_hour
from .schema import (
    ACCOUNT,
    CORRECTED,
    DAY,
    DIMENSIONS,
    FAILURE,
    HOUR,
    MONTH,
    NARROW,
    NOT_GIVEN,
    OTHER,
    OTHER_ROUTE,
    ROUTE,
    ROUTED,
    TAG,
    USER,
    WIDE,
)
from .windows import add_late, leave_crowded

__all__ = [
    "BOUND",
    "EVERY",
    "KEYS",
    "MOST_KEYS",
    "add_hours",
    "add_up",
    "fold",
    "gather",
    "name",
    "narrow",
    "prepare",
    "spill",
]

EVERY = 10_000
"""Events that may wait before they are folded."""
MOST_KEYS = 100_000
"""Values of one dimension that a rollup tells apart in a day; each writer may overshoot by what it folds at once."""

_ALL = (1 << 63) - 1  # rows

_DELTA = """
CREATE TEMP TABLE IF NOT EXISTS delta (
    dim INTEGER, hour INTEGER, key INTEGER, kind INTEGER, calls INTEGER, input_tokens INTEGER, output_tokens INTEGER,
    cost_ticks INTEGER, latency BLOB, first_byte BLOB
)
"""

KEYS = {
    WIDE: "wide",
    USER: "user",
    ACCOUNT: "account",
    TAG: f"coalesce(t.tag, {NOT_GIVEN})",
    ROUTE: "route",
    FAILURE: "failure",
    ROUTED: "((wide << 32) | route)",
}
"""Dimension -> its key, as a column of `events`, or of `tags AS t`. Those of `NARROW` are made of `WIDE`, see `narrow`."""

BOUND = dict.fromkeys(DIMENSIONS, str(OTHER)) | {ROUTED: f"delta.key | {OTHER_ROUTE}"}
"""The dimensions that tell only so many values of a day apart -> the key of the rest."""


def gather(dim: int, which: str) -> str:
    """The statement that gathers the sums of a dimension over the events of which `which` is true."""
    source = "events AS e LEFT JOIN tags AS t ON t.tags = e.tags" if dim == TAG else "events AS e"
    only = " AND failure != 0" if dim == FAILURE else ""
    return (
        f"INSERT INTO temp.delta SELECT {dim}, hour, {KEYS[dim]} AS the_key, kind, count(*), sum(input_tokens), "
        f"sum(output_tokens), sum(cost_ticks), {JOINED} FROM {source} WHERE {which}{only} GROUP BY hour, the_key, kind"
    )


def _add(grain: int, period: str, measures: str, group: str) -> str:
    rows = (
        f"SELECT dim, {grain}, {period} AS period, key, kind, {measures} FROM temp.delta WHERE hour >= ? AND hour < ?"
    )
    return upsert(f"{rows} {group}", ADDED)


_GATHER = [gather(dim, "id > ?") for dim in KEYS if dim not in (WIDE, ROUTE)]
_OF_ROUTED = [
    f"INSERT INTO temp.delta SELECT {dim}, hour, {key} AS the_key, kind, {SUMS}, {PACKED} FROM temp.delta "
    f"WHERE dim = {ROUTED} GROUP BY hour, the_key, kind"
    for dim, key in ((WIDE, "key >> 32"), (ROUTE, f"key & {OTHER_ROUTE}"))
]
"""Both as those that have both, of which there are far fewer than events."""
_GROUPED = "GROUP BY dim, period, key, kind"
_ADD_GATHERED = _add(HOUR, "hour", MEASURES, "")  # by hour, in this order, each row of its own
_ADD_HOURS = _add(HOUR, "hour", f"{SUMS}, {PACKED}", _GROUPED)
_ADD_DAYS = _add(DAY, "hour / 24", f"{SUMS}, {PACKED}", _GROUPED)
_ADD_MONTHS = _add(MONTH, "?", f"{SUMS}, {PACKED}", _GROUPED)
_EVER = (-(1 << 40), 1 << 40)


def fold(connection: Connection, *, most_keys: int = MOST_KEYS) -> set[int]:
    """Add what lies beyond the mark to the rollups and move the mark; the days it is of. Within a transaction that writes."""
    mark, upto = connection.execute(
        "SELECT event, coalesce((SELECT max(e.id) FROM events AS e), 0) FROM folded"
    ).fetchone()
    prepare(connection)
    for statement in _GATHER:
        connection.execute(statement, (mark,))
    for statement in _OF_ROUTED:
        connection.execute(statement)
    name(connection)
    narrow(connection)
    leave_out(connection)
    spilt = spill(connection, most_keys)
    days = add_up(connection, alone=not spilt)
    connection.execute("UPDATE folded SET event = ? WHERE event < ?", (upto, upto))
    return days


def prepare(connection: Connection) -> None:
    """Make room for what is to be added up."""
    connection.execute(_DELTA)
    connection.execute("DELETE FROM temp.delta")


def name(connection: Connection) -> None:
    """Give each use case, model, provider and application of what was gathered a number of its own."""
    for column in NARROW.values():
        connection.execute(_NAME.format(column=column))


def narrow(connection: Connection) -> None:
    """Add up what was gathered of the wide dimension by each of its members, all of which have numbers."""
    for dim, column in NARROW.items():
        connection.execute(_NARROW.format(dim=dim, column=column))


_OF_WIDE = "FROM temp.delta AS d JOIN wide AS w ON w.id = d.key"
_NAME = f"""
INSERT INTO texts (packed) SELECT DISTINCT w.{{column}} {_OF_WIDE}
WHERE d.dim IN ({WIDE}, {WIDE | CORRECTED}) AND w.{{column}} IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM texts AS x WHERE x.packed = w.{{column}})
"""
_NARROW = f"""
INSERT INTO temp.delta SELECT d.dim | {{dim}}, hour, coalesce(x.id, {NOT_GIVEN}) AS the_key, kind, {SUMS}, {PACKED}
{_OF_WIDE} LEFT JOIN texts AS x ON x.packed = w.{{column}}
WHERE d.dim IN ({WIDE}, {WIDE | CORRECTED}) GROUP BY d.dim, hour, the_key, kind
"""


def add_up(connection: Connection, *, alone: bool = False) -> set[int]:
    """Add what was gathered to the rollups; the days it is of. `alone` as for `add_hours`."""
    gathered = leave_crowded(connection)
    add_hours(connection, alone=alone)
    connection.execute(_ADD_DAYS, _EVER)
    for month in sorted({month_of_hour(day * 24) for day in gathered}):
        connection.execute(_ADD_MONTHS, (month, day_of_month(month) * 24, day_of_month(month + 1) * 24))
    add_late(connection, gathered)
    connection.execute("DELETE FROM temp.delta")
    return gathered


def add_hours(connection: Connection, *, alone: bool = False) -> None:
    """Add what was gathered to the rollups by hour only.

    Args:
        connection: Within a transaction that writes.
        alone: Whether no two rows are of the same hour, key and kind, which saves adding them up before.
    """
    connection.execute(_ADD_GATHERED if alone else _ADD_HOURS, _EVER)


def spill(connection: Connection, most_keys: int) -> bool:
    """Give the key "(other)" to what exceeds the bound of a day; whether anything did."""
    spilt = False
    for dim, other in BOUND.items():
        for day, new in connection.execute(_NEW_KEYS, (dim,)).fetchall():
            known: int = connection.execute(_KNOWN_KEYS, (dim, day)).fetchone()[0]
            if known + new > most_keys:
                names = {"dim": dim, "day": day, "room": max(0, most_keys - known)}
                connection.execute(_TO_OTHER.format(other=other), names)
                spilt = True
    return spilt


_NEW_KEYS = "SELECT hour / 24 AS day, count(DISTINCT key) FROM temp.delta WHERE dim = ? AND key > 0 GROUP BY day"
_KNOWN_KEYS = f"SELECT count(DISTINCT key) FROM rollup WHERE dim = ? AND grain = {DAY} AND period = ? AND key > 0"
_TO_OTHER = f"""
UPDATE temp.delta SET key = {{other}} WHERE dim = :dim AND hour / 24 = :day AND key IN (
    SELECT DISTINCT key FROM temp.delta WHERE dim = :dim AND hour / 24 = :day AND key > 0 AND key NOT IN (
        SELECT key FROM rollup WHERE dim = :dim AND grain = {DAY} AND period = :day
    ) ORDER BY key LIMIT {_ALL} OFFSET :room
)
"""
