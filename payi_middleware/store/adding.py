"""Rows added to the rollups: the pieces of every statement that does so."""

from __future__ import annotations

from .schema import CORRECTED, DIMENSIONS, FAILURE, LATER, NARROW, ROUTED, USER, WIDE

__all__ = [
    "ADDED",
    "ALL_DIMS",
    "COUNTED",
    "COUNTS",
    "DIMS",
    "HISTOGRAMS",
    "JOINED",
    "MEASURES",
    "NOTHING",
    "OF_CORRECTIONS",
    "OF_ROUTES",
    "OF_TEXTS",
    "OF_WIDE",
    "PACKED",
    "RANKED_DIMS",
    "SUMS",
    "upsert",
]

DIMS = [dim | more for more in (0, CORRECTED) for dim in (*range(WIDE, FAILURE + 1), *LATER)]
"""All dimensions of the rollups, those of corrections last."""
ALL_DIMS = f"dim IN ({', '.join(map(str, DIMS))})"
"""All of them, said so that the index is used."""
OF_CORRECTIONS = f"dim IN ({', '.join(str(dim) for dim in DIMS if dim & CORRECTED)})"
"""Those of corrections."""


def _of(*dims: int) -> str:
    return f"dim IN ({', '.join(str(dim) for dim in DIMS if dim & ~CORRECTED in dims)})"


RANKED_DIMS = _of(*DIMENSIONS)
"""Those that running sums have without kinds, too."""
OF_WIDE = _of(WIDE)
"""Those whose keys are numbers of `wide`."""
OF_ROUTES = _of(ROUTED)
"""Those whose keys are a number of `wide` and one of a route, which may be `OTHER_ROUTE`."""
OF_TEXTS = _of(*range(USER, FAILURE + 1), *NARROW)
"""Those whose keys are numbers of `texts`, or stand for themselves."""

COUNTS = ("calls", "input_tokens", "output_tokens", "cost_ticks")
HISTOGRAMS = ("latency", "first_byte")
MEASURES = ", ".join((*COUNTS, *HISTOGRAMS))
NOTHING = "CAST('' AS BLOB)"
"""A histogram of no calls."""

SUMS = ", ".join(f"sum({name})" for name in COUNTS)
JOINED = "CAST(group_concat(latency, '') AS BLOB), CAST(coalesce(group_concat(first_byte, ''), '') AS BLOB)"
"""The histograms of several rows."""

_LONG = 1024  # bytes from which a histogram is spelt shorter; most stay far below and are only joined


def _short(joined: str) -> str:
    return f"CASE WHEN length({joined}) > {_LONG} THEN hist_packed({joined}) ELSE {joined} END"


PACKED = ", ".join(_short(f"CAST(coalesce(group_concat({name}, ''), '') AS BLOB)") for name in HISTOGRAMS)
"""The same to be kept."""


def upsert(rows: str, changes: str) -> str:
    """The statement that inserts rows, and changes those that are there already."""
    return (
        f"INSERT INTO rollup (dim, grain, period, key, kind, {MEASURES}) {rows} "
        f"ON CONFLICT (dim, grain, period, key, kind) DO UPDATE SET {changes}"
    )


def _longer(column: str) -> str:
    return f"{column} = {_short(f'CAST(rollup.{column} || excluded.{column} AS BLOB)')}"


ADDED = ", ".join(
    [*(f"{name} = rollup.{name} + excluded.{name}" for name in COUNTS), *(_longer(name) for name in HISTOGRAMS)]
)
"""The changes that add a row to the one that is there."""
COUNTED = ", ".join(f"{name} = rollup.{name} + excluded.{name}" for name in COUNTS)
"""The same for rows without histograms."""
