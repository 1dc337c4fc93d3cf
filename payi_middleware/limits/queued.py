"""The way to a ledger that waits for a disk or a network: its one thread does the steps, many at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future

from ..exceptions import LedgerError
from .ledger import Answer, Ledger, Step
from .worker import Worker

__all__ = ["Queued"]


class Queued:
    """See `straight.Way`."""

    def __init__(self, ledger: Ledger) -> None:
        self._worker = Worker(ledger)
        self.ask = self._worker.ask
        self.wait = self._worker.wait
        self.tell = self._worker.tell

    def ask_all(self, steps: Sequence[Step], timeout: float) -> list[Answer]:
        """See `Way`."""
        ends = time.monotonic() + timeout
        answers: list[Future[Answer]] = [self._worker.ask(step) for step in steps]
        try:
            return [answer.result(max(0.0, ends - time.monotonic())) for answer in answers]
        except TimeoutError:
            raise LedgerError(f"the ledger has not answered in {timeout:.0f} seconds") from None

    def close(self, timeout: float) -> None:
        """See `Way`."""
        self._worker.close(timeout)
