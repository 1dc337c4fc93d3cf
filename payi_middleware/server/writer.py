"""The one thread of a process that writes: what waits while a transaction is committed shares the next one.

SQLite has one writer. An answer is given when the transaction that it belongs to is committed, so what was answered is
kept. Where events have limits the ledger is asked after that, and answers wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec
from sqlalchemy import Connection

from .. import health
from ..exceptions import LedgerError, LimitError, StoreError, StoreFullError
from ..limits.alerts import Alerts
from ..limits.dearest import Dearest
from ..limits.ledger import Ledger, Settle
from ..limits.ledger import Settled as Counted
from ..pricing import Prices
from ..store import Store
from ..store.write import Batch
from . import unsettled
from .away import Patient
from .database import over, plainly
from .errors import ApiError
from .known import Known
from .settling import Load, Outcome, Settled, Ways, Written, settle
from .tables import version

__all__ = ["MOST_WAITING", "Action", "Writer"]

T = TypeVar("T")
Action: TypeAlias = Callable[[Connection], T]

MOST_WAITING = 200_000
"""Events that may wait to be written; more are refused until there is room."""
_AT_ONCE = 2_000  # events of one transaction, unless a single request brings more
_PATIENCE = 5.0  # seconds that alerts have which are being told when the server ends
_LEFT_SECONDS = (
    20.0  # between two looks at what the ledger is still to be told: of servers that were killed, or when it was away
)


_REFUSED_SECONDS = 3.0
"""That events for which there was no room are told by a probe, if none were stored since: a full disk often takes the little
that a probe writes. Longer than clients are asked to wait, and soon over where no more come."""


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
        ledger: Where limits are counted; closed with the writer.
        alerts: Looks now and then for what nobody has told; None for nobody.
    """

    def __init__(self, store: Store, prices: Prices, ledger: Ledger, alerts: Alerts | None = None) -> None:
        self._store = store
        self._ledger = ledger
        self._alerts = alerts
        self._asked = Patient(ledger)
        self._ways = Ways(prices, Dearest(prices), self._asked.id)
        self._look_at = 0.0
        self._waiting: deque[_Waiting] = deque()
        self._depth = 0
        self._wake = threading.Condition()
        self._closed = False
        self._lost = False
        """Whether the database failed, and with it perhaps the connection."""
        self.error: StoreError | None = None
        """Why the last transaction failed, if it did."""
        self._refused: tuple[StoreError, float] | None = None
        """That there was no room for the last events, and when (monotonic seconds); None if there was."""
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
        """Write something small, to see whether the store can be written; also tells whether there was room for events.

        Raises:
            StoreError, ApiError: As `run`.
        """
        now = time.time_ns()
        await self.run(lambda sql: sql.execute(version.update().values(probed_ns=now)))
        refused = self._refused
        if refused is not None and time.monotonic() - refused[1] < _REFUSED_SECONDS:
            raise refused[0]

    def limits_changed(self) -> None:
        """Limits were changed by this process: the next event is told."""
        self.known.defined.changed()

    def close(self) -> None:
        """Write what waits, end the thread, close the store."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()
        if self._alerts is not None:
            self._alerts.close(_PATIENCE)
        self._store.close()
        self._ledger.close()

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
        while True:
            if time.monotonic() >= self._look_at:
                self._tell_what_is_left()
            some = self._take()
            if some:
                self._write(some)
                with self._wake:
                    self._depth -= sum(one.size for one in some)
                if not self._waiting:
                    self._tend()
            elif self._closed:
                return

    def _tend(self) -> None:
        """While nobody waits, do a little of what makes reports quick."""
        try:
            self._store.tend()
        except StoreError as error:
            health.note("server_store", "what makes reports quick waits: %s", error)

    def _take(self) -> list[_Waiting]:
        """What is to share a transaction; nothing when the writer is closed, or looks at what is left."""
        with self._wake:
            if not self._waiting and not self._closed:
                self._wake.wait(max(0.0, self._look_at - time.monotonic()))
            taken: list[_Waiting] = []
            size = 0
            while self._waiting and (not taken or size + self._waiting[0].size <= _AT_ONCE):
                taken.append(self._waiting.popleft())
                size += taken[-1].size
            return taken

    def _write(self, some: Sequence[_Waiting]) -> None:
        """One transaction; if something of ours fails in it, one for each, so that it holds up nobody else."""
        has_events = any(isinstance(one.work, Load) for one in some)
        try:
            results = self._committed(some)
            self.error = None
            if has_events:
                self._refused = None
        except StoreError as error:
            self.error = error
            if has_events and isinstance(error, StoreFullError):
                self._refused = error, time.monotonic()
            results = [error] * len(some)
        except Exception as error:
            self.known.forget()
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
        with self._transaction() as batch:
            self.known.begin()
            loads = [(n, one.work) for n, one in enumerate(some) if isinstance(one.work, Load)]
            ways = self._ways._replace(ledger=self._asked.id)
            written = settle([load for _, load in loads], batch, self.known, ways)
            unsettled.put(batch, written.steps)
            for n, one in enumerate(some):
                if not isinstance(one.work, Load):
                    results[n] = self._acted(one.work, batch.connection.execute)
        outcomes = self._counted(written) if written.steps else written.outcomes
        results.update(zip([n for n, _ in loads], outcomes, strict=True))
        return [results[n] for n in range(len(some))]

    def _counted(self, written: Written) -> list[list[Outcome]]:
        """The outcomes with the states of their limits; without, if the ledger is away: it is told later."""
        states = self._tell(written.steps)
        return [
            [
                _with_states(outcome, states) if isinstance(outcome, Settled) and not outcome.duplicate else outcome
                for outcome in some
            ]
            for some in written.outcomes
        ]

    def _tell(self, steps: Sequence[Settle]) -> dict[bytes, dict[str, str]]:
        """Tell the ledger of events that are stored; the states of their limits, by event. What fails stays to be told."""
        try:
            answers = [answer for answer in self._asked.run(steps) if isinstance(answer, Counted)]
            with self._transaction() as batch:
                unsettled.told(batch, steps, answers)
            return {step.event_id: answer.states for step, answer in zip(steps, answers, strict=True)}
        except (LedgerError, StoreError) as error:
            health.note("server_ledger", "limits are not counted now, but later: %s", error)
        except Exception as error:  # one that cannot be counted must not hold up the others
            if len(steps) > 1:
                half = len(steps) // 2
                return self._tell(steps[:half]) | self._tell(steps[half:])
            health.note("server_fault", "an event is not counted: %s", type(error).__name__, exc_info=True)
        return {}

    def _tell_what_is_left(self) -> None:
        """What a server that was killed, or a ledger that was away, has left."""
        self._look_at = time.monotonic() + _LEFT_SECONDS
        if self._alerts is not None:
            self._alerts.look()
        try:
            with self._transaction() as batch:
                given_up = unsettled.drop_old(batch)
                steps = unsettled.some(self._sql)
        except StoreError:  # whoever writes next is told
            return
        if given_up:
            health.note("server_unsettled", "%d events were never counted to their limits: payi limits audit", given_up)
        if given_up or (steps and self._tell(steps)):
            self._look_at = 0.0  # there may be more

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Batch]:
        """One of the store's, over the connection that it has now.

        Raises:
            StoreError: Nothing was written.
        """
        try:
            with self._store.batch() as batch, plainly():
                if self._lost:
                    self._begun(batch)
                yield batch
        except StoreError:
            self._lost = True
            raise

    def _begun(self, batch: Batch) -> None:
        """Over the connection that the store has now, nothing remembered."""
        self._sql = over(batch.connection)
        self.known = Known(self._sql, self._store.database.data_version, self._asked)
        """What is remembered; for actions alone."""
        self._lost = False

    def _acted(self, action: Action[Any], execute: Callable[[str], Any]) -> Any:
        execute("SAVEPOINT action")
        try:
            result = action(self._sql)
        except (ApiError, LedgerError, LimitError) as error:
            execute("ROLLBACK TO action")
            result = error
            if isinstance(error, LimitError):
                result = ApiError(400, str(error), "create_limit_validation_failed")
        execute("RELEASE action")
        self.known.forget()
        return result


def _with_states(outcome: Settled, states: dict[bytes, dict[str, str]]) -> Settled:
    found = states.get(outcome.event.event_id)
    return outcome if found is None else Settled(msgspec.structs.replace(outcome.event, limits=found), duplicate=False)


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
