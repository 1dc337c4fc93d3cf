"""What is asked alone is done where it is asked, by a ledger that can do it without waiting; all else by the ledger's thread."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import budgets
import conformance
import pytest
from budgets import CALL, LIMIT
from hasty import Hasty

from payi_middleware import forks
from payi_middleware.limits import moment, sql, sqlite
from payi_middleware.limits.ledger import Admitted, Answer, Blocked, Renew, Settled, Step
from payi_middleware.limits.moment import Moment
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.limits.worker import Worker

APP = "app"
LEASE_NS = 60 * conformance.NS


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy; whether a step took long is tried where it is said so."""
    monkeypatch.setattr(sqlite, "_QUICK", 10.0)
    monkeypatch.setattr(moment, "_LONG", 10.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "a.ledger")
    budgets.define(ledger, APP, 3, strict=False)
    ledger.run([Renew(())])  # for a second nothing else is due
    yield ledger
    ledger.close()


@pytest.fixture
def worker(ledger: SqliteLedger) -> Iterator[Worker]:
    worker = Worker(ledger)
    yield worker
    worker.close(5)


def a_call(ledger: SqliteLedger) -> tuple[Any, Any]:
    reserve, settle = budgets.steps(APP, ledger.definitions(APP).version, CALL)
    return reserve, settle


@pytest.mark.parametrize("case", conformance.CASES, ids=conformance.name)
def test_the_rules_are_the_same(case: Callable[[Any], None], tmp_path: Path) -> None:
    ledger = Hasty(tmp_path / "a.ledger")
    case(ledger)
    ledger.close()


@pytest.mark.parametrize("case", conformance.TIMED, ids=conformance.name)
def test_the_rules_of_time_are_the_same(case: Callable[[Any, conformance.Clock], None], tmp_path: Path) -> None:
    clock = conformance.Clock()
    ledger = Hasty(tmp_path / "a.ledger", clock=clock)
    case(ledger, clock)
    ledger.close()


async def test_one_after_the_other(ledger: SqliteLedger, worker: Worker) -> None:
    before = threading.active_count()
    reserve, settle = a_call(ledger)
    answers = [worker.wait(step) for step in (reserve, settle)]
    assert all(answer.done() for answer in answers)
    assert [type(answer.result()) for answer in answers] == [Admitted, Settled]
    assert threading.active_count() == before
    assert ledger.totals(APP, LIMIT)[0].spent == CALL


async def test_what_was_told_is_done_before(ledger: SqliteLedger, worker: Worker) -> None:
    first, settle = a_call(ledger)
    await worker.wait(first)
    with ledger.lock:  # the thread waits for it
        worker.tell(settle)
        answer = worker.wait(settle)
        await asyncio.sleep(0.01)
        assert not answer.done()
    settled = await answer
    assert isinstance(settled, Settled)
    assert not settled.fresh


async def test_many_tasks_share_transactions(
    ledger: SqliteLedger, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moment, "_APART", 0.1)
    await worker.wait(a_call(ledger)[0])
    await asyncio.sleep(0.11)
    steps = [a_call(ledger)[0] for _ in range(5)]

    async def ask(step: Step) -> bool:
        answer = worker.wait(step)
        is_done = answer.done()
        await answer
        return is_done

    assert await asyncio.gather(*map(ask, steps)) == [True, False, False, False, False]


async def test_a_task_is_alone_again_after_a_while(ledger: SqliteLedger, worker: Worker) -> None:
    await worker.wait(a_call(ledger)[0])
    await asyncio.sleep(0.002)

    async def ask() -> bool:
        answer = worker.wait(a_call(ledger)[0])
        return answer.done()

    assert await asyncio.create_task(ask())


async def test_a_fault_is_the_threads_to_tell(ledger: SqliteLedger, worker: Worker) -> None:
    await worker.wait(a_call(ledger)[0])
    wrong: Any = "no step"
    with pytest.raises(Exception, match="a step of the ledger failed"):
        await worker.wait(wrong)
    assert isinstance(await worker.wait(a_call(ledger)[0]), Admitted)


def test_what_is_not_open_is_opened_by_others(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "a.ledger")
    assert ledger.at_once(budgets.steps(APP, 1, CALL)[0]) == []
    assert not ledger.path.exists()


def test_nobody_is_waited_for(ledger: SqliteLedger) -> None:
    """Not a thread that has the ledger, not a process that has the file, not a fork."""
    first, _ = a_call(ledger)
    with ledger.lock:
        done: list[Any] = []
        thread = threading.Thread(target=lambda: done.append(ledger.at_once(first)))
        thread.start()
        thread.join(5)
    assert done == [[]]
    with contextlib.closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert ledger.at_once(first) == []
        other.execute("ROLLBACK")
        assert ledger.at_once(first) == []  # others are likely to be waiting
    ledger._crowded_until = 0.0
    forks.hold(0)
    assert ledger.at_once(first) == []
    forks.release()
    assert isinstance(ledger.at_once(first)[0], Admitted)


def test_what_others_wrote_is_seen(ledger: SqliteLedger, tmp_path: Path) -> None:
    """Limits that they changed are read by the thread, what they spent at once."""
    other = SqliteLedger(ledger.path)
    reserve, settle = a_call(ledger)
    ledger.run([reserve])
    other.run([settle])
    (again,) = ledger.at_once(settle)
    assert isinstance(again, Settled)
    assert not again.fresh
    budgets.define(other, APP, 1, strict=False)
    assert ledger.at_once(a_call(other)[0]) == []
    assert isinstance(ledger.run([a_call(other)[0]])[0], Blocked)
    other.close()


def test_a_file_that_was_replaced_is_left_to_the_thread(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve, _ = a_call(ledger)
    monkeypatch.setattr(sqlite, "_LOOK_NS", 0)
    assert ledger.at_once(reserve) != []
    ledger.path.rename(ledger.path.with_suffix(".old"))
    assert ledger.at_once(reserve) == []


def test_leases_that_ended_are_left_to_the_thread(tmp_path: Path) -> None:
    clock = conformance.Clock()
    ledger = SqliteLedger(tmp_path / "a.ledger", clock=clock)
    budgets.define(ledger, APP, 1, strict=False)
    ledger.run([a_call(ledger)[0]])
    (refused,) = ledger.at_once(a_call(ledger)[0])
    assert isinstance(refused, Blocked)
    clock.ns += LEASE_NS + 1
    later, _ = a_call(ledger)
    assert ledger.at_once(later) == []
    assert isinstance(ledger.run([later])[0], Admitted)
    ledger.close()


def test_tidying_is_left_to_the_thread(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "TOGETHER", 1)
    reserve, settle = a_call(ledger)
    ledger.run([reserve])
    assert ledger.at_once(settle) != []
    assert ledger.at_once(a_call(ledger)[0]) == []
    ledger.run([a_call(ledger)[0]])
    assert ledger.at_once(a_call(ledger)[0]) != []
    monkeypatch.setattr(sqlite, "_APART", 0.0)
    monkeypatch.setattr(sqlite, "_COMMITS", 1)  # as is copying the log
    assert ledger.at_once(a_call(ledger)[0]) == []


def test_a_beginning_that_took_long_is_gone_on_with(ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the loop waits once, and not at each statement."""
    reserve, settle = a_call(ledger)
    monkeypatch.setattr(sqlite, "_QUICK", -1.0)
    assert ledger.at_once(reserve) == []
    with contextlib.closing(sqlite3.connect(ledger.path, isolation_level=None, timeout=0)) as other:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        assert isinstance(ledger.run([reserve])[0], Admitted)
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    assert ledger.at_once(settle) == []
    ledger.vacuum()
    assert isinstance(ledger.run([settle])[0], Settled)


class Timed:
    """Takes as long as it is said to."""

    took = 0.0

    def at_once(self, step: Step) -> list[Answer]:
        time.sleep(self.took)
        return [None]


async def test_what_took_long_is_left_to_the_thread_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(moment.time, "perf_counter", lambda: now)  # type: ignore[attr-defined]
    monkeypatch.setattr(moment, "_LONG", 0.001)
    ledger, loop = Timed(), asyncio.get_running_loop()
    tried = Moment(ledger)

    def is_good() -> bool:
        return tried.is_good(loop)

    def passed(seconds: float, times: int = 1) -> None:
        ledger.took = seconds
        for _ in range(times):
            tried.passed()

    passed(0.002)
    assert is_good()  # once is chance
    passed(0.002)
    assert not is_good()
    now += 0.099
    assert not is_good()
    now += 0.002
    assert is_good()
    passed(0.002)  # again at once: twice as long
    now += 0.101
    assert not is_good()
    passed(0.002)  # and while it is so
    now += 0.199
    assert not is_good()
    now += 0.002
    assert is_good()
    passed(0.0001, 8)
    passed(0.002)
    assert is_good()  # forgotten
    passed(0.0001, 8)
    passed(50.0)  # no chance takes so long
    now += 59
    assert not is_good()
    now += 2
    assert is_good()


async def test_where_others_were_it_is_asked_anew() -> None:
    tried, loop = Moment(Timed()), asyncio.get_running_loop()
    tried.is_among_others = True
    assert not tried.is_good(loop)
    assert tried.is_good(loop)


async def test_how_long_it_took_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moment, "_LONG", 0.001)
    ledger, loop = Timed(), asyncio.get_running_loop()
    tried = Moment(ledger)
    assert tried.is_good(loop)
    ledger.took = 0.012
    step: Any = None
    assert tried.answers(step) == [None]
    assert not tried.is_good(loop)
