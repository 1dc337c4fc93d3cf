"""A ledger that may be out of reach: then it is not waited for by one request after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from ..exceptions import LedgerError
from ..limits.ledger import Answer, Definitions, Ledger, Step, Totals
from ..limits.limit import Definition

__all__ = ["AWAY_SECONDS", "Patient"]

T = TypeVar("T")

AWAY_SECONDS = 5.0
"""For how long a ledger is not asked after it could not be reached."""


class Patient:
    """What the writer asks of a ledger. Asked by one thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._until = 0.0
        self._error = LedgerError("the ledger was not asked yet")
        self._id = ledger.id

    @property
    def id(self) -> str:
        """As `Ledger.id`, which is another where its data was lost; as it was last known, if it cannot be asked."""
        with suppress(LedgerError):
            self._id = self._asked(lambda: self._ledger.id)
        return self._id

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """As `Ledger.run`."""
        return self._asked(lambda: self._ledger.run(steps))

    def definitions(self, application: str) -> Definitions:
        """As `Ledger.definitions`."""
        return self._asked(lambda: self._ledger.definitions(application))

    def define(self, definition: Definition) -> Definition:
        """As `Ledger.define`."""
        return self._asked(lambda: self._ledger.define(definition))

    def remove(self, application: str, limit_id: str) -> bool:
        """As `Ledger.remove`."""
        return self._asked(lambda: self._ledger.remove(application, limit_id))

    def totals(self, application: str, limit_id: str) -> list[Totals]:
        """As `Ledger.totals`."""
        return self._asked(lambda: self._ledger.totals(application, limit_id))

    def _asked(self, question: Callable[[], T]) -> T:
        if time.monotonic() < self._until:
            raise self._error
        try:
            return question()
        except LedgerError as error:
            self._until = time.monotonic() + AWAY_SECONDS
            self._error = error
            raise
