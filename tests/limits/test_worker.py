"""The thread that asks a ledger for everybody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import budgets
import pytest
from budgets import CALL, LIMIT
from forking import in_child

from payi_middleware import health
from payi_middleware.exceptions import LedgerError
from payi_middleware.limits import worker as workers
from payi_middleware.limits.ledger import Admitted, Amount, Blocked, Extend, Release, Renew, Settled, Step
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.limits.waiting import within
from payi_middleware.limits.worker import Worker

APP = "app"


class Flaky(SqliteLedger):
    """A ledger that can be out of reach, and remembers how steps came."""

    def __init__(self, path: Path, **more: Any) -> None:
        super().__init__(path, **more)
        self.away = False
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, steps: Sequence[Step]) -> list[Any]:
        self.gate.wait(10)
        if self.away:
            raise LedgerError("ledger out of reach; plug it in")
        self.sizes.append(len(steps))
        return super().run(steps)

    def at_once(self, step: Step) -> list[Any]:
        return super().at_once(step) if self.gate.is_set() and not self.away else []


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Flaky]:
    ledger = Flaky(tmp_path / "a.ledger")
    budgets.define(ledger, APP, 100, strict=False)
    yield ledger
    ledger.close()


@pytest.fixture
def worker(ledger: Flaky) -> Iterator[Worker]:
    worker = Worker(ledger)
    yield worker
    ledger.away = False
    ledger.gate.set()
    worker.close(5)


def a_call(ledger: Any) -> tuple[Any, Any]:
    return budgets.steps(APP, ledger.definitions(APP).version, CALL)


def until(true: Callable[[], bool], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def spent(ledger: Any) -> int:
    (totals,) = ledger.totals(APP, LIMIT)
    assert totals.held == 0
    return totals.spent // CALL


def test_there_is_no_thread_before_it_is_used_nor_after_it_is_closed(ledger: Flaky) -> None:
    worker = Worker(ledger)
    assert worker.flush(0)
    assert worker.close(1)
    before = threading.active_count()
    reserve, settle = a_call(ledger)
    assert isinstance(worker.ask(reserve).result(5), Admitted)
    assert threading.active_count() == before + 1
    worker.tell(settle)
    assert worker.close(5)
    assert threading.active_count() == before
    assert spent(ledger) == 1
    assert isinstance(worker.ask(settle).result(5), Settled)  # another thread
    worker.close(5)


def test_what_waits_shares_a_transaction(ledger: Flaky, worker: Worker) -> None:
    reserve, settle = a_call(ledger)
    worker.ask(reserve).result(5)
    ledger.gate.clear()
    worker.tell(settle)
    assert until(worker._queue.empty)  # it is being done, and waits
    answers = [worker.ask(a_call(ledger)[0]) for _ in range(20)]
    ledger.gate.set()
    assert all(isinstance(answer.result(5), Admitted) for answer in answers)
    assert ledger.sizes[-1] == 20


def test_what_is_told_is_seen_by_what_is_asked_later(ledger: Flaky, worker: Worker) -> None:
    budgets.define(ledger, "one", 1, strict=True)
    version = ledger.definitions("one").version
    first, _ = budgets.steps("one", version, CALL // 2)
    second, _ = budgets.steps("one", version, CALL)
    worker.ask(first).result(5)
    assert isinstance(worker.ask(second).result(5), Blocked)
    worker.tell(Release(first.event_id))
    assert isinstance(worker.ask(budgets.steps("one", version, CALL)[0]).result(5), Admitted)


async def test_several_loops_and_threads(ledger: Flaky, worker: Worker) -> None:
    def other() -> bool:
        async def ask() -> bool:
            return isinstance(await worker.wait(a_call(ledger)[0]), Admitted)

        return asyncio.run(ask())

    found = await asyncio.gather(asyncio.to_thread(other), asyncio.to_thread(other), worker.wait(a_call(ledger)[0]))
    assert found[:2] == [True, True]
    assert isinstance(found[2], Admitted)


async def test_who_gives_up_waiting_disturbs_nobody(ledger: Flaky, worker: Worker) -> None:
    ledger.gate.clear()
    reserve, _ = a_call(ledger)
    given_up, thread = worker.wait(reserve), worker.ask(a_call(ledger)[0])
    given_up.cancel()
    thread.cancel()
    worker.tell(Release(reserve.event_id))
    ledger.gate.set()
    assert isinstance(await worker.wait(a_call(ledger)[0]), Admitted)


@pytest.mark.parametrize("asked_before", [0, 20], ids=["the loop's way", "the pipe"])
async def test_whose_patience_is_over_keeps_nobodys_answer(ledger: Flaky, worker: Worker, asked_before: int) -> None:
    """Its answer comes with those of others, who get theirs, and the loop hears of no error."""
    errors: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, error: errors.append(error))
    for _ in range(asked_before):
        await worker.wait(a_call(ledger)[0])
    ledger.gate.clear()
    first = worker.wait(a_call(ledger)[0])  # the thread is at it: what follows is the next batch
    await asyncio.sleep(0.05)
    late, others = worker.wait(a_call(ledger)[0]), [worker.wait(a_call(ledger)[0]) for _ in range(3)]
    with pytest.raises(TimeoutError):
        await within(late, 0.01, loop)
    ledger.gate.set()
    assert all(
        isinstance(one, (Admitted, Blocked)) for one in await asyncio.wait_for(asyncio.gather(first, *others), 5)
    )
    await asyncio.sleep(0)
    assert errors == []


def test_a_loop_that_was_closed_meanwhile(ledger: Flaky, worker: Worker) -> None:
    async def ask() -> None:
        ledger.gate.clear()
        worker.wait(a_call(ledger)[0])

    asyncio.run(ask())
    ledger.gate.set()
    assert isinstance(worker.ask(a_call(ledger)[0]).result(5), Admitted)


def test_out_of_reach(ledger: Flaky, worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Who asks is told at once, what was told is kept and done before anything else when the ledger is back."""
    calls = [a_call(ledger) for _ in range(3)]
    for reserve, _ in calls:
        worker.ask(reserve).result(5)
    ledger.away = True
    with pytest.raises(LedgerError, match="plug it in"):
        worker.ask(calls[0][1]).result(5)
    for _, settle in calls:
        worker.tell(settle)
    worker.tell(Extend(calls[0][0].event_id, Amount(1, 1)))
    worker.tell(Renew((calls[0][0].event_id,)))  # late it is of no use
    assert not worker.flush(5)
    assert worker.kept == 4
    assert worker.since_ns is not None
    assert "plug it in" in str(worker.error)
    with pytest.raises(LedgerError, match="plug it in"):
        worker.ask(a_call(ledger)[0]).result(5)
    assert [record.message for record in caplog.records if "plug it in" in record.message] == [
        "limits cannot be counted: ledger out of reach; plug it in"
    ]
    ledger.away = False
    assert until(lambda: worker.kept == 0 and worker.error is None)  # by itself
    assert worker.error is None
    assert worker.since_ns is None
    assert spent(ledger) == 3


def test_what_is_kept_is_bounded(ledger: Flaky, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MOST_KEPT", 5)
    ledger.away = True
    for _ in range(8):
        worker.tell(a_call(ledger)[1])
    worker.flush(5)
    assert worker.kept == 5
    assert health.counters()["ledger_steps_lost"] == 3


def test_a_step_that_cannot_be_done_fails_by_itself(ledger: Flaky, worker: Worker) -> None:
    ledger.gate.clear()
    first = worker.ask(a_call(ledger)[0])
    wrong: Any = "no step"
    answers = [worker.ask(a_call(ledger)[0]), worker.ask(wrong), worker.ask(a_call(ledger)[0])]
    ledger.gate.set()
    assert isinstance(first.result(5), Admitted)
    assert isinstance(answers[0].result(5), Admitted)
    with pytest.raises(LedgerError, match="failed"):
        answers[1].result(5)
    assert isinstance(answers[2].result(5), Admitted)
    assert health.counters()["ledger_fault"] == 1


def test_a_flush_that_takes_too_long(ledger: Flaky, worker: Worker) -> None:
    ledger.gate.clear()
    worker.tell(a_call(ledger)[1])
    assert not worker.flush(0.05)


def test_without_a_thread_it_is_done_here(ledger: Flaky, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert isinstance(worker.ask(a_call(ledger)[0]).result(0), Admitted)
    assert health.counters()["thread_refused"] == 1


async def test_a_ledger_that_never_waits_is_asked_at_once() -> None:
    ledger = MemoryLedger()
    budgets.define(ledger, APP, 5, strict=False)
    worker, before = Worker(ledger), threading.active_count()
    reserve, settle = a_call(ledger)
    assert isinstance(worker.ask(reserve).result(0), Admitted)
    assert isinstance(await worker.wait(a_call(ledger)[0]), Admitted)
    worker.tell(settle)
    assert threading.active_count() == before
    assert ledger.totals(APP, LIMIT)[0].spent == CALL


def test_a_forked_child_has_a_thread_and_a_connection_of_its_own(ledger: Flaky, worker: Worker) -> None:
    worker.ask(a_call(ledger)[0]).result(5)

    def child() -> str:
        reserve, settle = a_call(ledger)
        answer = worker.ask(reserve).result(5)
        worker.tell(settle)
        return f"{type(answer).__name__} {worker.flush(5)}"

    assert in_child(child) == "Admitted True"
    assert isinstance(worker.ask(a_call(ledger)[0]).result(5), Admitted)
    (totals,) = ledger.totals(APP, LIMIT)
    assert (totals.spent, totals.held) == (CALL, 2 * CALL)


def test_under_gevent(tmp_path: Path) -> None:
    """The thread is a greenlet there, and nobody waits in C for another."""
    program = """
import sys
from gevent import monkey; monkey.patch_all()
import gevent
sys.path.insert(0, sys.argv[2])
import budgets
from payi_middleware.limits.opening import ledger_at
from payi_middleware.limits.worker import Worker
ledger = ledger_at(sys.argv[1])
budgets.define(ledger, "app", 5, strict=True)
worker = Worker(ledger)
def one():
    reserve, settle = budgets.steps("app", ledger.definitions("app").version, budgets.CALL)
    answer = worker.ask(reserve).result(20)
    worker.tell(settle)
    return type(answer).__name__
jobs = [gevent.spawn(one) for _ in range(50)]
gevent.joinall(jobs, timeout=20)
assert worker.close(5)
print(sum(job.value == "Admitted" for job in jobs), ledger.totals("app", "budget")[0].held)
"""
    arguments = [
        sys.executable,
        "-c",
        program,
        f"sqlite:///{tmp_path / 'a.ledger'}",
        str(Path(budgets.__file__).parent),
    ]
    assert subprocess.check_output(arguments, text=True, timeout=60).split() == ["5", "0"]
