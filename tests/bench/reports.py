"""Reports over a million events of thirty days, 5,000 users, 20 routes and 8 models, written by the writer itself."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time

from figures import Figure
from made import START_NS, call

from payi_middleware.events import CallEvent
from payi_middleware.store import open_store

EVENTS = 1_000_000
USERS = 5_000
DAY = 86_400 * 10**9
MODELS = (
    *(("openai", name) for name in ("gpt-4o", "gpt-4o-mini", "o3")),
    *(("anthropic", name) for name in ("claude-sonnet-4", "claude-haiku-4-5")),
    ("groq", "llama-3.3"), ("mistral", "mistral-large"), ("google", "gemini-2.5-pro"),
)  # fmt: skip


def event(number: int, events: int, chance: random.Random) -> CallEvent:
    provider, model = chance.choice(MODELS)
    route = chance.randrange(20)
    failed = chance.random() < 0.03
    return call(
        started_ns=START_NS - 30 * DAY + number * 30 * DAY // events,
        duration_ns=int(chance.lognormvariate(0, 0.7) * 1.2e9),
        first_byte_ns=int(chance.lognormvariate(-1, 0.5) * 1e9),
        user_id=f"user-{chance.randrange(USERS):05}@example.com",
        use_case_name=f"Use-Case-{route % 5}",
        provider=provider,
        category=f"system.{provider}",
        resource=model,
        http_route=f"/things/{{id}}/{route}",
        request_tags=("web", f"team-{route % 4}"),
        units={"text": (chance.randrange(3000), chance.randrange(800))},
        outcome="error" if failed else "ok",
        cost_source="none" if failed else "usage",
    )


def measure(rounds: int) -> list[Figure]:
    """What the writer takes, and each report: the query, and the whole command."""
    events = EVENTS if rounds > 5 else EVENTS // 20
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        url, spent = f"sqlite:///{folder}/payi.db", 0.0
        with open_store(url, create=True) as store:
            for start in range(0, events, 10_000):
                made = [event(number, events, chance) for number in range(start, start + 10_000)]
                began = time.process_time()
                for at in range(0, 10_000, 100):
                    store.write(made[at : at + 100], None)
                spent += time.process_time() - began
        rows = [
            Figure(f"writing {events:,} events in batches of 100, CPU an event", f"{spent / events * 1e6:.0f} µs", "")
        ]
        for by in ("user", "use-case", "day"):
            rows += reported(url, by, events)
    return rows


def reported(url: str, by: str, events: int) -> list[Figure]:
    query, command = [], []
    with open_store(url, create=False) as store:
        for _ in range(5):
            began = time.perf_counter()
            store.report((by,))
            query.append(time.perf_counter() - began)
    for _ in range(3):
        began = time.perf_counter()
        arguments = ["-P", "-m", "payi_middleware.cli", "report", "--store", url, "--by", by]
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        command.append(time.perf_counter() - began)
    what = f"payi report --by {by}, {events:,} events"
    return [
        Figure(f"{what}, query", f"{statistics.median(query) * 1e3:.0f} ms", "<= 200 ms"),
        Figure(f"{what}, whole command", f"{statistics.median(command):.2f} s", "<= 1 s"),
    ]
