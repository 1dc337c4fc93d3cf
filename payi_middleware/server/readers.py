"""The connections that cannot write, and whose turn it is to have one.

A request has its connection through several steps, each in a thread; so it waits for its turn in the event loop, where it
keeps no thread from those who have theirs. Some connections are left to whoever needs one for a single step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, Engine, exc
from starlette.concurrency import run_in_threadpool

from ..exceptions import StoreError

__all__ = ["Readers"]

_LEFT = 4  # connections that no request has for long: keys are looked up by them
_PATIENCE = 30.0  # seconds until whoever waits is told to come later


class Readers:
    """The connections of a pool.

    Args:
        engine: Whose pool has `most` connections at most.
        most: More than are left to single steps.
        patience: Seconds that a request waits for its turn.
    """

    def __init__(self, engine: Engine, most: int, patience: float = _PATIENCE) -> None:
        self._engine = engine
        self._patience = patience
        self._turns = asyncio.Semaphore(most - _LEFT)

    def connect(self) -> Connection:
        """One for a single step. It may wait, so it is asked by threads alone.

        Raises:
            StoreError: All are taken, or there is no new one to be had.
        """
        try:
            return self._engine.connect()
        except exc.TimeoutError:
            raise _taken() from None

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Connection]:
        """One for several steps, when it is this request's turn.

        Raises:
            StoreError: As `connect`.
        """
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError:
            raise _taken() from None
        try:
            with await run_in_threadpool(self.connect) as sql:
                yield sql
        finally:
            self._turns.release()

    def dispose(self) -> None:
        """Close those that nobody has."""
        self._engine.dispose()


def _taken() -> StoreError:
    return StoreError("all connections that read it are taken")
