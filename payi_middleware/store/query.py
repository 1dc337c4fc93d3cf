"""The sources of a report: rollups where there are any, events for the rest."""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .adding import JOINED, NOTHING
from .connection import Connection
from .corrections import any_corrections
from .filled import filled
from .histogram import negated
from .keeping import kept
from .periods import HOUR_NS, Cut, Span, Windows, cut
from .schema import (
    ACCOUNT,
    APPLICATION,
    CORRECTED,
    EVER,
    FAILURE,
    HOUR,
    MODEL,
    NARROW,
    NOT_GIVEN,
    OTHER,
    OTHER_ROUTE,
    PROVIDER,
    ROUTE,
    ROUTED,
    TAG,
    USE_CASE,
    USER,
    WIDE,
)
from .windows import days_in

__all__ = [
    "BY",
    "Extent",
    "Group",
    "Grouping",
    "column_of",
    "extent",
    "grouping",
    "of_corrections",
    "of_events",
    "pieces",
    "read",
]

BY = ("user", "account", "use-case", "tag", "model", "provider", "route", "application", "day")
"""By what a report may group."""

_WIDE = {"use-case": "use_case", "model": "model", "provider": "provider", "application": "application"}
_NARROW = {"use-case": USE_CASE, "model": MODEL, "provider": PROVIDER, "application": APPLICATION}
_KEYED = {"user": USER, "account": ACCOUNT, "tag": TAG, "route": ROUTE}
_ROUTE = f"CASE key & {OTHER_ROUTE} WHEN {OTHER_ROUTE} THEN {OTHER} ELSE key & {OTHER_ROUTE} END"
"""The route of a key of `ROUTED`."""

_SUMS = "sum(input_tokens), sum(output_tokens), sum(cost_ticks)"


_OF_ROLLUP = f"FROM rollup WHERE dim = {WIDE} AND grain = {HOUR}"
_HOURS = (
    "SELECT min(hour) FROM events UNION ALL SELECT max(hour) FROM events "
    f"UNION ALL SELECT min(period) {_OF_ROLLUP} UNION ALL SELECT max(period) {_OF_ROLLUP}"
)
"""The first and the last hour, each asked for by itself, so that an index answers."""

Group = tuple[Any, ...]
"""Calls of one key and kind: the key's members, then kind, calls, tokens in, tokens out, ticks and two histograms.

The numbers of what is to be taken away are negative.
"""


class Grouping(NamedTuple):
    """How a report groups."""

    by: tuple[str, ...]
    """Its members come first in a `Group`, as texts, or as numbers of texts where `numbered` says so."""
    dim: int | None
    """The rollup that has it; None where only events do."""
    numbered: tuple[bool, ...]


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
    filled: dict[int, int]
    """Dimensions that came later -> the first hour that they have."""
    windows: Windows
    """The days of the running sums."""

    def has(self, dim: int, since_ns: int) -> bool:
        """Whether the rollups have a dimension from this moment on."""
        first = self.filled.get(dim, EVER)
        return first == EVER or first <= max(since_ns // HOUR_NS, self.first_hour)

    def ends_within(self, since_ns: int, until_ns: int) -> bool:
        """Whether some of the events beyond the mark may be in a range."""
        return self.tail is not None and self.tail[0] < until_ns and self.tail[1] >= since_ns


def extent(connection: Connection, *, as_recorded: bool = False) -> Extent | None:
    """What the store holds; None for nothing. `as_recorded`: whether to pass over its corrections."""
    # Of the events that were removed the sums may have stayed.
    hours = [row[0] for row in connection.execute(_HOURS) if row[0] is not None]
    if not hours:
        return None
    mark: int = connection.execute("SELECT event FROM folded").fetchone()[0]
    low, high = connection.execute(
        "SELECT min(started_ns), max(started_ns) FROM events WHERE id > ?", (mark,)
    ).fetchone()
    return Extent(
        min(hours),
        max(hours) + 1,
        mark,
        None if low is None else (low, high),
        not as_recorded and any_corrections(connection),
        kept(connection).before_hour,
        filled(connection),
        days_in(connection),
    )


def grouping(by: tuple[str, ...], held: Extent, since_ns: int) -> Grouping:
    """The cheapest way to group by these (without `day`) from a moment on.

    `("failure",)` groups what failed or was tried again.
    """
    numbered = tuple(name not in _WIDE for name in by)
    for dim, names in _dims(by):
        if names.issuperset(by) and held.has(dim, since_ns):
            return Grouping(by, dim, numbered)
    return Grouping(by, None, numbered)


def _dims(by: tuple[str, ...]) -> Iterator[tuple[int, set[str]]]:
    """The rollups that may have it, those with the fewest rows first, and by what each is."""
    if not by:
        yield APPLICATION, set()
    elif len(by) == 1:
        yield from ((dim, {name}) for name, dim in (_NARROW | _KEYED | {"failure": FAILURE}).items())
    yield WIDE, set(_WIDE)
    yield ROUTED, {*_WIDE, "route"}


def pieces(since_ns: int, until_ns: int, held: Extent) -> Cut:
    """A range as what the store has of it."""
    return cut(since_ns, until_ns, held.windows, (held.first_hour, held.end_hour))


def read(
    connection: Connection,
    how: Grouping,
    since_ns: int,
    until_ns: int,
    held: Extent,
    keys: Sequence[int] | None = None,
) -> Iterator[Group]:
    """All calls that began in the range, grouped; the same key and kind may come several times.

    Args:
        connection: The store's.
        how: How to group.
        since_ns: The range's begin.
        until_ns: Its end, which is not in it.
        held: What the store has.
        keys: Only these, of a grouping by one number.
    """
    if how.dim is None:
        yield from _from_events(connection, how, since_ns, until_ns, "")
        if held.corrected:
            yield from _from_corrections(connection, how, since_ns, until_ns)
        return
    only = "" if keys is None else f" AND {column_of(how.by[0])} IN ({', '.join(map(str, keys))})"
    spans, edges = pieces(since_ns, until_ns, held)
    for span in spans:
        yield from _from_rollup(connection, how, how.dim, span, keys)
    for low, high in edges:
        yield from _from_events(connection, how, low, high, f"{only} AND e.id <= {held.mark}")
    if held.corrected:
        for span in spans:
            yield from _from_rollup(connection, how, how.dim | CORRECTED, span, keys)
        for low, high in edges:
            yield from _from_corrections(connection, how, low, high, only)
    if held.ends_within(since_ns, until_ns):
        yield from _from_events(connection, how, since_ns, until_ns, f"{only} AND e.id > {held.mark}")


def _from_rollup(
    connection: Connection, how: Grouping, dim: int, span: Span, keys: Sequence[int] | None
) -> Iterable[Group]:
    source, members = _rollup(how, dim & ~CORRECTED)
    columns = ", ".join([*members, "kind"])
    only = "period >= ? AND period < ?"
    values: tuple[int, ...] = (dim, span.grain, span.first, span.end)
    if keys is not None:
        # Period by period, as the index has them: then each key is looked up, and the others between are not passed.
        periods = ", ".join(map(str, range(span.first, span.end)))
        only, values = f"period IN ({periods}) AND key IN ({', '.join(map(str, keys))})", values[:2]
    rows = connection.execute(
        f"SELECT {columns}, sum(calls), {_SUMS}, {JOINED} FROM {source} WHERE dim = ? AND grain = ? AND {only} "
        f"GROUP BY {columns}",
        values,
    )
    return rows if span.sign > 0 else map(_taken_away, rows)


def _taken_away(group: Group) -> Group:
    return (*group[:-6], *(-number for number in group[-6:-2]), negated(group[-2]), negated(group[-1]))


def _rollup(how: Grouping, dim: int) -> tuple[str, list[str]]:
    """The tables that have it, and its members in them."""
    if dim in NARROW:
        return ("rollup LEFT JOIN texts AS x ON x.id = key", ["x.packed"]) if how.by else ("rollup", [])
    if dim == WIDE:
        return "rollup JOIN wide AS w ON w.id = key", [f"w.{_WIDE[name]}" for name in how.by]
    if dim == ROUTED:
        members = [f"w.{_WIDE[name]}" if name in _WIDE else _ROUTE for name in how.by]
        return "rollup JOIN wide AS w ON w.id = key >> 32", members
    return "rollup", ["key"]


def _from_corrections(
    connection: Connection, how: Grouping, since_ns: int, until_ns: int, only: str = ""
) -> Iterator[Group]:
    """What corrections take from the kinds before and give to the kinds after."""
    source, values = of_corrections(how, since_ns, until_ns, only)
    for sign, kind, ticks in (("-", "c.old_kind", "c.old_ticks"), ("", "c.kind", "c.ticks")):
        columns = ", ".join([*map(column_of, how.by), kind])
        yield from connection.execute(
            f"SELECT {columns}, {sign}count(*), {sign}sum(input_tokens), {sign}sum(output_tokens), {sign}sum({ticks}), "
            f"{NOTHING}, {NOTHING} {source} GROUP BY {columns}",
            values,
        )


def of_corrections(how: Grouping, since_ns: int, until_ns: int, only: str = "") -> tuple[str, tuple[int, int]]:
    """From where, and with which values, to select corrections `c` of the events `e` of a range."""
    only += " AND e.failure != 0" if "failure" in how.by else ""
    source = f"corrections AS c JOIN {_source(how, 'events AS e ON e.id = c.event')}"
    return f"FROM {source} WHERE started_ns >= ? AND started_ns < ?{only}", (since_ns, until_ns)


def _source(how: Grouping, events: str) -> str:
    source = events
    if any(name in _WIDE for name in how.by):
        source += " JOIN wide AS w ON w.id = e.wide"
    if "tag" in how.by:
        source += " LEFT JOIN tags AS t ON t.tags = e.tags"
    return source


def _from_events(connection: Connection, how: Grouping, since_ns: int, until_ns: int, only: str) -> Iterable[Group]:
    source, values = of_events(how, since_ns, until_ns, only)
    columns = ", ".join([*map(column_of, how.by), "e.kind"])
    return connection.execute(f"SELECT {columns}, count(*), {_SUMS}, {JOINED} {source} GROUP BY {columns}", values)


def of_events(how: Grouping, since_ns: int, until_ns: int, only: str) -> tuple[str, tuple[int, int, int, int]]:
    """From where, and with which values, to select events `e` of a range."""
    if "failure" in how.by:
        only += " AND e.failure != 0"
    # Few events lie beyond the mark and they are found by id; the sign keeps the hours' index out of it.
    hour = "+e.hour" if "e.id >" in only else "e.hour"
    source = f"FROM {_source(how, 'events AS e')} WHERE {hour} >= ? AND {hour} < ? AND started_ns >= ? AND started_ns < ?{only}"
    return source, (since_ns // HOUR_NS, -(-until_ns // HOUR_NS), since_ns, until_ns)


def column_of(name: str) -> str:
    """A member of a grouping, of events."""
    if name in _WIDE:
        return f"w.{_WIDE[name]}"
    return f"coalesce(t.tag, {NOT_GIVEN})" if name == "tag" else f"e.{name}"
