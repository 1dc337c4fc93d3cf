"""An application is told of its limits while it runs: each share once, over processes and restarts."""

from __future__ import annotations

import re
import time
from pathlib import Path

from children import run, start
from mocked import COST, ask, client, instrumented

from payi_middleware.limits import Limit, LimitAlert

PROCESS = """
import sys, time
from mocked import ask, client, instrumented
from payi_middleware.limits import Limit
from mocked import COST
told = open(sys.argv[2], "a", buffering=1)
limit = Limit("Monthly", COST * 40, type="allow", window="month", alerts=(0.5, 0.8, 1))
meter = instrumented(sys.argv[1], limits=[limit], on_alert=lambda alert: told.write(f"{alert.share}\\n"))
with client() as asking:
    for n in range(int(sys.argv[3])):
        ask(asking, f"user-{n}")
meter.flush(30)
meter.close()
"""


def test_a_share_that_is_reached_is_told_soon(tmp_path: Path) -> None:
    told: list[LimitAlert] = []
    limit = Limit("Monthly", COST * 4, per="user", window="month", alerts=(0.5, 1))
    meter = instrumented(tmp_path, limits=[limit], on_alert=told.append, flush_interval=0.01)
    with client() as asking:
        for user in ("jane", "jane", "jane", "bob"):
            ask(asking, user)
        meter.flush(10)
        until = time.monotonic() + 10
        while not told and time.monotonic() < until:
            time.sleep(0.01)
    meter.close()
    assert [(alert.limit_name, alert.account, alert.share) for alert in told] == [
        ("Monthly", ("jane",), limit.alerts[0])
    ]


def test_each_share_is_told_once_over_processes_and_restarts(tmp_path: Path) -> None:
    file, logged = tmp_path / "told", ""
    for calls in (3, 6, 6):  # 12 calls, then 36, then 60, of 40
        processes = [start(PROCESS, tmp_path, file, calls) for _ in range(4)]
        logged += "".join([process.communicate()[1] for process in processes])
    logged += run(PROCESS, tmp_path, file, 1).stderr
    assert sorted(file.read_text().split()) == ["0.5", "0.8", "1"]
    assert sorted(re.findall(r"limit 'Monthly' is at (\d+) %", logged)) == ["100", "50", "80"]
