"""Corrections of costs, kept beside the events they correct and never over them.

A correction holds the kind and the ticks before and after, so that a sum as corrected is the recorded sum and all
differences; the rollups have the differences under dimensions of their own (`CORRECTED` added). Of several corrections
of one event the last holds.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ..events import CallEvent, Cost, CostSource, Unpriced
from .adding import NOTHING, OF_CORRECTIONS
from .connection import Connection
from .filled import leave_out
from .fold import BOUND, KEYS, add_up, name, narrow, prepare
from .interned import Names
from .kinds import as_attributed, kind_of
from .pack import COLUMNS
from .schema import CORRECTED, DAY, FAILURE, TAG
from .unpack import unpacked

__all__ = ["LAST", "Correction", "any_corrections", "correct", "corrected", "gather", "to_other", "walk"]

LAST = "(SELECT c.told FROM corrections AS c WHERE c.event = e.id ORDER BY c.id DESC LIMIT 1)"
"""The column of an event's last correction."""


class Correction(msgspec.Struct, frozen=True, array_like=True):
    """What of an event is otherwise now."""

    cost: Cost | None
    cost_source: CostSource
    unpriced: tuple[Unpriced, ...]
    reason: str | None
    price_version: str | None


_HELD = """
SELECT e.kind, coalesce(c.kind, e.kind), coalesce(c.ticks, e.cost_ticks) FROM events AS e
LEFT JOIN corrections AS c ON c.id = (SELECT max(l.id) FROM corrections AS l WHERE l.event = e.id) WHERE e.id = ?
"""
"""The kind of an event as it was recorded, and its kind and ticks as they are in the sums: what a difference is to be from."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Correction).decode


def corrected(event: CallEvent, packed: bytes | None) -> CallEvent:
    """The event as its last correction, if there is one, has it."""
    return event if packed is None else msgspec.structs.replace(event, **msgspec.structs.asdict(_decode(packed)))


def any_corrections(connection: Connection) -> bool:
    """Whether the store has corrections, or what is left of them: the sums, where the events are gone."""
    found: int = connection.execute(f"SELECT EXISTS (SELECT 1 FROM rollup WHERE {OF_CORRECTIONS})").fetchone()[0]
    return found == 1


def walk(
    connection: Connection, since_ns: int | None, until_ns: int | None, size: int
) -> Iterator[list[tuple[int, CallEvent]]]:
    """The events that began in [since, until), as corrected so far, with their numbers in the store, `size` at a time."""
    names = Names(connection)
    columns = ", ".join(f"e.{name}" for name in COLUMNS.split(", "))
    question = (
        f"SELECT e.id, {LAST}, {columns} FROM events AS e "
        "WHERE e.id > ? AND started_ns >= ? AND started_ns < ? ORDER BY e.id LIMIT ?"
    )
    low, high = -(1 << 62) if since_ns is None else since_ns, 1 << 62 if until_ns is None else until_ns
    last = 0
    while rows := connection.execute(question, (last, low, high, size)).fetchall():
        last = rows[-1][0]
        yield [(row[0], corrected(unpacked(row[2:], names), row[1])) for row in rows]


def correct(connection: Connection, changed: Sequence[tuple[int, CallEvent, CallEvent]]) -> set[int]:
    """Write corrections: (number in the store, the event as it was read, as it shall be). Within a transaction that writes.

    An event that has another cost by now, or is gone, is left as it is.

    Returns:
        The numbers of those that were corrected.
    """
    first: int = connection.execute("SELECT coalesce(max(id), 0) FROM corrections").fetchone()[0]
    rows = list(_rows(connection, changed, time.time_ns()))
    connection.executemany(
        "INSERT INTO corrections (event, at_ns, old_kind, old_ticks, kind, ticks, told) VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    prepare(connection)
    for statement in _GATHER:
        connection.execute(statement, (first,))
    name(connection)
    narrow(connection)
    leave_out(connection)
    to_other(connection)
    add_up(connection)
    return {row[0] for row in rows}


def to_other(connection: Connection) -> None:
    """Give what was gathered the key "(other)" where the rollups count the value so."""
    for dim, other in BOUND.items():
        connection.execute(_TO_OTHER.format(other=other), {"dim": dim})


def _rows(
    connection: Connection, changed: Iterable[tuple[int, CallEvent, CallEvent]], now: int
) -> Iterator[tuple[int, int, int, int, int, int, bytes]]:
    seen = set[int]()
    for number, before, after in changed:
        held = connection.execute(_HELD, (number,)).fetchone()
        if held is None or number in seen:  # it was pruned meanwhile
            continue
        recorded, kind, ticks = held
        if ticks != _ticks(before):  # somebody else corrected it meanwhile
            continue
        seen.add(number)
        rest = Correction(after.cost, after.cost_source, after.unpriced, after.reason, after.price_version)
        yield number, now, kind, ticks, as_attributed(kind_of(after), recorded), _ticks(after), _encode(rest)


def _ticks(event: CallEvent) -> int:
    return 0 if event.cost is None else event.cost.total_ticks


def gather(dim: int, which: str, *, after: bool) -> str:
    """The differences of a dimension: what is taken from the kind before, or given to the kind after.

    Over the corrections of which `which` is true.
    """
    sign, kind, ticks = ("", "c.kind", "c.ticks") if after else ("-", "c.old_kind", "c.old_ticks")
    source = "corrections AS c JOIN events AS e ON e.id = c.event"
    if dim == TAG:
        source += " LEFT JOIN tags AS t ON t.tags = e.tags"
    only = " AND e.failure != 0" if dim == FAILURE else ""
    return (
        f"INSERT INTO temp.delta SELECT {dim | CORRECTED}, e.hour, {KEYS[dim]} AS the_key, {kind} AS the_kind, "
        f"{sign}count(*), {sign}sum(e.input_tokens), {sign}sum(e.output_tokens), {sign}sum({ticks}), {NOTHING}, {NOTHING} "
        f"FROM {source} WHERE {which}{only} GROUP BY e.hour, the_key, the_kind"
    )


_GATHER = [gather(dim, "c.id > ?", after=after) for dim in KEYS for after in (False, True)]
_TO_OTHER = f"""
UPDATE temp.delta SET key = {{other}} WHERE dim = :dim + {CORRECTED} AND key > 0 AND EXISTS (
    SELECT 1 FROM rollup AS r
    WHERE r.dim = :dim AND r.grain = {DAY} AND r.period = delta.hour / 24 AND r.key = ({{other}})
) AND NOT EXISTS (
    SELECT 1 FROM rollup AS r WHERE r.dim = :dim AND r.grain = {DAY} AND r.period = delta.hour / 24 AND r.key = delta.key
)
"""
"""A value that the rollup counts as "(other)" is corrected there."""
