"""Whether a store is whole: the file, what refers to what, and every sum against the events it was added up from.

Each question is asked of one snapshot, a day at a time, so applications may write meanwhile.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from .connection import Connection
from .corrections import to_other
from .fold import prepare
from .keeping import kept, last
from .periods import day_of_month
from .rebuild import DIMS, GATHER, GATHER_CORRECTED, days, months, shortest
from .schema import CORRECTED, DAY, DIMENSIONS, HOUR, MONTH, OTHER, WIDE

if TYPE_CHECKING:
    from .store import Store

__all__ = ["Problem", "check"]

_REBUILD = "payi store rebuild"
_RESTORE = "restore a backup, or try sqlite3's `.recover`; see docs/store.md"


class Problem(NamedTuple):
    """Something that is wrong, and what helps."""

    what: str
    """For programs."""
    message: str
    """For people."""
    cure: str


def check(store: Store) -> Iterator[Problem | None]:
    """The problems of a store as they are found; None after each step that found none.

    Raises:
        StoreError: It cannot be read.
    """
    damage = _damage(store)
    yield from damage
    if damage:  # whatever else is asked would be answered wrongly, or not at all
        return
    yield from _references(store)
    yield _count(store)
    with store.snapshot() as connection:
        found, found_months = days(connection), months(connection)
    for day in found:
        yield _hours(store, day)
        yield _coarser(store, DAY, day, (HOUR, day * 24, day * 24 + 24))
    for month in found_months:
        yield _coarser(store, MONTH, month, (DAY, day_of_month(month), day_of_month(month + 1)))


def _damage(store: Store) -> list[Problem]:
    with store.alone():
        found = store.database.damage()
    return [Problem("file", f"the file is damaged: {' '.join(message.split())}", _RESTORE) for message in found]


_REFERENCES = [
    *((column, "event", "texts", f"SELECT {column} AS it FROM events") for column in ("user", "account", "route")),
    ("tags", "event", "texts", "SELECT tags AS it FROM events"),
    ("tag", "set of tags", "texts", "SELECT tag AS it FROM tags"),
    ("failure", "event", "texts", "SELECT failure AS it FROM events"),
    ("wide", "event", "wide", "SELECT wide AS it FROM events"),
    ("shape", "event", "shapes", "SELECT shape AS it FROM events"),
    ("key", "sum", "texts", f"SELECT key AS it FROM rollup WHERE dim != {WIDE} AND dim != {WIDE + CORRECTED}"),
    ("key", "sum", "wide", f"SELECT key AS it FROM rollup WHERE dim IN ({WIDE}, {WIDE + CORRECTED})"),
]
"""(column, of what, table, the numbers that must be in it, or 0 and below, which stand for themselves)"""


def _references(store: Store) -> Iterator[Problem | None]:
    for column, whose, table, numbers in _REFERENCES:
        question = (
            f"SELECT count(*) FROM ({numbers}) AS found "
            f"WHERE it > 0 AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE t.id = found.it)"
        )
        with store.snapshot() as connection:
            n: int = connection.execute(question).fetchone()[0]
        cure = _REBUILD if whose == "sum" else _RESTORE
        yield Problem("reference", f"{n:,} of {whose}: {column} is not in {table}", cure) if n else None
    with store.snapshot() as connection:
        n = connection.execute(
            "SELECT count(*) FROM corrections WHERE NOT EXISTS (SELECT 1 FROM events AS e WHERE e.id = corrections.event)"
        ).fetchone()[0]
    yield Problem("correction", f"{n:,} corrections are of no event", _REBUILD) if n else None


def _count(store: Store) -> Problem | None:
    with store.snapshot() as connection:
        there: int = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        told = last(connection) - kept(connection).removed
    if there == told:
        return None
    return Problem("count", f"{there:,} events are there, {told:,} are counted", _REBUILD)


_ANY_DIM = f"dim IN ({', '.join(map(str, DIMS))})"  # all of them, said so that the index is used
_SUMS = f"""
SELECT dim, hour, key, kind, calls, tokens_in, tokens_out, ticks, {shortest("latency")}, {shortest("first_byte")} FROM (
    SELECT dim, hour, key, kind, sum(calls) AS calls, sum(input_tokens) AS tokens_in, sum(output_tokens) AS tokens_out,
        sum(cost_ticks) AS ticks, CAST(group_concat(latency, '') AS BLOB) AS latency,
        CAST(coalesce(group_concat(first_byte, ''), '') AS BLOB) AS first_byte
    FROM temp.delta GROUP BY dim, hour, key, kind
) AS gathered WHERE calls != 0 OR ticks != 0
"""
_HELD = f"""
SELECT dim, period, key, kind, calls, input_tokens, output_tokens, cost_ticks, {shortest("latency")}, {shortest("first_byte")}
FROM rollup WHERE {_ANY_DIM} AND grain = :grain AND period >= :first AND period < :end
AND (calls != 0 OR cost_ticks != 0)
"""
_DIFFERING = f"""
SELECT count(*) FROM (SELECT DISTINCT dim, hour, key, kind FROM (
    SELECT * FROM (SELECT * FROM ({_SUMS}) AS gathered UNION ALL {_HELD}) AS every
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 HAVING count(*) = 1
) AS single) AS differing
"""
"""Sums that are not there twice, as they should be and as they are."""
_PARTS = f"""
INSERT INTO temp.delta SELECT dim, :period, key, kind, calls, input_tokens, output_tokens, cost_ticks, latency, first_byte
FROM rollup WHERE {_ANY_DIM} AND grain = :part AND period >= :first_part AND period < :end_part
"""
_TO_OTHER = f"""
UPDATE temp.delta SET key = {OTHER} WHERE dim = :dim AND key > 0 AND EXISTS (
    SELECT 1 FROM rollup AS r WHERE r.dim = :dim AND r.grain = {DAY} AND r.period = :day AND r.key = {OTHER}
) AND NOT EXISTS (
    SELECT 1 FROM rollup AS r WHERE r.dim = :dim AND r.grain = {DAY} AND r.period = :day AND r.key = delta.key
)
"""


def _hours(store: Store, day: int) -> Problem | None:
    """The sums by hour of a day against its events, unless they were pruned."""
    hours = (day * 24, day * 24 + 24)
    with store.snapshot() as connection:
        before = kept(connection).before_hour
        if before is not None and hours[0] < before:
            return None
        prepare(connection)
        for statement in (*GATHER, *GATHER_CORRECTED):
            connection.execute(statement, hours)
        for dim in DIMENSIONS:
            connection.execute(_TO_OTHER, {"dim": dim, "day": day})
        to_other(connection)
        n = _differing(connection, HOUR, *hours)
    return _told(n, "hour", day, "the events")


def _coarser(store: Store, grain: int, period: int, parts: tuple[int, int, int]) -> Problem | None:
    """The sums of a day against those of its hours, or of a month against those of its days."""
    with store.snapshot() as connection:
        prepare(connection)
        names = {"period": period, "part": parts[0], "first_part": parts[1], "end_part": parts[2]}
        connection.execute(_PARTS, names)
        n = _differing(connection, grain, period, period + 1)
    is_day = grain == DAY
    day = period if is_day else day_of_month(period)
    return _told(n, "day" if is_day else "month", day, f"those by {'hour' if is_day else 'day'}")


def _differing(connection: Connection, grain: int, first: int, end: int) -> int:
    """How many sums are missing, wrong, or should not be."""
    names = {"grain": grain, "first": first, "end": end}
    n: int = connection.execute(_DIFFERING, names).fetchone()[0]
    prepare(connection)
    return n


def _told(n: int, grain: str, day: int, than: str) -> Problem | None:
    if not n:
        return None
    date = datetime.date.fromordinal(day + datetime.date(1970, 1, 1).toordinal()).isoformat()
    where = date[:7] if grain == "month" else date
    return Problem("sums", f"{where}: {n:,} sums by {grain} are not those of {than}", _REBUILD)
