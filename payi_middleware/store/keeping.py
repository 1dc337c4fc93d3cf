"""What the store no longer holds, and the numbers that are never given twice.

Events have numbers in the order in which they were written. Rollups, corrections and deliveries refer to them, so a
number must stay its event's also after that was removed, the newest one's included: the mark in `folded` remembers it.
"""

from __future__ import annotations

from typing import NamedTuple

from .connection import Connection

__all__ = ["Kept", "changed", "count", "kept", "last", "removed"]

_LAST = "SELECT max(id) FROM (SELECT event AS id FROM folded UNION ALL SELECT max(id) FROM events) AS given"


class Kept(NamedTuple):
    """What housekeeping has left."""

    removed: int
    """Events that were removed."""
    before_hour: int | None
    """The hour before which events were removed while their sums may have stayed, the first of a day; None for never."""
    generation: int
    """Counts how often interned values were removed, so that writers forget the numbers that they remember."""


def kept(connection: Connection) -> Kept:
    """What housekeeping has left of the store."""
    return Kept(*connection.execute("SELECT removed, before_hour, generation FROM keeping").fetchone())


def changed(connection: Connection) -> None:
    """Interned values were removed, or are others now. Within the transaction that did so."""
    connection.execute("UPDATE keeping SET generation = generation + 1")


def removed(connection: Connection, events: int) -> None:
    """Events were removed, all of which were in the rollups. Within the transaction that did so."""
    connection.execute("UPDATE keeping SET removed = removed + ?", (events,))


def last(connection: Connection) -> int:
    """The number of the newest event, be it still there or not."""
    number: int = connection.execute(_LAST).fetchone()[0]
    return number


def count(connection: Connection) -> int:
    """How many events there are, without counting them: each number was given once."""
    return last(connection) - kept(connection).removed
