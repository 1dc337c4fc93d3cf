"""Where events to hand over come from: the store, after a mark that is kept there; or memory, where there is no store's file."""

from __future__ import annotations

import collections
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from .. import health
from ..events import CallEvent
from ..settings import Settings
from ..store.deliveries import Batch, Place, Rejected

if TYPE_CHECKING:
    from ..store import Store

__all__ = ["MemorySource", "Source", "StoreSource", "source_of"]

MEMORY_EVENTS = 20_000


class Source(Protocol):
    """Hands out batches, each until it is `done`."""

    def offer(self, events: Sequence[CallEvent]) -> None:
        """These are in the store, or where the store is memory, nowhere else."""

    def alone(self) -> AbstractContextManager[bool]:
        """Whether no other process hands over what is here, as long as the block runs."""
        ...

    def last(self) -> int:
        """The number of the newest event; 0 for none."""
        ...

    def next(self, upto: int, size: int, *, again: bool = True) -> Batch | None:
        """What comes next, of the events up to a number; None if there is nothing.

        With `again` what was refused, and is offered anew, is before new events; else it is passed over.
        """

    def expect(self) -> None:
        """Something is about to be handed over: what keeps house leaves it until then."""

    def done(self, batch: Batch, rejected: Sequence[Rejected]) -> None:
        """The batch is handed over, but for what was refused, which is set aside."""

    def close(self) -> None:
        """Let go of files; never raises."""


class StoreSource:
    """The events of one application in a store, for one server. Its connection is its own: no other sink waits for it."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self._settings = settings
        self._place = place
        self._store: Store | None = None
        self._looked = 0
        """Up to here there was nothing to hand over."""
        self._is_expected = False
        """Whether the store knows that the place is to get its events."""

    def offer(self, events: Sequence[CallEvent]) -> None:
        """Nothing to do: the store has them."""

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """As the protocol says.

        Raises:
            StoreError, OSError: Nobody can tell: the lock's file, say, can be neither made nor opened.
        """
        with self._opened().only_one(_name(self._place)) as mine:
            yield mine

    def last(self) -> int:
        """As the protocol says.

        Raises:
            StoreError: The store cannot be read, nor the mark written; so of all that follows.
        """
        number = self._opened().last()
        self._looked = min(self._looked, number)
        return number

    def next(self, upto: int, size: int, *, again: bool = True) -> Batch | None:
        """As the protocol says."""
        found = self._opened().undelivered(self._place, upto, size, self._looked, again=again)
        if found is None:  # many events of other applications need not be looked through each time
            self._looked = max(self._looked, upto)
        return found

    def expect(self) -> None:
        """As the protocol says, once a store."""
        store = self._opened()
        if not self._is_expected:
            store.expect(self._place)
            self._is_expected = True

    def done(self, batch: Batch, rejected: Sequence[Rejected]) -> None:
        """As the protocol says: mark and refusals in one transaction."""
        self._opened().delivered(self._place, batch, rejected)

    def close(self) -> None:
        """As the protocol says."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _opened(self) -> Store:
        from ..store import open_store

        if self._store is not None and not self._store.is_current():
            self._store.leave()
            self._store = None
        if self._store is None:
            self._store = open_store(self._settings, create=True)
            self._looked, self._is_expected = 0, False
        return self._store


class MemorySource:
    """Events that no file holds, as long as the process lives; at most 20,000, the newest are dropped."""

    def __init__(self) -> None:
        self._events: collections.deque[CallEvent] = collections.deque()
        self._lock = threading.Lock()
        self._handed = 0

    def offer(self, events: Sequence[CallEvent]) -> None:
        """Keep them."""
        with self._lock:
            room = max(0, MEMORY_EVENTS - len(self._events))
            self._events.extend(events[:room])
        if len(events) > room:
            health.note(
                "delivery_dropped",
                "the server takes too few events, and the store is in memory: newer events are not sent",
                n=len(events) - room,
            )

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Always: nobody else has them."""
        yield True

    def last(self) -> int:
        """As the protocol says."""
        return self._handed + len(self._events)

    def next(self, upto: int, size: int, *, again: bool = True) -> Batch | None:
        """As the protocol says; nothing is offered again."""
        with self._lock:
            n = min(size, upto - self._handed, len(self._events))
            events = [self._events[at] for at in range(n)]
        first = self._handed + 1
        return Batch(list(range(first, first + n)), events, self._handed + n) if n > 0 else None

    def expect(self) -> None:
        """Nothing to do: nobody keeps house in memory."""

    def done(self, batch: Batch, rejected: Sequence[Rejected]) -> None:
        """As the protocol says; what was refused is lost, and said."""
        with self._lock:
            for _ in batch.events:
                self._events.popleft()
            self._handed = batch.mark
        for one in rejected:
            health.note(
                "delivery_lost", "an event was refused and the store is in memory: %s", health.shown(one.message)
            )

    def close(self) -> None:
        """Nothing to let go of."""


def source_of(settings: Settings) -> Source:
    """The source for the server that the settings name."""
    if settings.in_memory:
        return MemorySource()
    return StoreSource(settings, Place(settings.base_url, settings.application))


def _name(place: Place) -> str:
    """Of what one process does: one for each place, so that none waits for another's server."""
    return f"delivery-{hashlib.blake2b(chr(10).join(place).encode('utf-8', 'replace'), digest_size=4).hexdigest()}"
