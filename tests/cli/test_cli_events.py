"""`payi events`, `payi --version`, and what a demo returns."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from made import START_NS, call
from typer.testing import CliRunner

from payi_middleware.cli import app
from payi_middleware.events import Unpriced
from payi_middleware.store import open_store

SECOND = 10**9


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'payi.db'}"


def output(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_events_as_json_lines(tmp_path: Path) -> None:
    """`--json` prints every call as one `CallEvent` a line, newest last."""
    events = [call(started_ns=START_NS + n * SECOND, user_id=f"user-{n}") for n in range(70)]
    with open_store(url(tmp_path), create=True) as store:
        store.write(events[::-1])

    lines = output("events", "--store", url(tmp_path), "--json").splitlines()

    assert [json.loads(line) for line in lines] == [event.to_dict() for event in events]


def test_events_of_one_request(tmp_path: Path) -> None:
    """`--request` shows the calls of one web request only, in both forms."""
    with open_store(url(tmp_path), create=True) as store:
        store.write([call(http_request_id=f"r{n % 3}", user_id=f"user-{n}") for n in range(9)])

    lines = output("events", "--store", url(tmp_path), "--request", "r1", "--json").splitlines()
    table = output("events", "--store", url(tmp_path), "--request", "r1")

    assert [json.loads(line)["user_id"] for line in lines] == ["user-1", "user-4", "user-7"]
    assert re.findall(r"user-\d", table) == ["user-1", "user-4", "user-7"]
    assert output("events", "--store", url(tmp_path), "--request", "none", "--json") == ""


def test_events_as_a_table(tmp_path: Path) -> None:
    """The table shows the last calls, newest last: when, who, what for, how it ended, what it cost and why not."""
    with open_store(url(tmp_path), create=True) as store:
        store.write(
            [
                call(started_ns=START_NS - SECOND, user_id="old"),
                call(user_id="jane", use_case_name="Summary", http_request_id="r1"),
                call(started_ns=START_NS + 1 * SECOND, cost_source="estimate", ticks=1),
                call(
                    started_ns=START_NS + 2 * SECOND,
                    cost_source="none",
                    reason="unknown model",
                    units={},
                    resource=None,
                ),
                call(started_ns=START_NS + 3 * SECOND, cost_source="provider", ticks=10**10, attempt=2),
                call(
                    started_ns=START_NS + 4 * SECOND,
                    outcome="error",
                    http_status=429,
                    error_type="rate",
                    cost_source="none",
                ),
                call(started_ns=START_NS + 5 * SECOND, unpriced=(Unpriced("audio", 1, "no rate"),), user_id="[b]x\x1b"),
            ]
        )

    lines = [" ".join(line.split()) for line in output("events", "--store", url(tmp_path), "--limit", "6").splitlines()]
    rows = [line for line in lines if line.startswith("2026")]

    assert rows == [
        "2026-09-21 14:13:20 jane Summary gpt-4o ok text 1000/100 $0.0035 800 ms r1",
        "2026-09-21 14:13:21 (unattributed) - gpt-4o ok text 1000/100 $0.0000000001 (estimate) 800 ms -",
        "2026-09-21 14:13:22 (unattributed) - gpt-4o ok - none: unknown model 800 ms -",
        "2026-09-21 14:13:23 (unattributed) - gpt-4o ok attempt 2 text 1000/100 $1.00 (stated) 800 ms -",
        "2026-09-21 14:13:24 (unattributed) - gpt-4o error 429 rate text 1000/100 none 800 ms -",
        "2026-09-21 14:13:25 [b]x\\e - gpt-4o ok text 1000/100 $0.0035 +unpriced 800 ms -",
    ]
    assert any(line.startswith("The last 6 of 7 calls; --until 20") for line in lines)
    assert "old" in output("events", "--store", url(tmp_path), "--limit", "0")

    page = output("events", "--store", url(tmp_path), "--limit", "2", "--until", "2026-09-21T14:13:23")
    assert [line.strip()[:19] for line in page.splitlines() if line.strip().startswith("2026")] == [
        "2026-09-21 14:13:21",
        "2026-09-21 14:13:22",
    ]
    assert "The last 2 calls; --until 2026-09-21T14:13:21.000000 shows those before" in " ".join(page.split())


def test_events_without_a_store(tmp_path: Path) -> None:
    """Without a store `payi events` is one line on standard error and exit code 1."""
    result = CliRunner().invoke(app, ["events", "--store", url(tmp_path)])

    assert result.exit_code == 1
    assert "there is no store at" in result.stderr


def test_the_version_is_told() -> None:
    """`payi --version` names the package and its version; `payi` alone shows the commands."""
    assert re.fullmatch(r"payi-middleware \d+\.\d+\.\d+\S*\n", output("--version"))
    help_text = CliRunner().invoke(app, []).output
    for command in ("report", "events", "doctor", "demo"):
        assert command in help_text


def test_the_demo_gets_its_options_and_gives_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """`payi demo` hands its options to the demo and exits with the demo's code."""
    given: list[dict[str, bool]] = []

    def main(**options: bool) -> int:
        given.append(options)
        return 3

    monkeypatch.setattr("payi_middleware.demo.main", main)

    assert CliRunner().invoke(app, ["demo"]).exit_code == 3
    assert CliRunner().invoke(app, ["demo", "--serve", "--live"]).exit_code == 3
    assert given == [{"serve": False, "live": False}, {"serve": True, "live": True}]
