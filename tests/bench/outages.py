"""The server away for minutes, and killed again and again, while four applications send: nothing is lost or doubled.

Each application makes 50 calls a second under a name of its own for each call, and times what a call takes it. `--minutes N` is how
long the server is away (10), `--kills N` how often it is killed (20), `--store URL` where the server keeps what it gets.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

from figures import Figure

PROCESSES = 4
RATE = 50
"""Calls a second, of each."""

_APPLICATION = """
import sys, time
from mocked import ask, client
from payi_middleware import Meter, instrument
folder, url, key, name, rate, seconds = sys.argv[1:]
meter = Meter(f"sqlite:///{folder}/{name}.db", api_key=key, base_url=url)
instrument(meter)
meter.prices.load()
took, every, n = [], 1 / float(rate), 0
with client() as asking:
    began = time.monotonic()
    while (due := began + n * every) < began + float(seconds):
        time.sleep(max(0.0, due - time.monotonic()))
        at = time.perf_counter_ns()
        ask(asking, f"{name}-{n:07}")
        took.append(time.perf_counter_ns() - at)
        n += 1
print(n, *(t // 1000 for t in took), flush=True)
until = time.monotonic() + 300
while not meter.flush(30) and time.monotonic() < until:
    pass
"""


def option(name: str, default: str) -> str:
    """A value of the command line."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


class Server:
    """`payi serve` on a port of its own, started and killed."""

    def __init__(self, store: str, folder: Path) -> None:
        self.store, self.folder = store, folder
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        keys = [sys.executable, "-P", "-m", "payi_middleware.cli", "keys", "create", "--role", "ingest"]
        made = subprocess.run(
            [*keys, "--application", "outage", "--store", store], check=True, capture_output=True, text=True
        )
        self.key = made.stdout.split()[-1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; seconds until it is ready."""
        began = time.monotonic()
        command = [sys.executable, "-P", "-m", "payi_middleware.cli", "serve", "--store", self.store]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--port", str(self.port)], stdout=log, stderr=log)
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                    return time.monotonic() - began
            except OSError:
                time.sleep(0.05)

    def kill(self) -> None:
        """With -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


def applications(server: Server, folder: Path, seconds: float) -> list[subprocess.Popen[str]]:
    """Four of them, each for so many seconds."""
    support = str(Path(__file__).parent.parent / "support")
    command = [sys.executable, "-P", "-c", _APPLICATION, str(folder), server.url, server.key]
    return [
        subprocess.Popen(
            [*command, f"app{n}", str(RATE), str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": support},
        )
        for n in range(PROCESSES)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> tuple[int, list[list[int]]]:
    """How many calls there were, and what each took, microseconds, by application."""
    told = [process.communicate()[0].split() for process in processes]
    return sum(int(one[0]) for one in told), [[int(t) for t in one[1:]] for one in told]


def counted(store: str) -> tuple[int, int]:
    """(calls in the server's store, of these more than once)."""
    from payi_middleware.store import open_store

    with open_store(store, create=False) as opened:
        users = Counter(event.user_id for event in opened.events())
    return len(users), sum(1 for times in users.values() if times > 1)


def checked(store: str, calls: int, patience: float = 120) -> Figure:
    """What of the calls is in the server's store."""
    until = time.monotonic() + patience
    while True:
        there, twice = counted(store)
        if there == calls or time.monotonic() > until:
            return Figure("  lost, twice, of calls", f"{calls - there}, {twice}, of {calls:,}", "0, 0")
        time.sleep(2)


def measure(rounds: int) -> list[Figure]:
    """An outage, then kills."""
    quick = rounds < 5
    minutes = float(option("--minutes", "0.2" if quick else "10"))
    kills = int(option("--kills", "4" if quick else "20"))
    rows: list[Figure] = []
    for what in (outage, killed):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            server = Server(option("--store", f"sqlite:///{folder}/server.db"), folder)
            try:
                rows += what(server, folder, minutes if what is outage else kills)
            finally:
                server.kill()
    return rows


def outage(server: Server, folder: Path, minutes: float) -> list[Figure]:
    """The server is there, away, and back."""
    away = minutes * 60
    lead = min(10.0, away / 3)
    server.start()
    processes = applications(server, folder, lead * 2 + away)
    time.sleep(lead)
    server.kill()
    time.sleep(away)
    server.start()
    calls, took = ended(processes)
    there = int(lead * RATE * 0.8)
    first = [one[there // 5 : there] for one in took]
    then = [one[there * 2 : -there * 2] for one in took]
    return [
        Figure(f"the server away for {minutes:g} minutes, {PROCESSES * RATE} calls a second", "", ""),
        checked(server.store, calls),
        Figure("  a call before, meanwhile: median", f"{at(first, 0.5)}, {at(then, 0.5)} µs", "alike"),
        Figure("  the same: 99th percentile", f"{at(first, 0.99)}, {at(then, 0.99)} µs", "alike"),
    ]


def at(took: list[list[int]], share: float) -> int:
    """A percentile of all, microseconds."""
    every = sorted(t for one in took for t in one)
    return every[int(len(every) * share)]


def killed(server: Server, folder: Path, kills: int) -> list[Figure]:
    """The server is killed at random moments, and started again at once."""
    chance = random.Random(kills)
    gaps = [chance.uniform(0.2, 3) for _ in range(int(kills))]
    server.start()
    processes = applications(server, folder, sum(gaps) + 5.0 * len(gaps))
    for gap in gaps:
        time.sleep(gap)
        server.kill()
        server.start()
    calls, _ = ended(processes)
    return [
        Figure(f"the server killed {len(gaps)} times while {PROCESSES} applications send", "", ""),
        checked(server.store, calls),
    ]
