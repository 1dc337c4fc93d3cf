"""Processes that are killed while they spend a budget, and what is found in their spools; for tests and measurements.

    python mortal.py PATH KILLS LEASE_SECONDS STRICT

forks four at a time, kills them at random with -9 until so many are dead, settles what they left, and prints a line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from payi_middleware.limits.ledger import Account, Admitted, Amount, Reserve, Settle
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.sqlite import SqliteLedger

__all__ = ["CALL", "MOST", "killed"]

APP, LIMIT = "mortal", "budget"
CALL = 10**10
MOST = 60
"""Calls that the budget is worth."""


def spend(path: Path, lease_seconds: float) -> None:
    """Call until killed: begun and ended calls go to a file before the ledger is told, as an application's spool has them."""
    ledger = SqliteLedger(path, lease_seconds=lease_seconds)
    version = ledger.definitions(APP).version
    spool = os.open(f"{path}.{os.getpid()}.spool", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    while True:
        event = os.urandom(16)
        cost = CALL * random.randint(30, 100) // 100
        os.write(spool, f"begun {event.hex()} 0\n".encode())
        (answer,) = ledger.run([Reserve(event, APP, version, (Account(LIMIT),), Amount(CALL, 1))])
        if not isinstance(answer, Admitted):
            os.write(spool, f"refused {event.hex()} 0\n".encode())
            time.sleep(0.002)
            continue
        time.sleep(random.random() * 0.003)
        os.write(spool, f"ended {event.hex()} {cost}\n".encode())
        ledger.run([settled(event, cost, known=True)])


def settled(event: bytes, cost: int, *, known: bool) -> Settle:
    return Settle(event, APP, (Account(LIMIT),), cost, 0, 1, 2**62, known=known)


def killed(path: Path, kills: int, lease_seconds: float, *, strict: bool) -> dict[str, int]:
    """Let processes live and die; how the budget stands when what they left is settled."""
    ledger = SqliteLedger(path, lease_seconds=lease_seconds)
    limit = Limit("budget", MOST, strict=strict)
    ledger.define(Definition(limit_id=LIMIT, application=APP, limit=limit))
    ledger.close()
    dead = 0
    while dead < kills:
        children = [child(path, lease_seconds) for _ in range(4)]
        time.sleep(random.uniform(0.02, 0.12))
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)
        dead += len(children)
    return {"kills": dead, **found(path, lease_seconds, strict=strict)}


def child(path: Path, lease_seconds: float) -> int:
    """A process that calls until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            spend(path, lease_seconds)
        finally:
            os._exit(1)
    return pid


def found(path: Path, lease_seconds: float, *, strict: bool) -> dict[str, int]:
    """Settle what the dead left; where it is strict, a call that is not known to have ended costs what it held."""
    ledger = SqliteLedger(path, lease_seconds=lease_seconds)
    if lease_seconds < 5:
        time.sleep(lease_seconds)
    before = ledger.totals(APP, LIMIT)[0]
    admitted: dict[bytes, int | None] = {}
    for spool in path.parent.glob(f"{path.name}.*.spool"):
        for what, event, cost in (line.split() for line in spool.read_text().splitlines() if line.count(" ") == 2):
            if what == "refused":
                admitted.pop(bytes.fromhex(event), None)
            else:
                admitted[bytes.fromhex(event)] = int(cost) if what == "ended" else None
    held = {one.event_id for one in ledger.held()}
    # A call that was begun and of which the ledger never heard was not made.
    made = {event: cost for event, cost in admitted.items() if cost is not None or event in held}
    for event, cost in made.items():
        ledger.run([settled(event, cost or 0, known=cost is not None)])
    (totals,) = ledger.totals(APP, LIMIT)
    unknown = CALL if strict else 0
    ledger.close()
    return {
        "held_before": before.held,
        "calls": len(made),
        "unknown": sum(cost is None for cost in made.values()),
        "sum": sum(unknown if cost is None else cost for cost in made.values()),
        "spent": totals.spent,
        "held": totals.held,
    }


if __name__ == "__main__":
    told = killed(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), strict=sys.argv[4] == "strict")
    print(json.dumps(told), flush=True)
