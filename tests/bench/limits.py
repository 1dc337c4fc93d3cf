"""Ledgers: what a limit adds to a call, and how many calls a hot limit admits."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import budgets
import hot
import postgres
from figures import Figure, quartiles

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
            _one_process(folder),
            _four_processes(folder),
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


def _one_process(folder: Path) -> Figure:
    ledger = ledger_at(f"sqlite:///{folder / 'one.ledger'}")
    budgets.define(ledger, hot.APP, 10**7, strict=False)
    worker = Worker(ledger)
    waited = asyncio.run(hot.busy(worker, _SECONDS, 64))
    worker.close(30)
    ledger.close()
    return Figure("64 at once on one limit, SQLite, one process", _rate(waited), ">= 10,000/s")


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
