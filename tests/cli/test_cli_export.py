"""`payi export`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import msgspec
from keeping import EVENTS, made, url
from made import DAY, HOUR, START_NS, call
from typer.testing import CliRunner

from payi_middleware.cli import app
from payi_middleware.events import Cost

ORDERED = sorted(EVENTS, key=lambda event: event.started_ns)


def run(folder: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["export", "--store", url(folder), *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_lines(tmp_path: Path) -> None:
    """All calls, oldest first, a JSON object a line; with a range those that began in it."""
    made(tmp_path).close()
    assert [json.loads(line) for line in run(tmp_path).splitlines()] == [event.to_dict() for event in ORDERED]

    since, until = START_NS - 20 * DAY - 2 * HOUR, START_NS - 3 * DAY
    range_ = ("--since", "2026-09-01T14:13:20", "--until", "2026-09-18T16:13:20", "--timezone", "Etc/GMT-2")
    lines = run(tmp_path, "--json", *range_)
    expected = [event for event in ORDERED if since <= event.started_ns < until]
    assert [json.loads(line)["event_id"] for line in lines.splitlines()] == [e.to_dict()["event_id"] for e in expected]
    assert 0 < len(expected) < len(ORDERED)
    assert run(tmp_path, "--since", "2099-01-01") == ""


def test_costs_as_corrected_or_as_recorded(tmp_path: Path) -> None:
    with made(tmp_path, [call(ticks=5)]) as store:
        [[(number, event)]] = store.walk()
        store.correct([(number, event, msgspec.structs.replace(event, cost=Cost(10**10, 0, 10**10)))])
    assert json.loads(run(tmp_path))["cost"]["total"] == "1"
    assert json.loads(run(tmp_path, "--as-recorded"))["cost"]["total"] == "0.0000000005"


def test_csv(tmp_path: Path) -> None:
    """A heading, then a row a call with every member but the cost's lines; nothing that a spreadsheet would run."""
    evil = "=HYPERLINK(1)"
    events = [
        call(user_id=evil, request_tags=("a", "b"), ticks=5, request_properties={"k": evil}, http_route="-1+2"),
        call(user_id="+49", cost_source="none", units={}, started_ns=START_NS + 1, first_byte_ns=None),
    ]
    made(tmp_path, events).close()

    first, second = csv.DictReader(io.StringIO(run(tmp_path, "--csv")))

    assert first["user_id"] == f"'{evil}"
    assert first["http_route"] == "'-1+2"
    assert (first["cost_total_usd"], second["cost_total_usd"]) == ("0.0000000005", "")
    assert json.loads(first["request_tags"]) == ["a", "b"]
    assert json.loads(first["request_properties"]) == {"k": evil}
    assert (second["user_id"], second["request_tags"], second["cost_source"]) == ("'+49", "", "none")
    assert second["time_to_first_token_ms"] == ""
    assert set(first) == set(events[0].to_dict()) - {"schema", "cost"} | {
        "cost_input_usd", "cost_output_usd", "cost_total_usd",
    }  # fmt: skip


def test_many_calls_are_streamed(tmp_path: Path) -> None:
    """A reader that has enough after some lines ends the export without a complaint."""
    made(tmp_path).close()
    command = [sys.executable, "-m", "payi_middleware.cli", "export", "--store", url(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["event_id"] == ORDERED[0].to_dict()["event_id"]
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
