"""The ledger of one process: opened when it is first needed, asked by its way, left alone for a while when it does not answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from .. import forks, health
from ..exceptions import LedgerError
from ..settings import Settings
from ..store_url import SQLITE, shown_store
from .ledger import Answer, Ledger, Step
from .straight import Straight, Way

if TYPE_CHECKING:
    import asyncio

__all__ = ["Reach"]

_SHORTEST, _LONGEST = 0.5, 2.0
"""Seconds for which a ledger that does not answer is left alone."""


class Reach:
    """See the module. Making one opens nothing.

    Args:
        settings: With absolute paths.
        in_memory: Whether nothing may be kept on disk.
    """

    def __init__(self, settings: Settings, *, in_memory: bool) -> None:
        self._settings = settings
        self._in_memory = in_memory
        self.patience = settings.ledger_timeout
        self._file = None if in_memory else settings.ledger_path
        """The file of the ledger beside a SQLite store, which is there when a first limit is; None for any other ledger."""
        self._ledger: Ledger | None = None
        self.ledger_id: str | None = None
        """Names the ledger in events."""
        self._way: Way | None = None
        self._away_since: float | None = None
        self._away_until = 0.0
        self._pause = _SHORTEST

    # Asking:

    def ask(self, step: Step) -> Answer | Future[Answer]:
        """Have a step done. Raises LedgerError, or the future does."""
        way = self._way
        if way is None:
            raise LedgerError("the ledger is not open")
        return way.ask(step)

    def wait(self, step: Step) -> Answer | asyncio.Future[Answer]:
        """The same for the running event loop of asyncio."""
        way = self._way
        if way is None:
            raise LedgerError("the ledger is not open")
        return way.wait(step)

    def tell(self, step: Step) -> None:
        """Have a step done whose answer nobody waits for. Never raises."""
        way = self._way
        if way is not None:  # else it was closed: the draining thread settles what is left
            way.tell(step)

    def ask_all(self, steps: Sequence[Step], timeout: float) -> list[Answer]:
        """Have steps done, for a thread of ours that may wait so many seconds.

        Raises:
            LedgerError: None was done, or nobody knows.
        """
        if self._way is None or self.is_away:
            raise LedgerError("the ledger is out of reach")
        return self._way.ask_all(steps, timeout)

    # The ledger that does not answer:

    @property
    def is_away(self) -> bool:
        """Whether the ledger did not answer just now, and is left alone."""
        return self._away_since is not None and time.monotonic() < self._away_until

    def went_away(self, error: BaseException) -> None:
        """It was asked in vain: it is left alone for a while, longer each time."""
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._pause = _SHORTEST
        elif now >= self._away_until:
            self._pause = min(2 * self._pause, _LONGEST)
        self._away_until = now + self._pause
        why = f"no answer in {self.patience} seconds" if isinstance(error, TimeoutError) else str(error) or repr(error)
        health.note(
            "ledger_away",
            "the ledger of limits is out of reach (%s): block limits refuse calls and allow limits let them pass, unless "
            "their `on_error` says otherwise",
            why,
        )

    def _came_back(self) -> None:
        self._away_since = None

    # Opening and closing, in our own threads:

    def _opened(self) -> Ledger:
        if self._ledger is None:
            ledger = self._open()
            self._way = _way_to(ledger)
            self._ledger = ledger
        return self._ledger

    def _open(self) -> Ledger:
        given = self._settings.ledger
        if given is not None and not isinstance(given, str):
            return given  # type: ignore[no-any-return]
        if self._in_memory or given == "memory://" or (given is None and self._settings.in_memory):
            from .memory import MemoryLedger

            return MemoryLedger()
        with forks.loading():
            from .opening import open_ledger

            return open_ledger(self._settings)

    def _taken_off(self) -> tuple[Way | None, Ledger | None]:
        """What is to be closed; the next call opens it anew. What is only in memory stays, as it must outlive a close."""
        way, ledger = self._way, self._ledger
        if not (self._settings.ledger is None or isinstance(self._settings.ledger, str)):
            return way, None  # whoever opened it closes it
        if ledger is not None and not ledger.waits:
            return None, None
        self._way = self._ledger = None
        return way, ledger

    # What `payi doctor` tells:

    def _away_since_ns(self) -> int | None:
        away = self._away_since
        return None if away is None else time.time_ns() - int((time.monotonic() - away) * 10**9)

    def _place(self) -> str:
        """Where it is, as it may be shown."""
        given = self._settings.ledger
        if isinstance(given, str):
            return shown_store(given)
        if given is not None:
            return type(given).__name__
        return str(self._file) if self._file is not None else shown_store(self._settings.store)

    def _is_shared(self) -> bool:
        """Whether it can be anybody else's too: a file beside the store is the machine's, one in memory this process's alone."""
        given = self._settings.ledger
        is_local = given is None and (self._file is not None or self._settings.in_memory)
        return not is_local and not (isinstance(given, str) and given.startswith((SQLITE, "memory://")))


def _way_to(ledger: Ledger) -> Way:
    if not ledger.waits:
        return Straight(ledger)
    from .queued import Queued

    return Queued(ledger)
