"""The sources of a report: rollups where there are any, events for the rest."""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from .connection import Connection
from .corrections import any_corrections
from .fold import NOTHING
from .keeping import kept
from .periods import HOUR_NS, Span, cut
from .schema import ACCOUNT, CORRECTED, FAILURE, HOUR, NOT_GIVEN, ROUTE, TAG, USER, WIDE

__all__ = ["BY", "Group", "Grouping", "extent", "grouping", "read"]

BY = ("user", "account", "use-case", "tag", "model", "provider", "route", "application", "day")
"""By what a report may group."""

_WIDE = {"use-case": "use_case", "model": "model", "provider": "provider", "application": "application"}
_KEYED = {"user": USER, "account": ACCOUNT, "tag": TAG, "route": ROUTE}

_SUMS = "sum(input_tokens), sum(output_tokens), sum(cost_ticks)"
_JOINED = "CAST(group_concat(latency, '') AS BLOB), CAST(coalesce(group_concat(first_byte, ''), '') AS BLOB)"


_OF_ROLLUP = f"FROM rollup WHERE dim = {WIDE} AND grain = {HOUR}"
_HOURS = (
    "SELECT min(hour) FROM events UNION ALL SELECT max(hour) FROM events "
    f"UNION ALL SELECT min(period) {_OF_ROLLUP} UNION ALL SELECT max(period) {_OF_ROLLUP}"
)
"""The first and the last hour, each asked for by itself, so that an index answers."""

Group = tuple[Any, ...]
"""Calls of one key and kind: the key's members, then kind, calls, tokens in, tokens out, ticks and two histograms."""


class Grouping(NamedTuple):
    """How a report groups."""

    by: tuple[str, ...]
    """Its members come first in a `Group`, as texts, or as numbers of texts where `numbered` says so."""
    dim: int | None
    """The rollup that has it; None where only events do."""
    numbered: tuple[bool, ...]


def grouping(by: tuple[str, ...]) -> Grouping:
    """The cheapest way to group by these (without `day`); `("failure",)` groups what failed or was tried again."""
    numbered = tuple(name not in _WIDE for name in by)
    if by == ("failure",):
        return Grouping(by, FAILURE, numbered)
    if all(name in _WIDE for name in by):
        return Grouping(by, WIDE, numbered)
    return Grouping(by, _KEYED[by[0]] if len(by) == 1 else None, numbered)


class Extent(NamedTuple):
    """What a store holds."""

    first_hour: int
    end_hour: int
    mark: int
    """The last event that is in the rollups."""
    tail: tuple[int, int] | None
    """Between when (nanoseconds) the events beyond the mark began; None without any."""
    corrected: bool
    """Whether there are corrections that are to be taken into account."""
    before_hour: int | None
    """The hour before which events were removed and at most their sums stayed."""


def extent(connection: Connection, *, as_recorded: bool = False) -> Extent | None:
    """What the store holds; None for nothing. `as_recorded`: whether to pass over its corrections."""
    # Of the events that were removed the sums may have stayed.
    hours = [row[0] for row in connection.execute(_HOURS) if row[0] is not None]
    if not hours:
        return None
    mark: int = connection.execute("SELECT id FROM folded").fetchone()[0]
    low, high = connection.execute(
        "SELECT min(started_ns), max(started_ns) FROM events WHERE id > ?", (mark,)
    ).fetchone()
    corrected = not as_recorded and any_corrections(connection)
    tail = None if low is None else (low, high)
    return Extent(min(hours), max(hours) + 1, mark, tail, corrected, kept(connection).before_hour)


def read(connection: Connection, how: Grouping, since_ns: int, until_ns: int, held: Extent) -> Iterator[Group]:
    """All calls that began in the range, grouped; the same key and kind may come several times."""
    if how.dim is None:
        yield from _from_events(connection, how, since_ns, until_ns, "")
        if held.corrected:
            yield from _from_corrections(connection, how, since_ns, until_ns)
        return
    spans, edges = cut(since_ns, until_ns)
    for span in spans:
        yield from _from_rollup(connection, how, how.dim, span)
    for low, high in edges:
        yield from _from_events(connection, how, low, high, f" AND e.id <= {held.mark}")
    if held.corrected:
        for span in spans:
            yield from _from_rollup(connection, how, how.dim + CORRECTED, span)
        for low, high in edges:
            yield from _from_corrections(connection, how, low, high)
    if held.tail and held.tail[0] < until_ns and held.tail[1] >= since_ns:
        yield from _from_events(connection, how, since_ns, until_ns, f" AND e.id > {held.mark}")


def _from_rollup(connection: Connection, how: Grouping, dim: int, span: Span) -> Iterable[Group]:
    if dim % CORRECTED == WIDE:
        source, keys = "rollup JOIN wide AS w ON w.id = rollup.key", [f"w.{_WIDE[name]}" for name in how.by]
    else:
        source, keys = "rollup", ["rollup.key"]
    columns = ", ".join([*keys, "kind"])
    return connection.execute(
        f"SELECT {columns}, sum(calls), {_SUMS}, {_JOINED} FROM {source} "
        f"WHERE dim = ? AND grain = ? AND period >= ? AND period < ? GROUP BY {columns}",
        (dim, *span),
    )


def _from_corrections(connection: Connection, how: Grouping, since_ns: int, until_ns: int) -> Iterator[Group]:
    """What corrections take from the kinds before and give to the kinds after."""
    only = " AND e.failure != 0" if "failure" in how.by else ""
    source = f"corrections AS c JOIN {_source(how, 'events AS e ON e.id = c.event')}"
    for sign, kind, ticks in (("-", "c.old_kind", "c.old_ticks"), ("", "c.kind", "c.ticks")):
        columns = ", ".join([*map(_column, how.by), kind])
        yield from connection.execute(
            f"SELECT {columns}, {sign}count(*), {sign}sum(input_tokens), {sign}sum(output_tokens), {sign}sum({ticks}), "
            f"{NOTHING}, {NOTHING} FROM {source} WHERE started_ns >= ? AND started_ns < ?{only} GROUP BY {columns}",
            (since_ns, until_ns),
        )


def _source(how: Grouping, events: str) -> str:
    source = events
    if any(name in _WIDE for name in how.by):
        source += " JOIN wide AS w ON w.id = e.wide"
    if "tag" in how.by:
        source += " LEFT JOIN tags AS t ON t.tags = e.tags"
    return source


def _from_events(connection: Connection, how: Grouping, since_ns: int, until_ns: int, only: str) -> Iterable[Group]:
    source = _source(how, "events AS e")
    if "failure" in how.by:
        only += " AND e.failure != 0"
    # Few events lie beyond the mark and they are found by id; the sign keeps the hours' index out of it.
    hour = "+e.hour" if "e.id >" in only else "e.hour"
    columns = ", ".join([*map(_column, how.by), "e.kind"])
    return connection.execute(
        f"SELECT {columns}, count(*), {_SUMS}, {_JOINED} FROM {source} "
        f"WHERE {hour} >= ? AND {hour} < ? AND started_ns >= ? AND started_ns < ?{only} GROUP BY {columns}",
        (since_ns // HOUR_NS, -(-until_ns // HOUR_NS), since_ns, until_ns),
    )


def _column(name: str) -> str:
    if name in _WIDE:
        return f"w.{_WIDE[name]}"
    return f"coalesce(t.tag, {NOT_GIVEN})" if name == "tag" else f"e.{name}"
