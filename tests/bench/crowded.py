"""Every report, and pages of calls, over the store of `history.py`: ten million calls of 100,000 users in ninety days.

Making it takes some ten to twenty minutes, so it is kept where `--store` says and used again.
"""

from __future__ import annotations

import datetime
import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import history
from figures import Figure

from payi_middleware.store import Store, open_store, tending
from payi_middleware.store.query import BY

DAY_NS = 86_400 * 10**9
PAIRS = [*itertools.combinations(("use-case", "model", "provider", "route", "day"), 2)]
ROWS = 50
BOUND = "<= 300 ms"


def measure(events: int, kept: str | None) -> list[Figure]:
    """All of it over a store of so many calls, kept at a path, or made for this once."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(kept) if kept else Path(folder) / "payi.db"
        rows = [] if path.exists() else [made(path, events)]
        with open_store(f"sqlite:///{path}", create=True) as store:
            rows.append(tended(store, events))
            rows += [reported(store, name, *ends) for name, ends in ranges(store).items()]
            rows += pages(store)
            size = path.stat().st_size / store.count()
        rows.append(Figure(f"{events:,} calls: the file, a call", f"{size:.0f} bytes", "<= 500 bytes"))
    return rows


def made(path: Path, events: int) -> Figure:
    spent = history.written(path, events)
    return Figure(f"writing {events:,} calls of {history.USERS:,} users, CPU a call", f"{spent * 1e6:.0f} µs", "")


def tended(store: Store, events: int) -> Figure:
    """What is left to be done for running sums, in the longest step and in all."""
    steps: list[float] = [0.0]
    while True:
        began = time.process_time()
        with store.transaction() as connection:
            done = tending.tend(connection, store.most_keys)
        steps.append(time.process_time() - began)
        if not done:
            break
    what = f"{events:,} calls: sums that were to be moved on or filled in, CPU of the longest step, of all"
    return Figure(what, f"{max(steps):.2f} s, {sum(steps):.0f} s", "")


def ranges(store: Store) -> dict[str, tuple[int | None, int | None]]:
    """Until the newest call: some days, this month and the last one."""
    [newest] = store.latest(1)
    end = newest.started_ns + 1
    month = newest.started_at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    before = (month - datetime.timedelta(days=1)).replace(day=1)
    return {
        **{f"{days} days": (end - days * DAY_NS, None) for days in (7, 30, 90)},
        "this month": (ns(month), None),
        "the month before": (ns(before), ns(month)),
    }


def ns(moment: datetime.datetime) -> int:
    return int(moment.timestamp()) * 10**9


def reported(store: Store, name: str, since_ns: int | None, until_ns: int | None) -> Figure:
    """The slowest report of a range, by one dimension or by two."""
    found: list[tuple[float, str]] = []
    for by in [*((one,) for one in BY), *PAIRS]:
        spent = least(lambda by=by: store.report(by, since_ns=since_ns, until_ns=until_ns, limit=ROWS).to_dict())  # type: ignore[misc]
        found.append((spent, " and ".join(by)))
    slowest = sorted(found, reverse=True)[:3]
    told = ", ".join(f"{spent * 1e3:.0f} ms by {by}" for spent, by in slowest)
    return Figure(f"{len(found)} reports of {name}, the slowest", told, BOUND)


def pages(store: Store) -> list[Figure]:
    """Pages of calls: the newest, some from anywhere between, the oldest."""
    oldest = next(iter(store.events())).started_ns
    newest = store.latest(1)[0].started_ns
    moments = [newest - (newest - oldest) * n // 10 for n in range(10)]
    spent = [least(lambda at=at: store.latest(ROWS, until_ns=at)) for at in moments]  # type: ignore[misc]
    request = store.latest(1)[0].inbound.http_request_id or ""
    return [
        Figure(f"a page of {ROWS} calls, the slowest of {len(moments)}", f"{max(spent) * 1e3:.0f} ms", BOUND),
        Figure("the calls of a request", f"{least(lambda: store.of_request(request)) * 1e3:.0f} ms", BOUND),
    ]


def least(action: Callable[[], object]) -> float:
    """The least of three times, seconds."""
    spent: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        action()
        spent.append(time.perf_counter() - began)
    return min(spent)
