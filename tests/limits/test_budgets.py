"""A budget worth five calls admits five, however many come at once and from wherever."""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import budgets
import postgres
import pytest
from budgets import CALL, LIMIT

from payi_middleware.limits.ledger import Admitted, Ledger
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.opening import ledger_at
from payi_middleware.limits.worker import Worker

WORTH = 5
_names = (f"application-{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, valkey: Any) -> dict[str, Callable[[], str]]:
    """Of ledgers that processes share."""
    path = tmp_path_factory.mktemp("budgets") / "a.ledger"
    return {
        "sqlite": lambda: f"sqlite:///{path}",
        "postgresql": lambda: postgres.database(empty=True),
        "valkey": lambda: f"valkey://127.0.0.1:{valkey.port}?name={uuid.uuid4().hex}",
    }


@pytest.fixture(params=["memory", "sqlite", "postgresql", "valkey"])
def worker(request: pytest.FixtureRequest, urls: dict[str, Callable[[], str]]) -> Iterator[Worker]:
    ledger: Ledger = MemoryLedger() if request.param == "memory" else ledger_at(urls[request.param]())
    worker = Worker(ledger)
    yield worker
    worker.close(10)
    ledger.close()


def at_rest(ledger: Ledger, application: str) -> int:
    """What is spent, when nothing is held."""
    (totals,) = ledger.totals(application, LIMIT)
    assert totals.held == 0
    assert totals.spent == totals.input_ticks + totals.output_ticks
    return totals.spent


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
@pytest.mark.parametrize("concurrent", [20, 100, 1_000])
def test_tasks_of_one_loop(worker: Worker, concurrent: int, strict: bool) -> None:
    budgets.define(worker.ledger, name := next(_names), WORTH, strict=strict)
    assert budgets.race(worker, name, concurrent, CALL) == WORTH
    assert worker.flush(10)
    assert at_rest(worker.ledger, name) == WORTH * CALL
    assert worker.ledger.totals(name, LIMIT)[0].requests["blocked"] == concurrent - WORTH


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
def test_threads(worker: Worker, strict: bool) -> None:
    budgets.define(worker.ledger, name := next(_names), WORTH, strict=strict)
    assert budgets.threads(worker, name, 100, CALL) == WORTH
    assert worker.flush(10)
    assert at_rest(worker.ledger, name) == WORTH * CALL


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "valkey"])
def test_four_processes(kind: str, urls: dict[str, Callable[[], str]]) -> None:
    url = urls[kind]()
    ledger, racers = ledger_at(url), budgets.Racers(url)
    for n, concurrent in enumerate((20, 100, 400, 100)):
        budgets.define(ledger, name := next(_names), WORTH, strict=n % 2 == 1)
        assert racers.race(name, concurrent) == WORTH
        assert at_rest(ledger, name) == WORTH * CALL
    racers.close()
    ledger.close()


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
def test_calls_that_cost_less_than_they_hold_leave_no_room_unused(worker: Worker, strict: bool) -> None:
    budgets.define(worker.ledger, name := next(_names), WORTH, strict=strict)
    chance = random.Random(strict)
    version = worker.ledger.definitions(name).version
    running, refused = [], 0
    while running or not refused:
        if not refused and len(running) < 4:
            reserve, settle = budgets.steps(name, version, CALL * chance.randint(30, 100) // 100)
            if isinstance(worker.ask(reserve).result(10), Admitted):
                running.append(settle)
                continue
            refused = len(running) == 0
        if running:
            worker.ask(running.pop(chance.randrange(len(running)))).result(10)
    spent = at_rest(worker.ledger, name)
    if strict:
        assert (WORTH - 1) * CALL < spent <= WORTH * CALL
    else:
        assert WORTH * CALL <= spent < (WORTH + 1) * CALL
