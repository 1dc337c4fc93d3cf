"""Batches of events into the store: each event once, however often it is offered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from .. import health as faults
from ..events import CallEvent
from . import deliveries
from .connection import Connection
from .corrections import correct
from .database import Database, Known
from .fold import EVERY, MOST_KEYS, fold
from .interned import Names
from .pack import COLUMNS, Packer, shapes_of
from .processes import put
from .rest import with_states
from .tending import tend

__all__ = ["Batch", "Writer"]

_ASKED_AT_ONCE = 500  # ids in one question


class Batch(NamedTuple):
    """A transaction under way."""

    connection: Connection
    new: Callable[[Sequence[CallEvent]], list[CallEvent]]
    """Of some events those that the store does not hold yet, each once."""
    add: Callable[[Sequence[CallEvent]], object]
    """Store new events. What `pack.check` refuses, raises."""

    def correct(self, changed: Sequence[tuple[int, CallEvent, CallEvent]]) -> None:
        """Write corrections; see `corrections.correct`."""
        correct(self.connection, changed)

    def states(self, states: Mapping[bytes, dict[str, str]]) -> None:
        """Write the states of their limits to events that are stored, by their ids; ids that are no event's are passed over."""
        for rows in self._stored(list(states), "id, event_id, rest"):
            self.connection.executemany(
                "UPDATE events SET rest = ? WHERE id = ?",
                [(with_states(rest, states[event_id]), number) for number, event_id, rest in rows],
            )

    def uncounted(self, event_ids: Sequence[bytes]) -> None:
        """Have events that are stored name no ledger; ids that are no event's are passed over."""
        names, shapes = Names(self.connection), shapes_of(self.connection)
        for rows in self._stored(event_ids, "id, shape"):
            without = {shape: shapes.id(msgspec.structs.replace(names.shape(shape), ledger=None)) for _, shape in rows}
            self.connection.executemany(
                "UPDATE events SET shape = ? WHERE id = ?", [(without[shape], number) for number, shape in rows]
            )

    def _stored(self, event_ids: Sequence[bytes], columns: str) -> Iterator[list[Any]]:
        """The rows of events by their ids, some at a time."""
        for start in range(0, len(event_ids), _ASKED_AT_ONCE):
            part = event_ids[start : start + _ASKED_AT_ONCE]
            marks = ", ".join("?" * len(part))
            yield self.connection.execute(
                f"SELECT {columns} FROM events WHERE event_id IN ({marks})",  # noqa: S608 - names of ours and marks alone
                part,
            ).fetchall()


class Writer:
    """Writes batches over one connection, one transaction a batch."""

    def __init__(self, database: Database, *, fold_every: int = EVERY, most_keys: int = MOST_KEYS) -> None:
        self._database = database
        self._connection = database.connection
        self._packer = Packer(database.connection)
        self._fold_every = fold_every
        self._most_keys = most_keys
        self._remembered: tuple[int, ...] = ()
        self._process: str | None = None
        """Whose health was written last."""

    def write(self, events: Sequence[CallEvent], health: dict[str, Any] | None = None, *, uncounted: int = 0) -> int:
        """Store the events that are new, and this process's health with them; how many were new.

        `uncounted` are those that the process wrote before without its health.

        Raises:
            The database's error: Nothing of the batch was written.
        """
        try:
            try:
                return self._write(events, health, uncounted, are_new=self._database.tells_known)
            except Known:  # seldom: events are offered again after a process died
                return self._write(events, health, uncounted, are_new=False)
        except (ValueError, OverflowError, TypeError):
            # One event that no database could take must not hold up all others for ever.
            if len(events) > 1:
                half = len(events) // 2
                first = self.write(events[:half])
                return first + self.write(events[half:], health, uncounted=uncounted + first)
            faults.note("event_unstorable", "an event cannot be stored and is left out", exc_info=True, n=len(events))
            return self.write((), health, uncounted=uncounted) if events and health else 0

    def correct(self, changed: Sequence[tuple[int, CallEvent, CallEvent]]) -> set[int]:
        """Write corrections, all or none; see `corrections.correct`.

        Raises:
            The database's error: Nothing was written.
        """
        with self._transaction():
            return correct(self._connection, changed)

    def delivered(
        self, place: deliveries.Place, batch: deliveries.Batch, rejected: Sequence[deliveries.Rejected]
    ) -> None:
        """Write how far another place is; see `deliveries.done`.

        Raises:
            The database's error: Nothing was written.
        """
        with self._transaction():
            deliveries.done(self._connection, place, batch, rejected)

    def expect(self, place: deliveries.Place) -> None:
        """See `deliveries.expect`.

        Raises:
            The database's error: Nothing was written.
        """
        with self._transaction():
            deliveries.expect(self._connection, place)

    def offer_again(self) -> int:
        """See `deliveries.offer_again`.

        Raises:
            The database's error: Nothing was written.
        """
        with self._transaction():
            return deliveries.offer_again(self._connection)

    @contextlib.contextmanager
    def batch(self) -> Iterator[Batch]:
        """One transaction, for who writes more than events; committed when the block ends, taken back if it raises."""
        with self._transaction():
            yield Batch(self._connection, self._new, self._add)

    def _write(
        self, events: Sequence[CallEvent], health: dict[str, Any] | None, uncounted: int, *, are_new: bool
    ) -> int:
        try:
            if (now := self._database.begin(plain=True)) != self._remembered:
                self._forget(now)
            new = events if are_new else self._new(events)
            folded = self._add(new)
            if health:
                self._process = put(self._connection, health, uncounted + len(new), known=self._process)
            self._database.commit(plain=not folded)
        except BaseException:
            self._give_up()
            raise
        return len(new)

    def _add(self, events: Sequence[CallEvent]) -> bool:
        """Store new events; whether rollups were brought up to date with that."""
        if not events:
            return False
        self._packer.begin()
        numbers = self._database.numbers(lambda: self._packer.unknown(events))
        if numbers:
            self._packer.learn(numbers)
        waiting = self._database.insert(COLUMNS, list(map(self._packer.row, events)))
        if waiting < self._fold_every:
            return False
        days = fold(self._connection, most_keys=self._most_keys)
        tend(self._connection, self._most_keys, besides=days)
        return True

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
        try:
            if (now := self._database.begin()) != self._remembered:
                self._forget(now)
            yield
            self._database.commit()
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        self._packer.forget()
        self._process = None
        self._database.end()

    def _forget(self, now: tuple[int, ...]) -> None:
        """Forget the numbers of texts, since some were removed: another text may have got the number."""
        self._packer.forget()
        self._remembered = now

    def _new(self, events: Sequence[CallEvent]) -> list[CallEvent]:
        by_id = {event.event_id: event for event in events}
        for known in self._database.among(list(by_id)):
            del by_id[known]
        return list(by_id.values())
