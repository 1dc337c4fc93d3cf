"""The one thread of a process that waits for its ledger: all steps that wait meanwhile share the next transaction.

A lock that another process holds, a disk or a network never holds up an event loop. A hop to a thread and back costs about 25 µs,
with one call into the loop for all answers of a transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Final, NamedTuple, TypeAlias

from .. import context, health
from ..exceptions import LedgerError
from .inbox import Inbox, inbox
from .ledger import Answer, Extend, Ledger, Release, Settle, Step
from .moment import Moment
from .waker import make_waker, waker_of

__all__ = ["MOST_KEPT", "Worker"]

MOST_KEPT: Final = 100_000
"""Steps that are kept while the ledger is out of reach; then the oldest go. Their events are in the spool."""
_AT_ONCE: Final = 1_000  # steps of one transaction
_KEPT: Final = (Settle, Release, Extend)
_SHORTEST, _LONGEST = 0.05, 2.0  # seconds between two tries while the ledger is out of reach

Answered: TypeAlias = "Future[Answer] | asyncio.Future[Answer]"


class _Waiting(NamedTuple):
    step: Step
    answer: Answered | None


class _Flush(NamedTuple):
    answer: Future[bool]


_Item: TypeAlias = _Waiting | _Flush | None
"""A step, somebody who wants to know that all before it is done, or the end of the thread."""
_Result: TypeAlias = "tuple[Answered, Answer | LedgerError]"
_Results: TypeAlias = list[_Result]


class Worker:
    """Hands steps to a ledger, from any thread. Of one that never waits it needs no thread, and asks it at once.

    The thread starts at first use and is never copied: a forked child has its own, and nothing of what waited in the parent.

    Args:
        ledger: Closed by whoever made it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.error: LedgerError | None
        """Why the ledger is out of reach, if it is."""
        self.since_ns: int | None
        """Since when, UTC."""
        self._moment = Moment(ledger) if hasattr(ledger, "at_once") else None  # type: ignore[arg-type]
        self._thread: threading.Thread | None
        self._queue: Inbox[_Item] = inbox()
        self._starting: threading.Lock
        self._begin()
        _workers.add(self)

    @property
    def kept(self) -> int:
        """How many steps wait for the ledger to be in reach again."""
        return len(self._kept)

    def ask(self, step: Step) -> Future[Answer]:
        """The step's answer when it is done, or a `LedgerError`."""
        answer: Future[Answer] = Future()
        self._put(_Waiting(step, answer))
        return answer

    def wait(self, step: Step) -> asyncio.Future[Answer]:
        """As `ask`, to be awaited in the running event loop, at half the cost."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        if self._moment is not None:
            if not self._is_idle():
                self._moment.is_among_others = True
            elif self._moment.is_good(loop):
                for done in self._moment.answers(step):
                    answer.set_result(done)
                    return answer
        make_waker(loop, _give)  # here, as the thread cannot
        self._put(_Waiting(step, answer))
        return answer

    def tell(self, step: Step) -> None:
        """The step is done soon, before whatever is asked later; if the ledger is out of reach, when it is back."""
        self._put(_Waiting(step, None))

    def flush(self, timeout: float) -> bool:
        """Wait for what was told so far; whether all of it was done within `timeout` seconds."""
        if self._thread is None:
            return not self._kept
        answer: Future[bool] = Future()
        self._queue.put(_Flush(answer))
        try:
            return answer.result(timeout)
        except TimeoutError:
            return False

    def close(self, timeout: float) -> bool:
        """As `flush`, then end the thread; what is asked later starts another."""
        deadline = time.monotonic() + timeout
        done = self.flush(timeout)
        with self._starting:
            self._is_starting = threading.get_ident()
            thread, self._thread = self._thread, None
            ending, self._queue = self._queue, inbox()
            ending.put(None)
            self._is_starting = 0
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
        return done

    def begin_anew(self) -> None:
        """In a forked child: the thread is not here, and what waited is the parent's."""
        self._queue.leave()
        self._queue = inbox()
        self._begin()

    def _begin(self) -> None:
        self._starting = threading.Lock()
        self._is_starting = 0
        self._thread = None
        self._is_resting = True
        self.error = self.since_ns = None
        self._kept: deque[_Waiting] = deque()
        self._pause = self._again = 0.0

    def _is_idle(self) -> bool:
        """Whether nothing that was told or asked before is still to be done."""
        return self._is_resting and self._queue.empty() and not self._kept and self.error is None

    def _rest(self) -> None:
        """All that the thread took is done. Who puts something says that it is not so any more; one of both sees the other."""
        self._is_resting = True
        if not self._queue.empty():
            self._is_resting = False

    def _put(self, waiting: _Waiting) -> None:
        if not self.ledger.waits:
            _give_all(self._done([waiting]))
            return
        last = self._queue
        last.put(waiting)
        self._is_resting = False
        if last is not self._queue:  # it was closed in this moment; to do a step twice does no harm
            self._queue.put(waiting)
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        # The garbage collector may end a call, and that tell a step, in the midst of this very start: then it is under way.
        if self._is_starting == threading.get_ident():
            return
        with self._starting:
            self._is_starting = threading.get_ident()
            try:
                if self._thread is None and not self._started():
                    self._handle(self._queue.take(_AT_ONCE, 0))
            finally:
                self._is_starting = 0

    def _started(self) -> bool:
        if sys.is_finalizing():  # no other thread runs any more
            return False
        # The thread is nobody's: it must not inherit the request that happens to run now.
        frame = context.frame.set(None)
        try:
            thread = threading.Thread(target=self._work, args=(self._queue,), name="payi-ledger", daemon=True)
            thread.start()
        except RuntimeError:  # the process has too many
            health.count("thread_refused")
            return False
        finally:
            context.frame.reset(frame)
        self._thread = thread
        return True

    def _work(self, waiting: Inbox[_Item]) -> None:
        while self._handle(waiting.take(_AT_ONCE, self._pause if self._kept else None)):
            pass

    def _handle(self, items: Sequence[_Item]) -> bool:
        """Whether there is more to come."""
        if len(items) == 1 and isinstance(items[0], _Waiting) and not self._kept:  # as nearly always
            results = self._done(items)  # type: ignore[arg-type]
            self._rest()
            if results:
                _give_to(results[0][0], results)
            return True
        results = []
        while self._kept and self._is_worth_a_try():
            results += self._done([self._kept.popleft() for _ in range(min(_AT_ONCE, len(self._kept)))])
        new = [item for item in items if isinstance(item, _Waiting)]
        if new:
            results += self._done(new)
        self._rest()
        _give_out(results)
        if len(new) < len(items):
            for item in items:
                if isinstance(item, _Flush):
                    item.answer.set_result(not self._kept)
        return None not in items

    def _is_worth_a_try(self) -> bool:
        """While the ledger is out of reach nobody waits for it to say so again."""
        return self.error is None or time.monotonic() >= self._again

    def _done(self, some: Sequence[_Waiting]) -> _Results:
        """What each is to be answered."""
        if self.error is not None and not self._is_worth_a_try():
            return self._refused(some, self.error)
        try:
            answers = self.ledger.run([one.step for one in some])
            if self._moment is not None and len(some) == 1:
                self._moment.passed()
        except LedgerError as error:
            self._out_of_reach(error)
            return self._refused(some, error)
        except Exception as error:
            if len(some) > 1:  # whichever it was holds up nobody else
                return [result for one in some for result in self._done([one])]
            health.note("ledger_fault", "a step of a ledger failed", exc_info=True)
            fault = LedgerError(f"a step of the ledger failed: {type(error).__name__}")
            return [(one.answer, fault) for one in some if one.answer is not None]
        if self.error is not None:
            self._back()
        if len(some) == 1:
            return [(some[0].answer, answers[0])] if some[0].answer is not None else []
        return [(one.answer, answer) for one, answer in zip(some, answers, strict=True) if one.answer is not None]

    def _refused(self, some: Sequence[_Waiting], error: LedgerError) -> _Results:
        self._kept.extend(one for one in some if one.answer is None and isinstance(one.step, _KEPT))
        while len(self._kept) > MOST_KEPT:
            self._kept.popleft()
            health.count("ledger_steps_lost")
        return [(one.answer, error) for one in some if one.answer is not None]

    def _out_of_reach(self, error: LedgerError) -> None:
        self._pause = min(2 * self._pause or _SHORTEST, _LONGEST)
        self._again = time.monotonic() + self._pause
        self.since_ns = self.since_ns or time.time_ns()
        self.error = error
        health.note("ledger_unreachable", "limits cannot be counted: %s", error)

    def _back(self) -> None:
        self._pause = 0.0
        self.error = self.since_ns = None


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()


def _after_fork() -> None:
    for worker in list(_workers):
        worker.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _give_out(results: _Results) -> None:
    """To threads at once, and to each event loop by one call."""
    by_loop: dict[asyncio.AbstractEventLoop, _Results] = {}
    for one in results:
        answer = one[0]
        if isinstance(answer, Future):
            _give(one)
        else:
            by_loop.setdefault(answer.get_loop(), []).append(one)
    for some in by_loop.values():
        _give_to(some[0][0], some)


def _give_to(answer: Answered, results: _Results) -> None:
    """To the thread or the event loop of one of them, which is that of all."""
    if isinstance(answer, Future):
        _give_all(results)
        return
    loop = answer.get_loop()
    waker = waker_of(loop)
    if waker is not None:
        waker.give(results)
        return
    with contextlib.suppress(RuntimeError):  # the loop is closed; nobody waits any more
        loop.call_soon_threadsafe(_give_all, results)


def _give_all(results: _Results) -> None:
    for one in results:
        _give(one)


def _give(one: _Result) -> None:
    answer, result = one
    if answer.done():  # cancelled, or given up after its patience
        return
    try:
        if isinstance(result, LedgerError):
            answer.set_exception(result)
        else:
            answer.set_result(result)
    except (InvalidStateError, asyncio.InvalidStateError):  # in this moment
        pass
