"""Events out of the store, in the order in which their calls began."""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..events import CallEvent
from .connection import Connection
from .corrections import LAST, corrected
from .database import Database
from .interned import Names
from .pack import COLUMNS, request_key
from .periods import HOUR_NS
from .unpack import unpacked

__all__ = ["by_ids", "latest", "of_request", "oldest_first"]

_ASKED_AT_ONCE = 500  # ids in one question
_EVER = (1 << 63) - 1  # nanoseconds
_COLUMNS = ", ".join([LAST, *(f"e.{name}" for name in COLUMNS.split(", "))])

_OF_REQUEST = f"""
WITH RECURSIVE hours (hour) AS (
    SELECT min(hour) FROM events
    UNION ALL
    SELECT (SELECT min(e.hour) FROM events AS e WHERE e.hour > hours.hour) FROM hours WHERE hours.hour IS NOT NULL
)
SELECT {_COLUMNS} FROM hours
JOIN events AS e ON e.hour = hours.hour AND e.request_key = ? ORDER BY e.started_ns, e.id
"""


def oldest_first(
    database: Database,
    since_ns: int | None = None,
    until_ns: int | None = None,
    *,
    as_recorded: bool = False,
) -> Iterator[CallEvent]:
    """The events that began in [since, until), one by one; with their costs as corrected last, unless `as_recorded`."""
    names = Names(database.connection)
    low, high = -_EVER if since_ns is None else since_ns, _EVER if until_ns is None else until_ns
    rows = database.streamed(
        f"SELECT {_COLUMNS} FROM events AS e WHERE hour >= ? AND hour <= ? AND started_ns >= ? AND started_ns < ? "
        "ORDER BY hour, started_ns, id",
        (low // HOUR_NS, high // HOUR_NS, low, high),
    )
    for row in rows:
        yield _event(row, names, as_recorded=as_recorded)


def latest(
    connection: Connection, n: int, until_ns: int | None = None, *, as_recorded: bool = False
) -> list[CallEvent]:
    """The last `n` events that began before `until_ns`, newest last."""
    names = Names(connection)
    high = _EVER if until_ns is None else min(until_ns, _EVER)
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events AS e WHERE hour <= ? AND started_ns < ? "
        "ORDER BY hour DESC, started_ns DESC, id DESC LIMIT ?",
        (high // HOUR_NS, high, n),
    )
    return [_event(row, names, as_recorded=as_recorded) for row in rows][::-1]


def by_ids(
    connection: Connection, event_ids: Sequence[bytes], *, as_recorded: bool = False
) -> dict[bytes, tuple[int, CallEvent]]:
    """The numbers here and the events of those ids that are known."""
    names = Names(connection)
    found: dict[bytes, tuple[int, CallEvent]] = {}
    for start in range(0, len(event_ids), _ASKED_AT_ONCE):
        part = event_ids[start : start + _ASKED_AT_ONCE]
        question = f"SELECT e.id, {_COLUMNS} FROM events AS e WHERE event_id IN ({', '.join('?' * len(part))})"
        for row in connection.execute(question, part):
            event = _event(row[1:], names, as_recorded=as_recorded)
            found[event.event_id] = row[0], event
    return found


def of_request(connection: Connection, request_id: str, *, as_recorded: bool = False) -> list[CallEvent]:
    """The events of one web request, newest last."""
    names = Names(connection)
    # Hour by hour, since the index begins with it; a year has 8,760.
    rows = connection.execute(_OF_REQUEST, (request_key(request_id),))
    events = (_event(row, names, as_recorded=as_recorded) for row in rows)
    return [event for event in events if event.inbound.http_request_id == request_id]


def _event(row: tuple[Any, ...], names: Names, *, as_recorded: bool) -> CallEvent:
    return corrected(unpacked(row[1:], names), None if as_recorded else row[0])
