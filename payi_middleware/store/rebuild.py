"""Rollups made anew: those by hour from the events, those by day from the hours, those by month from the days.

Hours whose events were pruned stay as they are. Running sums begin anew, and are full again in the end.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .. import forks
from . import corrections, windows
from .adding import DIMS
from .catching_up import fill, tended
from .connection import Connection
from .filled import leave_out
from .fold import KEYS, add_hours, gather, name, narrow, prepare, spill
from .keeping import kept, last
from .periods import day_of_month, month_of_hour
from .schema import DAY, HOUR, MONTH

if TYPE_CHECKING:
    from .store import Store

__all__ = ["GATHER", "GATHER_CORRECTED", "day_again", "days", "month_again", "months", "rebuild", "shortest"]

_REST = 0.02  # seconds between two days, in which others get the lock

GATHER = [gather(dim, "hour >= ? AND hour < ? AND id <= (SELECT event FROM folded)") for dim in KEYS]
"""The sums of the events of some hours."""
GATHER_CORRECTED = [
    corrections.gather(dim, "e.hour >= ? AND e.hour < ?", after=after) for dim in KEYS for after in (False, True)
]
"""The sums of their corrections."""

_NONE = "DELETE FROM rollup WHERE dim = ? AND grain = ? AND period >= ? AND period < ?"


def shortest(column: str) -> str:
    """A histogram in its shortest spelling; one of a single call, as most are, costs no call of ours."""
    return f"CASE WHEN length({column}) < 2 THEN {column} ELSE hist_packed({column}) END"


_AGAIN = f"""
INSERT INTO rollup (dim, grain, period, key, kind, calls, input_tokens, output_tokens, cost_ticks, latency, first_byte)
SELECT dim, grain, period, key, kind, calls, tokens_in, tokens_out, ticks, {shortest("latency")}, {shortest("first_byte")}
FROM (
    SELECT dim, ? AS grain, ? AS period, key, kind, sum(calls) AS calls, sum(input_tokens) AS tokens_in,
        sum(output_tokens) AS tokens_out, sum(cost_ticks) AS ticks, CAST(group_concat(latency, '') AS BLOB) AS latency,
        CAST(group_concat(first_byte, '') AS BLOB) AS first_byte
    FROM rollup AS r WHERE r.dim = ? AND r.grain = ? AND r.period >= ? AND r.period < ? GROUP BY dim, key, kind
) AS parts
"""


def rebuild(store: Store) -> Iterator[int]:
    """Make all rollups anew, a day a transaction, and tell each day when it is done.

    Raises:
        StoreError: A day failed; those before it hold.
    """
    with store.transaction() as connection:
        store.fold()
        connection.execute(
            "DELETE FROM corrections WHERE NOT EXISTS (SELECT 1 FROM events AS e WHERE e.id = corrections.event)"
        )
        there: int = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        connection.execute("UPDATE keeping SET removed = ?", (last(connection) - there,))
        windows.reset(connection)
    for _ in fill(store):
        forks.rest(_REST)
    with store.snapshot() as connection:
        found, found_months = days(connection), months(connection)
    for day in found:
        began = time.monotonic()
        with store.transaction() as connection:
            day_again(connection, day, store.most_keys)
        forks.rest(max(_REST, time.monotonic() - began))
        yield day
    for month in found_months:
        for dim in DIMS:
            with store.transaction() as connection:
                month_again(connection, dim, month)
            forks.rest(_REST)
    for _ in tended(store):
        pass


def months(connection: Connection) -> list[int]:
    """The months of which there are events or sums."""
    rows = connection.execute("SELECT DISTINCT period FROM rollup WHERE grain = ?", (MONTH,))
    return sorted({row[0] for row in rows} | {month_of_hour(day * 24) for day in days(connection)})


def days(connection: Connection) -> list[int]:
    """The days of which there are events or sums."""
    rows = connection.execute(
        "SELECT hour / 24 FROM events UNION SELECT period / 24 FROM rollup WHERE grain = ? "
        "UNION SELECT period FROM rollup WHERE grain = ? ORDER BY 1",
        (HOUR, DAY),
    )
    return [row[0] for row in rows]


def day_again(connection: Connection, day: int, most_keys: int) -> None:
    """Make the sums of one day anew, not those of its month. Within a transaction that writes."""
    windows.leave_day(connection, day)
    before = kept(connection).before_hour
    if before is None or day * 24 >= before:
        _hours_again(connection, day, most_keys)
    for dim in DIMS:
        _again(connection, dim, DAY, day, (HOUR, day * 24, day * 24 + 24))


def month_again(connection: Connection, dim: int, month: int) -> None:
    """Make the sums of one dimension and month anew from those of its days. Within a transaction that writes."""
    _again(connection, dim, MONTH, month, (DAY, day_of_month(month), day_of_month(month + 1)))


def _again(connection: Connection, dim: int, grain: int, period: int, parts: tuple[int, int, int]) -> None:
    connection.execute(_NONE, (dim, grain, period, period + 1))
    connection.execute(_AGAIN, (grain, period, dim, *parts))


def _hours_again(connection: Connection, day: int, most_keys: int) -> None:
    hours = (day * 24, day * 24 + 24)
    for dim in DIMS:
        connection.execute(_NONE, (dim, HOUR, *hours))
    prepare(connection)
    for statement in GATHER:
        connection.execute(statement, hours)
    name(connection)
    narrow(connection)
    leave_out(connection)
    spill(connection, most_keys)  # the day's own sums still tell which values it told apart
    add_hours(connection)
    for dim in DIMS:
        _again(connection, dim, DAY, day, (HOUR, *hours))  # what of it is "(other)" decides for corrections
    prepare(connection)
    for statement in GATHER_CORRECTED:
        connection.execute(statement, hours)
    name(connection)
    narrow(connection)
    leave_out(connection)
    corrections.to_other(connection)
    add_hours(connection)
    prepare(connection)
