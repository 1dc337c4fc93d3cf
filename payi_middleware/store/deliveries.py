"""What other places have of the events: for each a mark, up to which they were handed over, and what was refused.

Events get their numbers in the order in which they are committed, so nothing ever appears below a mark. The mark and
what was refused are written in one transaction: a process that is killed before it hands the last batch over again, and
whoever takes it drops what it has by the event's id.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..events import CallEvent
from .connection import Connection
from .corrections import LAST, corrected
from .interned import Names
from .keeping import last
from .pack import COLUMNS
from .unpack import unpacked

__all__ = [
    "FORGOTTEN",
    "Batch",
    "Delivered",
    "Place",
    "Rejected",
    "Rejection",
    "deliveries",
    "done",
    "expect",
    "forget_events",
    "forget_messages",
    "is_expected",
    "last",
    "offer_again",
    "undelivered",
]

_LONGEST = 500  # characters of a server's message that are kept
FORGOTTEN = "(forgotten)"
"""In place of a message that told of a person."""
_COUNTED = 100_000  # waiting events that are counted, at most


class Place(NamedTuple):
    """Where events go, and whose."""

    url: str
    application: str


class Batch(NamedTuple):
    """Some events to hand over, in the order in which they were stored."""

    numbers: list[int]
    """Of the events in the store."""
    events: list[CallEvent]
    mark: int
    """Where the next batch begins."""
    again: bool = False
    """Whether they were refused once, and are offered again."""

    def first(self, n: int) -> Batch:
        """The first of them alone."""
        mark = self.mark if self.again else self.numbers[n - 1]
        return Batch(self.numbers[:n], self.events[:n], mark, self.again)


class Rejected(NamedTuple):
    """An event that the other side refuses, whatever else it takes."""

    at: int
    """Its place in the batch, from 0."""
    status: int
    """HTTP's; 0 where it was never sent."""
    code: str | None
    """What programs read: Pay-i's `xproxy_error.code`."""
    message: str
    """What people read."""


class Rejection(NamedTuple):
    """Why events were refused, and how many."""

    code: str | None
    message: str
    """Of the last one."""
    events: int


class Delivered(NamedTuple):
    """How far a place is."""

    place: Place
    at_ns: int
    """When it took a batch last, nanoseconds since the epoch; 0 for never."""
    waiting: int
    """Events it does not have yet; counted up to 100,000."""
    rejections: list[Rejection]
    """Most events first."""

    @property
    def rejected(self) -> int:
        """Events that are set aside."""
        return sum(rejection.events for rejection in self.rejections)


_EVENT = ", ".join(["e.id", LAST, *(f"e.{name}" for name in COLUMNS.split(", "))])
_NEXT = f"""
SELECT {_EVENT} FROM events AS e CROSS JOIN wide AS w
WHERE e.id > ? AND e.id <= ? AND w.id = e.wide AND w.application = ? ORDER BY e.id LIMIT ?
"""
_AGAIN = f"""
SELECT {_EVENT} FROM rejected AS r JOIN events AS e ON e.id = r.event
WHERE r.delivery = ? AND r.again = 1 ORDER BY e.id LIMIT ?
"""
_WAITING = f"""
SELECT count(*) FROM (
    SELECT 1 FROM events AS e CROSS JOIN wide AS w
    WHERE e.id > ? AND w.id = e.wide AND w.application = ? LIMIT {_COUNTED}
) AS waiting
"""
_REJECT = """
INSERT INTO rejected (delivery, event, at_ns, again, status, code, message) VALUES (?, ?, ?, 0, ?, ?, ?)
ON CONFLICT (delivery, event) DO UPDATE SET at_ns = excluded.at_ns, again = 0, status = excluded.status,
    code = excluded.code, message = excluded.message
"""
_WHY = """
SELECT code, message, n FROM (
    SELECT code, message, count(*) OVER (PARTITION BY code) AS n,
        row_number() OVER (PARTITION BY code ORDER BY at_ns DESC, event DESC) AS place
    FROM rejected WHERE delivery = ?
) AS told WHERE place = 1 ORDER BY n DESC
"""


def undelivered(
    connection: Connection, place: Place, upto: int, size: int, looked: int = 0, *, again: bool = True
) -> Batch | None:
    """What to hand over next, of the events up to a number; None if there is nothing.

    Up to the number `looked` there was nothing when the caller looked last.

    Events that are offered again come first, since they are the older ones; without `again` they are passed over.
    """
    number, mark = _found(connection, place)
    names = Names(connection)
    if again and (rows := connection.execute(_AGAIN, (number, size)).fetchall()):
        return Batch([row[0] for row in rows], [_event(row, names) for row in rows], mark, again=True)
    rows = connection.execute(_NEXT, (max(mark, looked), upto, place.application, size)).fetchall()
    if not rows:
        return None
    return Batch([row[0] for row in rows], [_event(row, names) for row in rows], rows[-1][0])


def expect(connection: Connection, place: Place) -> None:
    """A place is to get events, though it may never have taken one: they are kept for it. Within a transaction that writes."""
    connection.execute(
        "INSERT INTO deliveries (url, application, mark, at_ns) VALUES (?, ?, 0, 0) ON CONFLICT (url, application) DO NOTHING",
        place,
    )


def is_expected(connection: Connection, place: Place) -> bool:
    """Whether that is known already."""
    return _found(connection, place)[0] != 0


def done(connection: Connection, place: Place, batch: Batch, rejected: Sequence[Rejected]) -> None:
    """A batch is handed over but for what was refused, which is set aside. Within a transaction that writes."""
    now = time.time_ns()
    connection.execute(
        "INSERT INTO deliveries (url, application, mark, at_ns) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (url, application) DO UPDATE SET mark = excluded.mark, at_ns = excluded.at_ns",
        (*place, batch.mark, now),
    )
    number, _ = _found(connection, place)
    if batch.again:
        taken = [(number, event) for event in batch.numbers]
        connection.executemany("DELETE FROM rejected WHERE delivery = ? AND event = ?", taken)
    rows = [(number, batch.numbers[one.at], now, one.status, one.code, one.message[:_LONGEST]) for one in rejected]
    connection.executemany(_REJECT, [row for row in rows if _is_there(connection, row[1])])


def _is_there(connection: Connection, event: int) -> bool:
    """Whether an event was not pruned or forgotten while it was on its way."""
    found: int = connection.execute("SELECT EXISTS (SELECT 1 FROM events WHERE id = ?)", (event,)).fetchone()[0]
    return found == 1


def forget_events(connection: Connection, numbers: Sequence[tuple[int]]) -> None:
    """The events of these numbers go, and with them what is told of their refusal. Within a transaction that writes."""
    for (place,) in connection.execute("SELECT id FROM deliveries").fetchall():
        rows = [(place, *number) for number in numbers]
        connection.executemany("DELETE FROM rejected WHERE delivery = ? AND event = ?", rows)


def forget_messages(
    connection: Connection, text: str, tells: Callable[[int, str], bool], application: str | None
) -> None:
    """What is told of a refusal goes where it tells of a person. Within a transaction that writes.

    Args:
        connection: Whose transaction.
        text: The person's id.
        tells: Whether a message that holds it tells of them, by the number of its event.
        application: Of whose refusals; None for all.
    """
    rows = connection.execute(
        "SELECT r.delivery, r.event, r.message FROM rejected AS r JOIN deliveries AS d ON d.id = r.delivery "
        "WHERE instr(r.message, ?) > 0 AND d.application = coalesce(?, d.application)",
        (text, application),
    ).fetchall()
    told = [(FORGOTTEN, delivery, event) for delivery, event, message in rows if tells(event, message)]
    connection.executemany("UPDATE rejected SET message = ? WHERE delivery = ? AND event = ?", told)


def deliveries(connection: Connection) -> list[Delivered]:
    """Every place that ever took a batch, or is to."""
    rows = connection.execute("SELECT id, url, application, mark, at_ns FROM deliveries ORDER BY url, application")
    return [_delivered(connection, *row) for row in rows.fetchall()]


def offer_again(connection: Connection) -> int:
    """Let what was refused be offered again; how many events that are. Within a transaction that writes."""
    return connection.execute("UPDATE rejected SET again = 1").rowcount


def _delivered(connection: Connection, number: int, url: str, application: str, mark: int, at_ns: int) -> Delivered:
    waiting: int = connection.execute(_WAITING, (_valid(connection, mark), application)).fetchone()[0]
    why = [Rejection(code, message, n) for code, message, n in connection.execute(_WHY, (number,))]
    return Delivered(Place(url, application), at_ns, waiting, why)


def _found(connection: Connection, place: Place) -> tuple[int, int]:
    """The place's number, 0 for a new one, and its mark."""
    row = connection.execute("SELECT id, mark FROM deliveries WHERE url = ? AND application = ?", place).fetchone()
    return (0, 0) if row is None else (row[0], _valid(connection, row[1]))


def _valid(connection: Connection, mark: int) -> int:
    """The mark; 0 if the numbers have begun anew since, in a store whose events were all deleted."""
    return mark if mark <= last(connection) else 0


def _event(row: tuple[Any, ...], names: Names) -> CallEvent:
    return corrected(unpacked(row[2:], names), row[1])
