"""Batches of events into the store: each event once, however often it is offered."""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from .. import health as faults
from ..events import CallEvent
from . import deliveries
from .connection import Connection
from .corrections import correct
from .fold import EVERY, MOST_KEYS, fold, waiting
from .keeping import generation, next_number
from .pack import COLUMNS, Packer
from .patience import BUSY_TIMEOUT, patiently
from .processes import put

__all__ = ["Batch", "Writer"]

_MARKS = ", ".join("?" * len(COLUMNS.split(", ")))
_INSERTS = [
    (size, f"INSERT INTO events ({COLUMNS}) VALUES {', '.join([f'({_MARKS})'] * size)}")
    for size in (40, 5, 1)  # 40 rows have 800 parameters; every database takes that many
]
_NUMBERED = f"INSERT INTO events (id, {COLUMNS}) VALUES (?, {_MARKS})"
_ASKED_AT_ONCE = 500  # ids in one question


class Batch(NamedTuple):
    """A transaction under way."""

    connection: Connection
    new: Callable[[Sequence[CallEvent]], list[CallEvent]]
    """Of some events those that the store does not hold yet, each once."""
    add: Callable[[Sequence[CallEvent]], None]
    """Store new events. What `pack.check` refuses, raises."""

    def correct(self, changed: Sequence[tuple[int, CallEvent, CallEvent]]) -> None:
        """Write corrections; see `corrections.correct`."""
        correct(self.connection, changed)


class Writer:
    """Writes batches over one connection, one transaction a batch; waits `timeout` seconds for another process's."""

    def __init__(
        self,
        connection: Connection,
        *,
        fold_every: int = EVERY,
        most_keys: int = MOST_KEYS,
        timeout: float = BUSY_TIMEOUT,
    ) -> None:
        self._connection = connection
        self._timeout = timeout
        self._packer = Packer(connection)
        self._fold_every = fold_every
        self._most_keys = most_keys
        self._generation = 0

    def write(self, events: Sequence[CallEvent], health: dict[str, Any] | None = None) -> int:
        """Store the events that are new, and this process's health with them; how many were new.

        Raises:
            sqlite3.Error: Nothing of the batch was written.
        """
        try:
            return self._write(events, health)
        except (ValueError, OverflowError, TypeError):
            # One event that no database could take must not hold up all others for ever.
            if len(events) > 1:
                half = len(events) // 2
                return self.write(events[:half]) + self.write(events[half:], health)
            faults.note("event_unstorable", "an event cannot be stored and is left out", exc_info=True, n=len(events))
            return 0

    def correct(self, changed: Sequence[tuple[int, CallEvent, CallEvent]]) -> None:
        """Write corrections, all or none; see `corrections.correct`.

        Raises:
            sqlite3.Error: Nothing was written.
        """
        with self._transaction():
            correct(self._connection, changed)

    def delivered(
        self, place: deliveries.Place, batch: deliveries.Batch, rejected: Sequence[deliveries.Rejected]
    ) -> None:
        """Write how far another place is; see `deliveries.done`.

        Raises:
            sqlite3.Error: Nothing was written.
        """
        with self._transaction():
            deliveries.done(self._connection, place, batch, rejected)

    def offer_again(self) -> int:
        """See `deliveries.offer_again`.

        Raises:
            sqlite3.Error: Nothing was written.
        """
        with self._transaction():
            return deliveries.offer_again(self._connection)

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch]:
        """One transaction, for who writes more than events; committed when the block ends, taken back if it raises."""
        with self._transaction():
            yield Batch(self._connection, self._new, self._add)

    def _write(self, events: Sequence[CallEvent], health: dict[str, Any] | None) -> int:
        with self._transaction():
            new = self._new(events)
            self._add(new)
            if health:
                put(self._connection, health, len(new))
        return len(new)

    def _add(self, events: Sequence[CallEvent]) -> None:
        self._insert([self._packer.row(event) for event in events])
        if events and waiting(self._connection) >= self._fold_every:
            fold(self._connection, most_keys=self._most_keys)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction of somebody else's statements over the same connection; taken back if the block raises."""
        with self._transaction():
            yield

    def fold(self) -> None:
        """Bring the rollups up to date. Within a transaction that writes."""
        fold(self._connection, most_keys=self._most_keys)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        # Immediate: which events are new must still hold when they are written.
        patiently(lambda: self._connection.execute("BEGIN IMMEDIATE"), self._timeout)
        try:
            self._remember()
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._packer.forget()
            if self._connection.in_transaction:  # a full disk has rolled back by itself
                self._connection.execute("ROLLBACK")
            raise

    def _remember(self) -> None:
        """Forget the numbers of texts if any were removed: another text may have got the number."""
        now = generation(self._connection)
        if now != self._generation:
            self._packer.forget()
            self._generation = now

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        """Many rows a statement: with each, Python lets go of the interpreter's lock, and has to win it back."""
        at = 0
        number = next_number(self._connection) if rows else None
        if number is not None:
            self._connection.execute(_NUMBERED, (number, *rows[0]))
            at = 1
        for size, statement in _INSERTS:
            while len(rows) - at >= size:
                self._connection.execute(statement, list(itertools.chain.from_iterable(rows[at : at + size])))
                at += size

    def _new(self, events: Sequence[CallEvent]) -> list[CallEvent]:
        by_id = {event.event_id: event for event in events}
        ids = list(by_id)
        for start in range(0, len(ids), _ASKED_AT_ONCE):
            part = ids[start : start + _ASKED_AT_ONCE]
            marks = ", ".join("?" * len(part))
            for (known,) in self._connection.execute(f"SELECT event_id FROM events WHERE event_id IN ({marks})", part):
                del by_id[known]
        return list(by_id.values())
