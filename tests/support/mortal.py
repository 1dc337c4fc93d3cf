"""Processes that are killed while they spend budgets, and what is found in their spools; for tests and measurements.

    python mortal.py URL FOLDER KILLS LEASE_SECONDS KIND

forks four at a time, which spend a budget of their own, kills them at random with -9 until so many are dead, settles what they left,
audits the ledger by the events, and prints a line of JSON. KIND is `default` or `strict`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import made

from payi_middleware.events import CallEvent
from payi_middleware.limits.audit import audit
from payi_middleware.limits.charges import ended_of, settle_of
from payi_middleware.limits.ledger import Account, Admitted, Amount, Ledger, Reserve
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.opening import ledger_at

__all__ = ["CALL", "MOST", "WAITED", "killed"]

LIMIT = "budget"
CALL = 10**10
MOST = 120
"""Calls that a budget is worth."""
WAITED = 30
"""Leases of so many seconds are waited for before what was left is settled; longer ones are not."""


class Spool(NamedTuple):
    """What processes told before they told the ledger, as an application's spool has it."""

    folder: Path
    application: str

    def writer(self) -> int:
        """A file of this process's own."""
        return os.open(self.folder / f"{self.application}.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def paths(self) -> list[Path]:
        """Of all processes."""
        return list(self.folder.glob(f"{self.application}.*"))

    def read(self) -> Iterator[tuple[str, bytes, int]]:
        """What, of which call, and a number; a line that was cut off tells nothing."""
        for path in self.paths():
            for line in path.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    what, event, number = line.split()
                    yield what, bytes.fromhex(event), int(number)


def spend(ledger: Ledger, spool: Spool) -> None:
    """Call until killed."""
    version = ledger.definitions(spool.application).version
    told = spool.writer()
    random.seed()
    while True:
        began = time.time_ns()
        event = (began // 10**6).to_bytes(6, "big") + os.urandom(10)
        os.write(told, f"begun {event.hex()} {began}\n".encode())
        (answer,) = ledger.run([Reserve(event, spool.application, version, (Account(LIMIT),), Amount(CALL, 1))])
        if not isinstance(answer, Admitted):
            os.write(told, f"refused {event.hex()} 0\n".encode())
            time.sleep(0.002)
            continue
        time.sleep(random.random() * 0.003)
        cost = CALL * random.randint(30, 100) // 100
        os.write(told, f"ended {event.hex()} {cost}\n".encode())
        ledger.run([settle_of(ended_of(event_of(spool.application, event, began, cost)), (Account(LIMIT),))])


def event_of(application: str, event: bytes, began: int, cost: int | None) -> CallEvent:
    """A call; one whose process died has no cost, and nobody knows how it ended."""
    who: dict[str, Any] = {"event_id": event, "call_group": event, "application": application}
    who |= {"started_ns": began, "duration_ns": 0, "limits": {LIMIT: "ok"}}
    if cost is None:
        return made.call(**who, units={}, outcome="unknown", http_status=None, cost_source="none")
    return made.call(**who, ticks=cost)


def killed(url: str, folder: Path, kills: int, lease_seconds: float, *, strict: bool) -> dict[str, int]:
    """Let processes live and die; how their budgets stand when what they left is settled."""
    ledger = ledger_at(url, lease_seconds=lease_seconds)
    spools: list[Spool] = []
    while 4 * len(spools) < kills:
        spools.append(spool := Spool(folder, f"mortal-{uuid.uuid4().hex}"))
        limit = Limit("budget", MOST, strict=strict)
        ledger.define(Definition(limit_id=LIMIT, application=spool.application, limit=limit))
        ledger.close()  # of each process its own
        children = [child(ledger, spool) for _ in range(4)]
        while len(spool.paths()) < len(children):  # connected
            time.sleep(0.001)
        time.sleep(random.random() * 0.2)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)
    if lease_seconds <= WAITED:
        time.sleep(lease_seconds)
    found = [left(ledger, spool, strict=strict) for spool in spools]
    ledger.close()
    return {"kills": 4 * len(spools), **{name: sum(one[name] for one in found) for name in found[0]}}


def child(ledger: Ledger, spool: Spool) -> int:
    """A process that calls until it is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            spend(ledger, spool)
        finally:
            os._exit(1)
    return pid


def left(ledger: Ledger, spool: Spool, *, strict: bool) -> dict[str, int]:
    """Settle what the dead left, and audit; where it is strict, a call that is not known to have ended costs what it held."""
    application = spool.application
    (before,) = ledger.totals(application, LIMIT)
    began: dict[bytes, int] = {}
    costs: dict[bytes, int] = {}
    refused: set[bytes] = set()
    for what, event, number in spool.read():
        if what == "refused":
            refused.add(event)
        else:
            (began if what == "begun" else costs)[event] = number
    held = {one.event_id for one in ledger.held()}
    # A call that was begun and of which the ledger never heard was not made.
    events = [
        event_of(application, event, at, costs.get(event))
        for event, at in began.items()
        if event not in refused and (event in costs or event in held)
    ]
    ledger.run([settle_of(ended_of(event), (Account(LIMIT),)) for event in events])
    (totals,) = ledger.totals(application, LIMIT)
    unknown = [event for event in events if event.cost is None]
    owed = sum(event.cost.total_ticks for event in events if event.cost) + CALL * strict * len(unknown)
    least_over = MOST * CALL + (1 if strict else CALL)
    return {
        "held_before": before.held,
        "calls": len(events),
        "unknown": len(unknown),
        "full": totals.spent > (MOST - 1) * CALL,
        "passed": totals.spent >= least_over,
        "wrong": totals.spent != owed,
        "held": totals.held,
        "unclean": sum(one.differs for one in audit(ledger, application, [lambda _: events])),
    }


if __name__ == "__main__":
    told = killed(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), strict=sys.argv[5] == "strict")
    print(json.dumps(told), flush=True)
