"""Which values of a dimension cost most in a range, without adding up more of each than its calls and its cost."""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .connection import Connection
from .interned import Names
from .query import Extent, Grouping, column_of, of_corrections, of_events, pieces
from .schema import CORRECTED, OTHER, RANKED

__all__ = ["Dearest", "dearest"]

_Part = tuple[str, tuple[int, ...]]


class Dearest(NamedTuple):
    """The values that come first."""

    keys: list[int]
    """In their order."""
    size: int
    """How many values there are in all."""


def dearest(
    connection: Connection,
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
    parts = list(_parts(how, since_ns, until_ns, held))
    if not parts:
        return Dearest([], 0)
    values = [value for _, some in parts for value in some]
    # What was taken away again has no calls left.
    sums = (
        "SELECT key, sum(n) AS n, sum(ticks) AS ticks "
        f"FROM ({' UNION ALL '.join(sql for sql, _ in parts)}) AS parts GROUP BY key HAVING sum(n) != 0"
    )
    rows = connection.execute(
        f"SELECT key, n, ticks, count(*) OVER () FROM ({sums}) AS sums ORDER BY ticks DESC, n DESC LIMIT ?",
        (*values, most + 1),
    ).fetchall()
    size = rows[0][3] if rows else 0
    if len(rows) > most > 0 and rows[-1][1:3] == rows[-2][1:3]:  # of those that are alike the names decide
        alike = connection.execute(
            f"SELECT key, n, ticks FROM ({sums}) AS sums WHERE n = ? AND ticks = ?", (*values, *rows[-1][1:3])
        ).fetchall()
        rows = [row for row in rows if row[1:3] != rows[-1][1:3]] + alike
    names.texts([row[0] for row in rows if row[0] != OTHER])

    def order(row: tuple[int, ...]) -> tuple[int, int, str]:
        return -row[2], -row[1], "(other)" if row[0] == OTHER else names.text(row[0]) or ""

    return Dearest([row[0] for row in sorted(rows, key=order)[:most]], size)


def _parts(how: Grouping, since_ns: int, until_ns: int, held: Extent) -> Iterator[_Part]:
    """What is to be added up: statements of key, calls and ticks."""
    assert how.dim is not None
    spans, edges = pieces(since_ns, until_ns, held)
    for dim in (how.dim, how.dim | CORRECTED) if held.corrected else (how.dim,):
        for grain, first, end, sign in spans:
            minus = "-" if sign < 0 else ""
            yield (
                f"SELECT key, {minus}calls AS n, {minus}cost_ticks AS ticks FROM rollup "
                "WHERE dim = ? AND grain = ? AND period >= ? AND period < ?",
                (dim, RANKED.get(grain, grain), first, end),
            )
    key = column_of(how.by[0])
    for low, high in edges:
        source, values = of_events(how, low, high, f" AND e.id <= {held.mark}")
        yield f"SELECT {key} AS key, 1 AS n, cost_ticks AS ticks {source}", values
        if held.corrected:
            source, pair = of_corrections(how, low, high)
            yield f"SELECT {key} AS key, 0 AS n, c.ticks - c.old_ticks AS ticks {source}", pair
    if held.ends_within(since_ns, until_ns):
        source, values = of_events(how, since_ns, until_ns, f" AND e.id > {held.mark}")
        yield f"SELECT {key} AS key, 1 AS n, cost_ticks AS ticks {source}", values
