"""A program that spends a budget as fast as it is let, and tells how many calls were admitted; for tests and measurements.

    python budgets.py URL MODE

reads lines of an application and a number, makes so many calls of it at once (MODE `asyncio` or `threads`), each at the cost that is
held for it, and answers each line with how many were admitted.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from payi_middleware.limits.ledger import Account, Admitted, Amount, Ledger, Reserve, Settle
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.opening import ledger_at
from payi_middleware.limits.worker import Worker
from payi_middleware.record import new_id

__all__ = ["CALL", "LIMIT", "Racers", "define", "race", "steps", "threads"]

LIMIT = "budget"
CALL = 10**10
"""What a call is held at: a dollar in ticks."""


def define(ledger: Ledger, application: str, calls: int, *, strict: bool) -> None:
    """A budget worth so many calls."""
    limit = Limit("budget", calls, strict=strict)
    ledger.define(Definition(limit_id=LIMIT, application=application, limit=limit))


def steps(application: str, version: int, cost: int) -> tuple[Reserve, Settle]:
    """Of one call."""
    event, accounts = new_id(time.time_ns()), (Account(LIMIT),)
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


class Racers:
    """Processes that share a ledger, and begin each race together.

    Args:
        url: The ledger's.
        modes: One for each.
    """

    def __init__(self, url: str, modes: Sequence[str] = ("asyncio", "asyncio", "asyncio", "threads")) -> None:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._running = [subprocess.Popen([sys.executable, __file__, url, mode], **pipes) for mode in modes]
        for process in self._running:
            assert _line(process) == "ready"

    def race(self, application: str, concurrent: int) -> int:
        """So many calls at once in all of them together; how many were admitted."""
        for process in self._running:
            assert process.stdin is not None
            process.stdin.write(f"{application} {concurrent // len(self._running)}\n")
            process.stdin.flush()
        return sum(int(_line(process)) for process in self._running)

    def close(self) -> None:
        """End them."""
        for process in self._running:
            process.communicate()
            assert process.returncode == 0


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def main(url: str, mode: str) -> None:
    worker = Worker(ledger_at(url))
    worker.ledger.applications()  # who connects first is not who wins
    print("ready", flush=True)
    for line in sys.stdin:
        application, concurrent = line.split()
        admitted = MODES[mode](worker, application, int(concurrent), CALL)
        assert worker.flush(30)
        print(admitted, flush=True)
    worker.close(5)
    worker.ledger.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
