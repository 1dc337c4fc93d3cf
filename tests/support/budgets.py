"""A program that spends a budget as fast as it is let, and tells how many calls were admitted; for tests and measurements.

    python budgets.py URL MODE CONCURRENT COST APPLICATION...

waits for a line, then makes CONCURRENT calls at once in each application in turn (MODE `asyncio` or `threads`), whose cost is
COST percent of what is held, and prints a line of JSON: by application how many calls were admitted.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable

from payi_middleware.limits.ledger import Account, Admitted, Amount, Ledger, Reserve, Settle
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.opening import ledger_at
from payi_middleware.limits.worker import Worker

__all__ = ["CALL", "LIMIT", "define", "race", "steps", "threads"]

LIMIT = "budget"
CALL = 10**10
"""What a call is held at: a dollar in ticks."""


def define(ledger: Ledger, application: str, calls: int, *, strict: bool) -> None:
    """A budget worth so many calls."""
    limit = Limit("budget", calls, strict=strict)
    ledger.define(Definition(limit_id=LIMIT, application=application, limit=limit))


def steps(application: str, version: int, cost: int) -> tuple[Reserve, Settle]:
    """Of one call."""
    event, accounts = os.urandom(16), (Account(LIMIT),)
    settle = Settle(event, application, accounts, cost // 2, cost - cost // 2, 5, 2**62)
    return Reserve(event, application, version, accounts, Amount(CALL, 10)), settle


def race(worker: Worker, application: str, concurrent: int, cost: int) -> int:
    """So many calls at once in one event loop."""
    version = worker.ledger.definitions(application).version

    async def one() -> bool:
        reserve, settle = steps(application, version, cost)
        if not isinstance(await worker.wait(reserve), Admitted):
            return False
        await asyncio.sleep(0)
        worker.tell(settle)
        return True

    async def all_of_them() -> int:
        return sum(await asyncio.gather(*(one() for _ in range(concurrent))))

    return asyncio.run(all_of_them())


def threads(worker: Worker, application: str, concurrent: int, cost: int, count: int = 32) -> int:
    """So many calls, shared by 32 threads that begin together."""
    version = worker.ledger.definitions(application).version
    ready = threading.Barrier(count)
    admitted: list[bytes] = []

    def work(calls: int) -> None:
        ready.wait()
        for _ in range(calls):
            reserve, settle = steps(application, version, cost)
            if isinstance(worker.ask(reserve).result(30), Admitted):
                admitted.append(reserve.event_id)
                worker.tell(settle)

    shares = [concurrent // count + (n < concurrent % count) for n in range(count)]
    running = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return len(admitted)


MODES: dict[str, Callable[[Worker, str, int, int], int]] = {"asyncio": race, "threads": threads}


def main(url: str, mode: str, concurrent: str, percent: str, *applications: str) -> None:
    worker = Worker(ledger_at(url))
    worker.ledger.definitions(applications[0])
    print("ready", flush=True)
    sys.stdin.readline()
    cost = CALL * int(percent) // 100
    admitted = {name: MODES[mode](worker, name, int(concurrent), cost) for name in applications}
    assert worker.flush(30)
    worker.close(5)
    worker.ledger.close()
    print(json.dumps(admitted), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
