"""The way to a ledger that never waits: a step is done by the thread that asks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

from .. import health
from .ledger import Answer, Ledger, Step

if TYPE_CHECKING:
    import asyncio

__all__ = ["Straight", "Way"]


class Way(Protocol):
    """How steps come to a ledger, in the order in which they are given."""

    def ask(self, step: Step) -> Answer | Future[Answer]:
        """Have a step done; its answer, at once or as a future. Raises LedgerError, or the future does."""
        ...

    def wait(self, step: Step) -> Answer | asyncio.Future[Answer]:
        """The same for the running event loop of asyncio."""
        ...

    def tell(self, step: Step) -> None:
        """Have a step done whose answer nobody waits for. Never raises; the garbage collector may call it anywhere."""

    def ask_all(self, steps: Sequence[Step], timeout: float) -> list[Answer]:
        """Have steps done, for a thread of ours that may wait so many seconds. Raises LedgerError."""
        ...

    def close(self, timeout: float) -> None:
        """Have done what was told, and let go of threads."""


class Straight:
    """Runs steps where they are asked.

    A call can be ended by the garbage collector, in the midst of a step that this very thread is doing. What is told then waits
    until that step is done.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._run = ledger.run
        self._lock = threading.Lock()
        self._told: deque[Step] = deque()

    def ask(self, step: Step) -> Answer:
        """See `Way`."""
        return self._asked((step,))[0]

    wait = ask

    def ask_all(self, steps: Sequence[Step], timeout: float) -> list[Answer]:
        """See `Way`."""
        return self._asked(steps)

    def tell(self, step: Step) -> None:
        """See `Way`."""
        self._told.append(step)
        self._catch_up()

    def close(self, timeout: float) -> None:
        """See `Way`."""
        self._catch_up()

    def _asked(self, steps: Sequence[Step]) -> list[Answer]:
        with self._lock:
            if self._told:
                self._do_told()
            answers = self._run(steps)
        if self._told:
            self._catch_up()
        return answers

    def _catch_up(self) -> None:
        # Whoever holds the lock does it when it is done: between its look and its release nothing is lost, as this looks again.
        while self._told and self._lock.acquire(blocking=False):
            try:
                self._do_told()
            finally:
                self._lock.release()

    def _do_told(self) -> None:
        while self._told:
            try:
                self._run((self._told.popleft(),))
            except Exception:
                health.note("ledger_step", "a step could not be counted by the ledger", exc_info=True)
