"""Where a file's events go: the store, or nowhere, to see what would be new to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from ..events import CallEvent
from ..settings import Settings
from ..store import Store, open_store
from ..store.store import exists

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Target"]


class Target:
    """The store, made if missing; with `dry_run` it is only read, and need not be there.

    Args:
        settings: That name it.
        dry_run: Whether nothing is written.
        counted: Counts events to their limits; the events with what came of it.

    Raises:
        StoreError: It cannot be opened; the message names the cure.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        dry_run: bool,
        counted: Callable[[Sequence[CallEvent]], Sequence[CallEvent]] = lambda events: events,
    ) -> None:
        self._dry = dry_run
        self._counted = counted
        is_nowhere = dry_run and not exists(settings)
        self._store: Store | None = None if is_nowhere else open_store(settings, create=not dry_run)
        self._seen: set[bytes] = set()

    def new(self, events: Sequence[CallEvent]) -> list[CallEvent]:
        """Store the events that are new, in one transaction; those.

        Raises:
            LedgerError: They cannot be counted to their limits now, and none was stored.
            StoreError: Nothing of these was written; the message names the cure.
        """
        if not self._dry:
            assert self._store is not None
            with self._store.batch() as batch:
                # Counted first: the same file told again has the same ids, so that a crash between is mended by it.
                new = list(self._counted(batch.new(events)))
                batch.add(new)
            return new
        known = self._seen | (self._store.known([event.event_id for event in events]) if self._store else set())
        new = list({event.event_id: event for event in reversed(events) if event.event_id not in known}.values())
        self._seen.update(event.event_id for event in new)
        return new[::-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()
