"""Whether a store is whole: the file, what refers to what, and every sum against the events it was added up from.

Each question is asked of one snapshot, a day at a time, so applications may write meanwhile.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from .adding import ALL_DIMS, COUNTS, DIMS, MEASURES, OF_ROUTES, OF_TEXTS, OF_WIDE
from .connection import Connection
from .corrections import to_other
from .filled import leave_out
from .fold import BOUND, narrow, prepare
from .keeping import kept, last
from .periods import day_of_month
from .rebuild import GATHER, GATHER_CORRECTED, days, months, shortest
from .schema import CORRECTED, DAY, DIMENSIONS, HOUR, MONTH, OTHER_ROUTE, RANKED, WINDOWS

if TYPE_CHECKING:
    from .store import Store

__all__ = ["Problem", "check"]

_REBUILD = "payi store rebuild"
_FARTHEST = (1 << 63) - 1
_ROWS_AT_ONCE = 5_000  # of a running sum, each of which may be that of ninety days
_RESTORE = "restore a backup, or try sqlite3's `.recover`; see docs/keeping.md"


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
    yield from _running(store)


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
    ("key", "sum", "texts", f"SELECT key AS it FROM rollup WHERE {OF_TEXTS}"),
    ("key", "sum", "wide", f"SELECT key AS it FROM rollup WHERE {OF_WIDE}"),
    (
        "key",
        "sum by route",
        "texts",
        f"SELECT nullif(key & {OTHER_ROUTE}, {OTHER_ROUTE}) AS it FROM rollup WHERE {OF_ROUTES}",
    ),
    ("key", "sum by route", "wide", f"SELECT key >> 32 AS it FROM rollup WHERE {OF_ROUTES}"),
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
        cure = _REBUILD if whose.startswith("sum") else _RESTORE
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
FROM rollup WHERE {ALL_DIMS} AND grain = :grain AND period >= :first AND period < :end
AND (calls != 0 OR cost_ticks != 0)
"""


def _differing_from(held: str) -> str:
    """The question how many sums are not there twice, as they should be and as they are."""
    return f"""
        SELECT count(*) FROM (SELECT DISTINCT dim, hour, key, kind FROM (
            SELECT * FROM (SELECT * FROM ({_SUMS}) AS gathered UNION ALL {held}) AS every
            GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 HAVING count(*) = 1
        ) AS single) AS differing
    """


_DIFFERING = _differing_from(_HELD)
_PARTS = f"""
INSERT INTO temp.delta SELECT dim, :period, key, kind, calls, input_tokens, output_tokens, cost_ticks, latency, first_byte
FROM rollup WHERE {ALL_DIMS} AND grain = :part AND period >= :first_part AND period < :end_part
"""
_TO_OTHER = f"""
UPDATE temp.delta SET key = {{other}} WHERE dim = :dim AND key > 0 AND EXISTS (
    SELECT 1 FROM rollup AS r WHERE r.dim = :dim AND r.grain = {DAY} AND r.period = :day AND r.key = ({{other}})
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
        narrow(connection)
        leave_out(connection)
        for dim, other in BOUND.items():
            connection.execute(_TO_OTHER.format(other=other), {"dim": dim, "day": day})
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


_SOME_KEYS = "dim = :dim AND key >= :low AND key < :high"
_DIFFERING_OF_SOME = _differing_from(_HELD.replace(ALL_DIMS, _SOME_KEYS))
_PARTS_OF_SOME = f"""
INSERT INTO temp.delta SELECT dim, 0, key, kind, {MEASURES} FROM rollup
WHERE {_SOME_KEYS} AND grain = {DAY} AND period IN (SELECT day FROM windows WHERE grain = :grain)
"""
_OF_KEYS = f"SELECT key, {', '.join(f'sum({name})' for name in COUNTS)} FROM rollup WHERE dim = :dim AND period = 0"
_SOME_LEFT = "GROUP BY key HAVING sum(calls) != 0 OR sum(cost_ticks) != 0"
_UNRANKED = f"""
SELECT count(DISTINCT key) FROM (
    SELECT * FROM (
        {_OF_KEYS} AND grain = :grain {_SOME_LEFT} UNION ALL {_OF_KEYS} AND grain = :ranked {_SOME_LEFT}
    ) AS every GROUP BY 1, 2, 3, 4, 5 HAVING count(*) = 1
) AS single
"""
_NEXT_KEYS = f"""
SELECT key FROM rollup WHERE dim = ? AND grain = ? AND period = 0 AND key > ? ORDER BY key LIMIT 1 OFFSET {_ROWS_AT_ONCE}
"""


def _running(store: Store) -> Iterator[Problem | None]:
    """The running sums against those of their days."""
    for grain, length in WINDOWS.items():
        for dim in DIMS:
            n, low = 0, -_FARTHEST
            while low < _FARTHEST:
                more, low = _running_of_some(store, grain, dim, low)
                n += more
            if dim & ~CORRECTED in DIMENSIONS:
                n += _ranked(store, grain, dim)
            what = f"{n:,} running sums of {length} days are not those of their days"
            yield Problem("sums", what, _REBUILD) if n else None


def _ranked(store: Store, grain: int, dim: int) -> int:
    """How many of the sums without kinds differ from those with them."""
    with store.snapshot() as connection:
        n: int = connection.execute(_UNRANKED, {"dim": dim, "grain": grain, "ranked": RANKED[grain]}).fetchone()[0]
    return n


def _running_of_some(store: Store, grain: int, dim: int, low: int) -> tuple[int, int]:
    """How many of the next keys' sums differ, and the key after those."""
    with store.snapshot() as connection:
        row = connection.execute(_NEXT_KEYS, (dim, grain, low)).fetchone()
        high: int = _FARTHEST if row is None else row[0]
        names = {"dim": dim, "grain": grain, "low": low, "high": high, "first": 0, "end": 1}
        prepare(connection)
        connection.execute(_PARTS_OF_SOME, names)
        n: int = connection.execute(_DIFFERING_OF_SOME, names).fetchone()[0]
        prepare(connection)
    return n, high


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
