"""The one thread of a process that writes: what waits while a transaction is committed shares the next one.

SQLite has one writer. An answer is given when the transaction that it belongs to is committed, so what was answered is
kept.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import Connection

from .. import health
from ..exceptions import StoreError
from ..pricing import Prices
from ..store import Store
from ..store.write import Batch
from .database import over, plainly
from .errors import ApiError
from .known import Known
from .settling import Load, Outcome, settle
from .tables import version

__all__ = ["MOST_WAITING", "Action", "Writer"]

T = TypeVar("T")
Action: TypeAlias = Callable[[Connection], T]

MOST_WAITING = 200_000
"""Events that may wait to be written; more are refused until there is room."""
_AT_ONCE = 2_000  # events of one transaction, unless a single request brings more


class _Waiting(NamedTuple):
    work: Load | Action[Any]
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    size: int


class Writer:
    """Writes from construction to `close`.

    Args:
        store: Open for writing; closed with the writer.
        prices: Loaded.
    """

    def __init__(self, store: Store, prices: Prices) -> None:
        self._store = store
        self._prices = prices
        self._waiting: deque[_Waiting] = deque()
        self._depth = 0
        self._wake = threading.Condition()
        self._closed = False
        self._lost = False
        """Whether the database failed, and with it perhaps the connection."""
        self.error: StoreError | None = None
        """Why the last transaction failed, if it did."""
        with store.batch() as batch:
            self._begun(batch)
        self._thread = threading.Thread(target=self._run, name="payi-server-writer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many events wait."""
        return self._depth

    async def ingest(self, load: Load) -> list[Outcome]:
        """Store what a request brought; the outcomes in its order, when they are committed.

        Raises:
            ApiError: Too much is waiting.
            StoreError: Nothing was written.
        """
        found: list[Outcome] = await self._put(load, len(load.events))
        return found

    async def run(self, action: Action[T]) -> T:
        """What `action` returns of the server's tables, when it is committed; if it raises, what it wrote is taken back.

        Raises:
            ApiError: The action's own, or too much is waiting.
            StoreError: Nothing was written.
        """
        found: T = await self._put(action, 1)
        return found

    async def probe(self) -> None:
        """Write something small, to see whether the store can be written.

        Raises:
            StoreError, ApiError: As `run`.
        """
        now = time.time_ns()
        await self.run(lambda sql: sql.execute(version.update().values(probed_ns=now)))

    def close(self) -> None:
        """Write what waits, end the thread, close the store."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()
        self._store.close()

    async def _put(self, work: Load | Action[Any], size: int) -> Any:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        with self._wake:
            if self._closed:
                raise ApiError(503, "the server is shutting down", "unexpected_error", retry_after=1)
            if self._depth + size > MOST_WAITING and self._depth:
                raise ApiError(503, f"more than {MOST_WAITING} events are waiting", "unexpected_error", retry_after=1)
            self._depth += size
            self._waiting.append(_Waiting(work, answer, loop, size))
            self._wake.notify()
        return await answer

    def _run(self) -> None:
        while some := self._take():
            self._write(some)
            with self._wake:
                self._depth -= sum(one.size for one in some)
            if not self._waiting:
                self._tend()

    def _tend(self) -> None:
        """While nobody waits, do a little of what makes reports quick."""
        try:
            self._store.tend()
        except StoreError as error:
            health.note("server_store", "what makes reports quick waits: %s", error)

    def _take(self) -> list[_Waiting]:
        """What is to share a transaction; nothing when the writer is closed."""
        with self._wake:
            while not self._waiting and not self._closed:
                self._wake.wait()
            taken: list[_Waiting] = []
            size = 0
            while self._waiting and (not taken or size + self._waiting[0].size <= _AT_ONCE):
                taken.append(self._waiting.popleft())
                size += taken[-1].size
            return taken

    def _write(self, some: Sequence[_Waiting]) -> None:
        """One transaction; if something of ours fails in it, one for each, so that it holds up nobody else."""
        try:
            results = self._committed(some)
            self.error = None
        except StoreError as error:
            self._lost = True
            self.error = error
            results = [error] * len(some)
        except Exception as error:
            self._known.forget()
            if len(some) > 1:
                for one in some:
                    self._write([one])
                return
            health.note("server_fault", "a request failed: %s", type(error).__name__, exc_info=True)
            results = [error]
        _answer(some, results)

    def _committed(self, some: Sequence[_Waiting]) -> list[Any]:
        """The results in order; of an action that raised, what it raised."""
        results: dict[int, Any] = {}
        with self._store.batch() as batch, plainly():
            if self._lost:
                self._begun(batch)
            self._known.begin()
            loads = [(n, one.work) for n, one in enumerate(some) if isinstance(one.work, Load)]
            settled = settle([load for _, load in loads], batch, self._known, self._prices)
            results.update(zip([n for n, _ in loads], settled, strict=True))
            for n, one in enumerate(some):
                if not isinstance(one.work, Load):
                    results[n] = self._acted(one.work, batch.connection.execute)
        return [results[n] for n in range(len(some))]

    def _begun(self, batch: Batch) -> None:
        """Over the connection that the store has now, nothing remembered."""
        self._sql = over(batch.connection)
        self._known = Known(self._sql, self._store.database.data_version)
        self._lost = False

    def _acted(self, action: Action[Any], execute: Callable[[str], Any]) -> Any:
        execute("SAVEPOINT action")
        try:
            result = action(self._sql)
        except ApiError as error:
            execute("ROLLBACK TO action")
            result = error
        execute("RELEASE action")
        self._known.forget()
        return result


def _answer(some: Sequence[_Waiting], results: Sequence[Any]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for one, result in zip(some, results, strict=True):
        by_loop.setdefault(one.loop, []).append((one.answer, result))
    for loop, answers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_set, answers)
        except RuntimeError:  # the loop is closed; nobody waits any more
            continue


def _set(answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for answer, result in answers:
        if answer.done():  # whoever asked is gone
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)
