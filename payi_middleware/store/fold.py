"""Events into rollups, thousands at a time.

A mark (`folded`) says up to which event the rollups go; moving it and adding to the sums are one transaction, so an
event enters each sum exactly once, whatever its time and whoever wrote it. Why not with each batch: a batch of a
hundred users touches a page for each user, period and dimension, which costs three times as much as the events
themselves; folded together, neighbours share pages and the database adds up natively.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from .connection import Connection
from .periods import day_of_month, month_of_hour
from .schema import ACCOUNT, DAY, DIMENSIONS, FAILURE, HOUR, MONTH, NOT_GIVEN, OTHER, ROUTE, TAG, USER, WIDE

__all__ = [
    "EVERY",
    "KEYS",
    "MOST_KEYS",
    "NOTHING",
    "add_hours",
    "add_up",
    "fold",
    "gather",
    "prepare",
    "spill",
    "waiting",
]

EVERY = 10_000
"""Events that may wait before they are folded."""
MOST_KEYS = 100_000
"""Values of one dimension that a rollup tells apart in a day; each writer may overshoot by what it folds at once."""

NOTHING = "CAST('' AS BLOB)"
"""A histogram of no calls."""

_ALL = (1 << 63) - 1  # rows
_LONG = 1024  # bytes from which a histogram is spelt shorter; most stay far below and are only joined

_SUMS = "sum(calls), sum(input_tokens), sum(output_tokens), sum(cost_ticks)"
_JOINED = "CAST(group_concat(latency, '') AS BLOB), CAST(coalesce(group_concat(first_byte, ''), '') AS BLOB)"
_MEASURES = "calls, input_tokens, output_tokens, cost_ticks, latency, first_byte"

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
}
"""Dimension -> its key, as a column of `events`, or of `tags AS t`."""


def gather(dim: int, which: str) -> str:
    """The statement that gathers the sums of a dimension over the events of which `which` is true."""
    source = "events AS e LEFT JOIN tags AS t ON t.tags = e.tags" if dim == TAG else "events AS e"
    only = " AND failure != 0" if dim == FAILURE else ""
    return (
        f"INSERT INTO temp.delta SELECT {dim}, hour, {KEYS[dim]} AS the_key, kind, count(*), sum(input_tokens), "
        f"sum(output_tokens), sum(cost_ticks), {_JOINED} FROM {source} WHERE {which}{only} GROUP BY hour, the_key, kind"
    )


def _longer(column: str) -> str:
    both = f"CAST(rollup.{column} || excluded.{column} AS BLOB)"
    length = f"length(rollup.{column}) + length(excluded.{column})"
    return f"{column} = CASE WHEN {length} > {_LONG} THEN hist_packed({both}) ELSE {both} END"


def _add(grain: int, period: str, measures: str, group: str) -> str:
    added = ", ".join(f"{name} = rollup.{name} + excluded.{name}" for name in _MEASURES.split(", ")[:4])
    return (
        f"INSERT INTO rollup (dim, grain, period, key, kind, {_MEASURES}) "
        f"SELECT dim, {grain}, {period} AS period, key, kind, {measures} FROM temp.delta "
        f"WHERE hour >= ? AND hour < ? {group} "
        "ON CONFLICT (dim, grain, period, key, kind) DO UPDATE "
        f"SET {added}, {_longer('latency')}, {_longer('first_byte')}"
    )


_GATHER = {dim: gather(dim, "id > ?") for dim in KEYS}
_GROUPED = "GROUP BY dim, period, key, kind"
_ADD_GATHERED = _add(HOUR, "hour", _MEASURES, "")  # by hour, in this order, each row of its own
_ADD_HOURS = _add(HOUR, "hour", f"{_SUMS}, {_JOINED}", _GROUPED)
_ADD_DAYS = _add(DAY, "hour / 24", f"{_SUMS}, {_JOINED}", _GROUPED)
_ADD_MONTHS = _add(MONTH, "?", f"{_SUMS}, {_JOINED}", _GROUPED)
_EVER = (-(1 << 40), 1 << 40)


def waiting(connection: Connection) -> int:
    """How many events lie beyond the mark."""
    row = connection.execute("SELECT coalesce((SELECT max(id) FROM events), 0) - (SELECT id FROM folded)").fetchone()
    n: int = row[0]
    return n


def fold(connection: Connection, *, most_keys: int = MOST_KEYS) -> None:
    """Add what lies beyond the mark to the rollups and move the mark. Within a transaction that writes."""
    mark, upto = connection.execute(
        "SELECT id, coalesce((SELECT max(e.id) FROM events AS e), 0) FROM folded"
    ).fetchone()
    prepare(connection)
    for statement in _GATHER.values():
        connection.execute(statement, (mark,))
    spilt = spill(connection, most_keys)
    add_up(connection, alone=not spilt)
    connection.execute("UPDATE folded SET id = ? WHERE id < ?", (upto, upto))


def prepare(connection: Connection) -> None:
    """Make room for what is to be added up."""
    connection.execute(_DELTA)
    connection.execute("DELETE FROM temp.delta")


def add_up(connection: Connection, *, alone: bool = False) -> None:
    """Add what was gathered to the rollups; `alone` as for `add_hours`."""
    add_hours(connection, alone=alone)
    connection.execute(_ADD_DAYS, _EVER)
    hours = connection.execute("SELECT min(hour), max(hour) FROM temp.delta").fetchone()
    if hours[0] is not None:
        for month in range(month_of_hour(hours[0]), month_of_hour(hours[1]) + 1):
            connection.execute(_ADD_MONTHS, (month, day_of_month(month) * 24, day_of_month(month + 1) * 24))
    connection.execute("DELETE FROM temp.delta")


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
    for dim in DIMENSIONS:
        for day, new in connection.execute(_NEW_KEYS, (dim,)).fetchall():
            known: int = connection.execute(_KNOWN_KEYS, (dim, day)).fetchone()[0]
            if known + new > most_keys:
                connection.execute(_TO_OTHER, {"dim": dim, "day": day, "room": max(0, most_keys - known)})
                spilt = True
    return spilt


_NEW_KEYS = "SELECT hour / 24 AS day, count(DISTINCT key) FROM temp.delta WHERE dim = ? AND key > 0 GROUP BY day"
_KNOWN_KEYS = f"SELECT count(DISTINCT key) FROM rollup WHERE dim = ? AND grain = {DAY} AND period = ? AND key > 0"
_TO_OTHER = f"""
UPDATE temp.delta SET key = {OTHER} WHERE dim = :dim AND hour / 24 = :day AND key IN (
    SELECT DISTINCT key FROM temp.delta WHERE dim = :dim AND hour / 24 = :day AND key > 0 AND key NOT IN (
        SELECT key FROM rollup WHERE dim = :dim AND grain = {DAY} AND period = :day
    ) ORDER BY key LIMIT {_ALL} OFFSET :room
)
"""
