"""`payi report`."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made import START_NS, call
from typer.testing import CliRunner, Result

from payi_middleware import record
from payi_middleware.cli import app
from payi_middleware.events import CallEvent, Unpriced
from payi_middleware.label import label_of
from payi_middleware.settings import Settings
from payi_middleware.spool import Spool
from payi_middleware.store import open_store

HOUR = 3600 * 10**9


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'payi.db'}"


def stored(folder: Path, *events: CallEvent) -> str:
    """A store with these events; its URL."""
    with open_store(url(folder), create=True) as store:
        store.write(events)
    return url(folder)


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["report", *arguments])
    assert result.exit_code == code, result.output
    return result


def flat(text: str) -> str:
    """A table's text without the blanks that align it."""
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def test_who_spent_what_as_a_table(tmp_path: Path) -> None:
    """Without options the report is by user, dearest first, with a total line."""
    store = stored(tmp_path, call(user_id="jane", ticks=12_345_600_000), call(user_id="jane"), call(user_id="paul"))

    output = flat(run("--store", store).output)

    assert "User Calls Not ok Tokens in Tokens out Cost Latency p50 p95 First byte p50" in output
    assert "jane 2 0 2,000 200 $1.24" in output
    assert "paul 1 0 1,000 100 $0.0035" in output
    assert "Total 3 0 3,000 300 $1.24" in output
    assert output.index("jane") < output.index("paul")
    assert "UNPRICED" not in output
    assert "Unattributed" not in output
    assert "Estimated" not in output


def test_doubts_are_told_in_words(tmp_path: Path) -> None:
    """What is estimated, unattributed or unpriced stands under the table, the unpriced with its models and numbers."""
    store = stored(
        tmp_path,
        call(user_id="jane", ticks=3 * 10**10),
        call(user_id=None, ticks=10**10, cost_source="estimate"),
        call(user_id="jane", cost_source="none", resource="gpt-9"),
        call(user_id="jane", cost_source="none", resource=None),
        call(user_id="jane", ticks=0, resource="gpt-9", unpriced=(Unpriced("audio", 1, "no rate"),)),
    )

    output = run("--store", store).output

    assert "Estimated: $1.00 (25.0 % of the cost), from counted tokens." in output
    assert "Unattributed: 1 call (20.0 %, $1.00) of no known user." in output
    assert "UNPRICED: 3 calls (60.0 %), missing from the cost wholly or in part: gpt-9 (2), (no model) (1)." in output


def test_a_row_without_any_price_does_not_look_free(tmp_path: Path) -> None:
    """A user whose calls have no price shows as unpriced, never as $0.00."""
    store = stored(tmp_path, call(user_id="jane", cost_source="none"))

    output = flat(run("--store", store).output)

    assert "jane 1 0 1,000 100 unpriced" in output
    assert "$0.00" not in output


def test_json_is_the_contract(tmp_path: Path) -> None:
    """`--json` prints one object with the members of the contract, money as exact decimal strings."""
    store = stored(
        tmp_path,
        call(user_id="jane", ticks=1, use_case_name="Summary"),
        call(user_id="jane", ticks=35_000_000, outcome="timeout", cost_source="estimate"),
        call(user_id=None, cost_source="none"),
    )

    found = json.loads(run("--store", store, "--json", "--since", "2026-09-21", "--until", "2026-09-22").output)

    assert {name: found[name] for name in ("schema", "since", "until", "timezone", "by")} == {
        "schema": 1,
        "since": "2026-09-21T00:00:00.000000Z",
        "until": "2026-09-22T00:00:00.000000Z",
        "timezone": "UTC",
        "by": ["user"],
    }
    jane, nobody = found["rows"]
    assert jane["key"] == "jane"
    assert jane["calls"] == 2
    assert jane["failures"] == {"timeout": 1}
    assert jane["tokens"] == {"input": 2000, "output": 200}
    assert jane["cost"] == "0.0035000001"
    assert jane["estimated"] == "0.0035"
    assert jane["latency_ms"]["p50"] == pytest.approx(800, rel=0.09)
    assert jane["ttft_ms"]["p95"] == pytest.approx(300, rel=0.09)
    assert nobody["key"] is None
    assert nobody["cost"] == "0"
    assert nobody["unpriced_calls"] == 1
    assert found["total"]["calls"] == 3
    assert found["total"]["cost"] == "0.0035000001"


def test_several_by_make_keys_of_several(tmp_path: Path) -> None:
    """`--by` repeats, or takes commas; keys are then lists in that order."""
    store = stored(tmp_path, call(user_id="jane", use_case_name="Summary", request_tags=("red", "blue")))

    by_two = json.loads(run("--store", store, "--json", "--by", "use_case", "--by", "user").output)
    by_three = json.loads(run("--store", store, "--json", "--by", "day,model,Tag").output)

    assert by_two["by"] == ["use-case", "user"]
    assert [row["key"] for row in by_two["rows"]] == [["Summary", "jane"]]
    assert sorted(row["key"] for row in by_three["rows"]) == [
        ["2026-09-21", "gpt-4o", "blue"],
        ["2026-09-21", "gpt-4o", "red"],
    ]
    assert by_three["total"]["calls"] == 1
    assert "every event of the range was read" in by_three["note"]


def test_tables_tell_what_a_reader_must_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overlapping tag rows, rows beyond the limit, and why it took long, if it did."""
    monkeypatch.setattr("payi_middleware.cli.report_table._QUICK", 0)
    store = stored(tmp_path, *(call(request_tags=(f"t{n}", "all")) for n in range(60)))

    by_tag = run("--store", store, "--by", "tag", "--since", "2026-09-21T14:01").output

    assert "50 of 61 rows; --limit 0 shows all." in by_tag
    assert "the total counts it once" in by_tag
    assert "Note: the range cuts an hour" in by_tag
    monkeypatch.setattr("payi_middleware.cli.report_table._QUICK", 1000)
    assert "Note:" not in run("--store", store, "--by", "tag", "--since", "2026-09-21T14:01").output
    assert "of 61 rows" not in run("--store", store, "--by", "tag", "--limit", "0").output
    every = json.loads(run("--store", store, "--by", "tag", "--json").output)["rows"]
    assert len(every) == 61
    page = ("--store", store, "--by", "tag", "--limit", "3", "--offset", "58")
    assert json.loads(run(*page, "--json").output)["rows"] == every[58:]
    assert len(run(*page, "--csv").output.splitlines()) == 1 + 3
    assert "Rows 59 to 61 of 61." in run(*page).output
    assert "There are 61 rows." in run(*page, "--offset", "61").output


def test_times_are_read_in_the_time_zone(tmp_path: Path) -> None:
    """A date is midnight of `--timezone`; a time with an offset is what it says; `7d` counts back from now."""
    store = stored(tmp_path, call())

    def calls(*arguments: str) -> int:
        found: int = json.loads(run("--store", store, "--json", *arguments).output)["total"]["calls"]
        return found

    assert calls("--since", "2026-09-21T16:13", "--timezone", "Europe/Berlin") == 1
    assert calls("--since", "2026-09-21T16:14", "--timezone", "Europe/Berlin") == 0
    assert calls("--since", "2026-09-22", "--timezone", "Pacific/Auckland") == 1
    assert calls("--since", "2026-09-21T19:43:20+05:30") == 1
    assert calls("--until", "2026-09-21T14:13:20Z") == 0
    assert calls("--until", "100000d") == 0
    assert calls("--since", "999w", "--until", "2026-09-21T14:13:21Z") == 1


def test_what_was_pruned_is_told_however_quick_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are missing where events have to be read that are gone."""
    monkeypatch.setattr("payi_middleware.cli.report_table._QUICK", 1000)
    store = stored(tmp_path, call(started_ns=START_NS - 40 * 24 * HOUR), call())
    pruned = CliRunner().invoke(app, ["prune", "--store", store, "--older-than", "2026-09-01"])
    assert pruned.exit_code == 0, pruned.output

    shown = flat(run("--store", store, "--by", "user", "--by", "model").output)

    assert "Note: events before 2026-09-01 were pruned: calls that began before are missing here." in shown
    assert "which took" not in shown


def test_failures_by_kind_with_their_money(tmp_path: Path) -> None:
    """`--failures` shows what failed or was tried again, by kind, and what both cost."""
    store = stored(
        tmp_path,
        call(ticks=3 * 10**10),
        call(outcome="error", http_status=429, error_type="rate_limit", cost_source="none"),
        call(outcome="aborted", ticks=10**10),
        call(attempt=2, ticks=10**10),
    )

    output = flat(run("--store", store, "--failures").output)

    assert "Outcome Http status Error type Provider Model Calls" in output
    assert "aborted 200 - openai gpt-4o 1 1 1,000 100 $1.00" in output
    assert "error 429 rate_limit openai gpt-4o 1 1 1,000 100 $0.00" in output
    assert "ok 200 - openai gpt-4o 1 0 1,000 100 $1.00" in output
    assert "Not ok: 2 of 4 calls, which cost $1.00 (20.0 % of all)." in output
    assert "Second or later attempts: 1 call, which cost $1.00 (20.0 % of all)." in output
    found = json.loads(run("--store", store, "--failures", "--json").output)
    assert found["rows"][0]["key"] == ["aborted", 200, None, "openai", "gpt-4o"]
    assert found["total"]["failed"] == "1"


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/New_York", "Europe/Berlin"])
@pytest.mark.parametrize("by", ["user", "day"])
def test_times_far_beyond_all_calls(tmp_path: Path, zone: str, by: str) -> None:
    """The years 1 to 9999 may be asked for, in any time zone; the answer is what there is."""
    store = stored(tmp_path, call())

    for since, until in (("0001-01-01", "9999-12-31"), ("1600-01-01", "2100-01-01")):
        output = run(
            "--store", store, "--since", since, "--until", until, "--timezone", zone, "--by", by, "--json"
        ).output
        found = json.loads(output)
        assert found["total"]["calls"] == 1
        assert found["note"] is None or found["note"].startswith("to add up the sums took")  # on a machine that is busy
    nothing = run("--store", store, "--since", "9998-01-01", "--until", "9999-01-01", "--by", by, "--json").output
    assert json.loads(nothing)["total"]["calls"] == 0


def test_a_store_that_is_a_folder(tmp_path: Path) -> None:
    """`--store` that names a folder is told as such."""
    result = run("--store", f"sqlite:///{tmp_path}", code=1)

    assert "is not a regular file; name another" in result.stderr


def test_a_report_on_a_store_that_does_not_exist_takes_nothing_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a spool that several stores share, a mistyped store is not made, and takes no other one's events."""
    monkeypatch.setenv("PAYI_SPOOL_DIR", str(tmp_path / "spool"))
    event = call(user_id="jane")
    right = Settings(store=url(tmp_path), spool_dir=str(tmp_path / "spool"))
    spool = Spool(right.spool_path, limit=1 << 30, wake=lambda: True, label=label_of(right))
    spool.append(record.ended(event.event_id, event))
    del spool  # its process was killed

    assert "there is no store at" in run("--store", f"sqlite:///{tmp_path}/typo.db", code=1).stderr
    assert not (tmp_path / "typo.db").exists()
    assert "jane" in run("--store", url(tmp_path)).output


HOSTILE = {
    "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0",
    "+1+1": "'+1+1",
    "-2": "'-2",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1": "'\\t=1",
    " =1": "' =1",
    "\u3000=1": "'\u3000=1",
    "\u00a0\u2009@SUM(A1)": "'\u00a0\u2009@SUM(A1)",
    "＝1": "'＝1",
    "[red]jane[/red]": "[red]jane[/red]",
    "\x1b[31mjane\x07": "\\e[31mjane\\u0007",
    "jane\r\npaul": "jane\\r\\npaul",
    "jane\u202egnp": "jane\\u202egnp",
    'say "hi", jane': 'say "hi", jane',
    ":smile:": ":smile:",
}


def test_hostile_names_are_harmless_in_csv(tmp_path: Path) -> None:
    """Names that a spreadsheet would run begin with an apostrophe, and none carries a control or breaks a line."""
    store = stored(tmp_path, *(call(user_id=name) for name in HOSTILE))

    output = run("--store", store, "--csv").output
    rows = list(csv.DictReader(io.StringIO(output)))

    assert {row["user"] for row in rows} == set(HOSTILE.values())
    assert output.count("\n") == len(HOSTILE) + 1
    assert all(row["cost_usd"] == "0.0035" and row["calls"] == "1" and row["error"] == "0" for row in rows)


def test_hostile_names_are_harmless_in_tables(tmp_path: Path) -> None:
    """Names are never read as markup, emoji or control: no escape gets through, and `[red]` stands as written."""
    store = stored(
        tmp_path, *(call(user_id=name, application=name, cost_source="none", resource=name) for name in HOSTILE)
    )

    output = run("--store", store, "--by", "user", "--by", "model").output

    for name in ("[red]jane[/red]", "\\e[31mjane\\u0007", "jane\\r\\npaul", "jane\\u202egnp", ":smile:"):
        assert name in output
    assert not set(output) & set("\x1b\x07\r\u202e\t")


def test_an_empty_cell_of_csv_is_no_value(tmp_path: Path) -> None:
    """Calls without a user have an empty cell, and so have durations nobody knows."""
    store = stored(tmp_path, call(user_id=None, first_byte_ns=None))

    (row,) = csv.DictReader(io.StringIO(run("--store", store, "--csv").output))

    assert row["user"] == ""
    assert row["ttft_p50_ms"] == ""
    assert row["unattributed_calls"] == "1"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--since", "yesterdayish"], "--since: 'yesterdayish' is no time"),
        (["--until", "99999999w"], "--until: '99999999w' is no time"),
        (["--since", "999999w"], "--since: '999999w' is no time"),
        (["--since", "\x1b[31m"], "--since: '\\\\e[31m' is no time"),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "--until: must be after --since"),
        (["--timezone", "Mars/Olympus"], "--timezone: 'Mars/Olympus' is no time zone"),
        (["--timezone", "../../etc/passwd"], "--timezone"),
        (["--by", "colour"], "--by: 'colour' is none of user, account"),
        (["--failures", "--by", "user"], "--failures: groups by kind of failure; leave out --by"),
        (["--json", "--csv"], "--csv: cannot be had together with --json; give one of the two"),
    ],
)
def test_wrong_options_are_told_in_one_line(tmp_path: Path, arguments: list[str], named: str) -> None:
    """A value that cannot be used ends with exit code 2 and one line that names the option."""
    result = run("--store", stored(tmp_path, call()), *arguments, code=2)

    assert named in result.stderr
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.stderr


def test_without_a_store_nothing_is_made(tmp_path: Path) -> None:
    """A report on a store that is not there is one line on standard error, exit code 1, and no file."""
    result = run("--store", url(tmp_path / "none"), code=1)

    assert "there is no store at" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_store_url_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL of no kind we know, from the option or the environment, ends with exit code 1."""
    assert "'oracle://x' is not a store" in run("--store", "oracle://x", code=1).stderr
    monkeypatch.setenv("PAYI_STORE", "nonsense")
    assert "'nonsense' is not a store" in run(code=1).stderr


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `--store` the report reads what `PAYI_STORE` names."""
    monkeypatch.setenv("PAYI_STORE", stored(tmp_path, call(user_id="jane")))

    assert "jane" in run().output


def test_a_spool_that_cannot_be_taken_in_is_told_and_the_report_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When what dead processes left cannot be taken in, a warning says so and the store's calls are shown."""
    store = stored(tmp_path, call(user_id="jane"))

    def refuse(settings: object) -> int:
        raise OSError("no right to read the spool")

    monkeypatch.setattr("payi_middleware.intake.take_in", refuse)
    result = run("--store", store)

    assert "cannot be taken in: no right to read the spool" in result.stderr
    assert "jane" in result.stdout


def payi(*arguments: str, module: str = "payi_middleware") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_runs_as_a_process(tmp_path: Path) -> None:
    """The command prints to a pipe without colours and exits with 0; with a wrong option, with 2 and no traceback."""
    store = stored(tmp_path, call(user_id="jane", started_ns=START_NS - HOUR))

    good, wrong, unknown = (
        payi("report", "--store", store),
        payi("report", "--since", "x", module="payi_middleware.cli"),
        payi("report", "--nonsense"),
    )

    assert (good.returncode, good.stderr) == (0, "")
    assert "jane" in good.stdout
    assert "\x1b" not in good.stdout
    assert (wrong.returncode, unknown.returncode) == (2, 2)
    assert "Traceback" not in wrong.stderr + unknown.stderr


@pytest.mark.parametrize("command", ["events --json", "report --csv", "report", "report --json", "events", "doctor"])
@pytest.mark.parametrize("calls", [1, 2000])
def test_a_reader_that_has_enough_is_no_error(tmp_path: Path, command: str, calls: int) -> None:
    """`payi events --json | head` and the like end quietly and well, with much to print and with little."""
    store = stored(tmp_path, *(call(user_id=f"user-{n}") for n in range(calls)))
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "payi_middleware.cli", *command.split(), "--store", store],
        stdout=writing,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)

    assert (ran.returncode, ran.stderr) == (0, "")
