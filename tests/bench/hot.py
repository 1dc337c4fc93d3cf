"""A program that makes calls on one limit for some seconds, as fast as the ledger lets it.

    python hot.py URL SECONDS CONCURRENT

prints `ready`, waits for a line, and then tells, in JSON, how many calls were admitted and the milliseconds that each waited.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "support"))

import budgets

from payi_middleware.limits.ledger import Admitted, Answer, Ledger, Release, Step
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.opening import ledger_at
from payi_middleware.limits.worker import Worker

__all__ = ["APP", "PING", "Pinging", "alone", "awaited_beside", "beside", "busy", "held_up"]

APP = "hot"
PING = Release(b"")


class Pinging(MemoryLedger):
    """A ledger that only pings a server: what a step takes beyond that is its own, and not the way to the ledger's thread and back."""

    waits = True

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = client

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """One ping for each."""
        return [self._client.ping() for _ in steps]


async def busy(worker: Worker, seconds: float, concurrent: int) -> list[float]:
    """The milliseconds that each admission waited."""
    version = worker.ledger.definitions(APP).version
    until = time.perf_counter() + seconds
    waited: list[float] = []

    async def calls() -> None:
        while (began := time.perf_counter()) < until:
            reserve, settle = budgets.steps(APP, version, budgets.CALL)
            assert isinstance(await worker.wait(reserve), Admitted)
            waited.append((time.perf_counter() - began) * 1000)
            worker.tell(settle)

    await asyncio.gather(*(calls() for _ in range(concurrent)))
    return waited


async def alone(ledger: Ledger, calls: int) -> list[float]:
    """The microseconds that a reservation and its settling take, one after the other."""
    worker, took = Worker(ledger), []
    version = ledger.definitions(APP).version
    for _ in range(calls):
        reserve, settle = budgets.steps(APP, version, budgets.CALL)
        began = time.perf_counter_ns()
        if ledger.waits:
            await worker.wait(reserve)
            await worker.wait(settle)
        else:
            ledger.run((reserve,))
            ledger.run((settle,))
        took.append((time.perf_counter_ns() - began) / 1000)
    worker.close(5)
    return took


async def held_up(ledger: Ledger, calls: int) -> list[float]:
    """The microseconds that a call is held up: it waits for its reservation, and leaves its settling to the ledger's thread."""
    worker, took = Worker(ledger), []
    version = ledger.definitions(APP).version
    for _ in range(calls):
        reserve, settle = budgets.steps(APP, version, budgets.CALL)
        began = time.perf_counter_ns()
        await worker.wait(reserve)
        answered = time.perf_counter_ns()
        await asyncio.sleep(0.001)  # the provider
        ended = time.perf_counter_ns()
        worker.tell(settle)
        took.append((answered - began + time.perf_counter_ns() - ended) / 1000)
        await asyncio.sleep(0.001)
    worker.close(5)
    return took


def beside(ledger: Ledger, other: Callable[[], object], calls: int) -> list[tuple[float, ...]]:
    """The microseconds of something else, of a reservation and of its settling, in turns."""
    version, took = ledger.definitions(APP).version, []
    for _ in range(calls):
        reserve, settle = budgets.steps(APP, version, budgets.CALL)
        times = [time.perf_counter_ns()]
        other()
        times.append(time.perf_counter_ns())
        for step in (reserve, settle):
            ledger.run((step,))
            times.append(time.perf_counter_ns())
        took.append(_between(times))
    return took


async def awaited_beside(ledger: Ledger, other: Callable[[], Any], calls: int) -> list[tuple[float, ...]]:
    """The same, awaited."""
    worker, version, took = Worker(ledger), ledger.definitions(APP).version, []
    for _ in range(calls):
        reserve, settle = budgets.steps(APP, version, budgets.CALL)
        times = [time.perf_counter_ns()]
        await other()
        times.append(time.perf_counter_ns())
        for step in (reserve, settle):
            await worker.wait(step)
            times.append(time.perf_counter_ns())
        took.append(_between(times))
    worker.close(5)
    return took


def _between(times: list[int]) -> tuple[float, ...]:
    return tuple((after - before) / 1000 for before, after in itertools.pairwise(times))


def main(url: str, seconds: str, concurrent: str) -> None:
    worker = Worker(ledger_at(url))
    worker.ledger.definitions(APP)
    print("ready", flush=True)
    sys.stdin.readline()
    waited = asyncio.run(busy(worker, float(seconds), int(concurrent)))
    worker.close(30)
    worker.ledger.close()
    print(json.dumps(waited), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
