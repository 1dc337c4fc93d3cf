"""How steps come to a ledger, and the thread that looks after limits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from exchanges import Watched
from loopback import Loopback

from payi_middleware import Limit, health, track
from payi_middleware.exceptions import LedgerError
from payi_middleware.limits.errands import Errands
from payi_middleware.limits.leases import Leases
from payi_middleware.limits.ledger import (
    Account,
    Admitted,
    Amount,
    Answer,
    Release,
    Renew,
    Reserve,
    Settle,
    Settled,
    Step,
)
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.queued import Queued
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.limits.straight import Straight

ALL = Definition(limit_id="all", application="a", limit=Limit("all", 100, unit="calls"), source="code")
ACCOUNTS = (Account("all"),)


def reserve(n: int, version: int) -> Reserve:
    return Reserve(n.to_bytes(16, "big"), "a", version, ACCOUNTS, Amount(0, 0))


def settle(n: int) -> Settle:
    return Settle(n.to_bytes(16, "big"), "a", ACCOUNTS, 0, 0, 0, time.time_ns())


class Ending(MemoryLedger):
    """In the midst of whose steps something else ends, as the garbage collector may have it."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Any = None

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().run(steps)


def test_what_ends_in_the_midst_of_a_step_waits_for_it() -> None:
    """Neither a deadlock nor two steps at once: it is done right after."""
    ledger = Ending()
    ledger.define(ALL)
    version = ledger.definitions("a").version
    way = Straight(ledger)
    assert isinstance(way.ask(reserve(1, version)), Admitted)
    ledger.meanwhile = lambda: way.tell(settle(1))

    assert isinstance(way.ask(reserve(2, version)), Admitted)

    (totals,) = ledger.totals("a", "all", "")
    assert (totals.spent, totals.held) == (1, 1)
    way.tell(Release((2).to_bytes(16, "big")))
    assert ledger.held() == []
    way.close(1)


def test_a_step_that_fails_takes_no_other_with_it() -> None:
    """What is told afterwards is done."""
    ledger = Ending()
    ledger.define(ALL)
    way = Straight(ledger)

    def fail() -> None:
        raise LedgerError("no")

    ledger.meanwhile = fail
    way.tell(settle(1))
    way.tell(settle(2))
    assert ledger.totals("a", "all", "")[0].spent == 1
    assert health.counters() == {"ledger_step": 1}


def test_a_queued_ledger(tmp_path: Path) -> None:
    """Asked, awaited, told, and asked much at once; it gives up after its time."""
    ledger = SqliteLedger(tmp_path / "ledger")
    ledger.define(ALL)
    version = ledger.definitions("a").version
    way = Queued(ledger)

    async def awaited() -> Any:
        return await way.wait(reserve(2, version))

    assert isinstance(way.ask(reserve(1, version)).result(5), Admitted)
    assert isinstance(asyncio.run(awaited()), Admitted)
    way.tell(settle(1))
    answers = way.ask_all([settle(2), settle(3)], 5)
    assert all(isinstance(answer, Settled) and answer.fresh for answer in answers)
    with pytest.raises(LedgerError, match="has not answered in 0 seconds"):
        way.ask_all([settle(n) for n in range(100)], 0)
    way.close(5)
    assert ledger.totals("a", "all", "")[0].held == 0
    ledger.close()


def test_errands_are_done_by_a_thread_of_ours() -> None:
    """What raises tells whoever asked; a round that raises ends nothing; with nothing to do the thread ends."""
    rounds: list[int] = []

    def round() -> bool:
        rounds.append(1)
        if len(rounds) == 1:
            raise RuntimeError("once")
        return len(rounds) < 3

    errands = Errands(0.02, round)
    assert errands.do(lambda: threading.current_thread().name).result(5) == "payi-limits"
    with pytest.raises(ZeroDivisionError):
        errands.do(lambda: 1 // 0).result(5)
    deadline = time.monotonic() + 5
    while errands._thread is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (len(rounds), health.counters()) == (3, {"limits_round": 1})
    assert errands.do(lambda: 7).result(5) == 7
    errands.close(5)
    errands.close(5)
    errands.attend()
    assert errands.do(lambda: 8).result(5) == 8
    errands.close(5)


def test_rounds_are_made_while_errands_keep_coming() -> None:
    """Leases of running calls are renewed by them, and the more traffic there is, the less may they wait for a pause."""
    rounds: list[float] = []

    def round() -> bool:
        rounds.append(time.monotonic())
        return True

    errands = Errands(0.05, round)
    ends = time.monotonic() + 5
    while len(rounds) < 3 and time.monotonic() < ends:
        errands.do(lambda: None).result(5)
        time.sleep(0.002)
    errands.close(5)
    assert len(rounds) >= 3


def test_errands_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be had, whoever asks does it."""
    errands = Errands(1, lambda: False)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert errands.do(lambda: threading.current_thread()).result(0) is threading.current_thread()
    monkeypatch.setattr("sys.is_finalizing", lambda: True)
    assert errands.do(lambda: 9).result(0) == 9


def test_leases_of_many_calls() -> None:
    """A thousand in a step."""
    leases, told = Leases(), []
    for n in range(2500):
        leases.add(n.to_bytes(16, "big"))
    leases.drop(b"unknown")
    assert leases.renew(told.append)
    assert [len(step.event_ids) for step in told if isinstance(step, Renew)] == [1000, 1000, 500]
    assert not Leases().renew(told.append)


def test_on_trio(provider: Loopback, tmp_path: Path) -> None:
    """A loop that is not asyncio's waits, too, without being held."""
    import trio

    from payi_middleware import instrument

    ledger = SqliteLedger(tmp_path / "ledger")
    watched = Watched(
        hosts={provider.host: "openai"}, ledger=ledger, ledger_timeout=5, limits=[Limit("one", 1, unit="calls")]
    )
    instrument(watched.meter)

    async def asked() -> list[int]:
        async with httpx2.AsyncClient(trust_env=False) as client:
            return [(await client.post(provider.url, json={"model": "gpt-4o"})).status_code for _ in range(2)]

    with track(user_id="jane"):
        assert trio.run(asked) == [200, 400]
    watched.meter.close()
    ledger.close()


def test_a_step_that_is_told_while_the_worker_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may end a call in the midst of that: no deadlock, and the step is done."""
    ledger = SqliteLedger(tmp_path / "ledger")
    ledger.define(ALL)
    way = Queued(ledger)
    start = threading.Thread.start

    def starting(thread: threading.Thread) -> None:
        if thread.name == "payi-ledger":
            way.tell(settle(2))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starting)
    way.tell(settle(1))
    way.close(5)
    assert ledger.totals("a", "all", "")[0].spent == 2
    ledger.close()
