"""The commands over a store on PostgreSQL: as over a file, and never with a password in what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from keeping import EVENTS
from made import DAY, START_NS, call
from postgres import database, server
from typer.testing import CliRunner

from payi_middleware.cli import app
from payi_middleware.store import open_store
from payi_middleware.store.schema import VERSION

RECENT = [event for event in EVENTS if event.started_ns > START_NS - 4 * DAY]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def url() -> str:
    """With a password, which this server does not ask for."""
    made = database().replace("postgres@", "postgres:s3cret@")
    with open_store(made, create=True, fold_every=20) as store:
        store.write(RECENT)
        store.write([], {"process": "p", "host": "elsewhere", "pid": 7, "seen_ns": START_NS})
    return made


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    assert "s3cret" not in result.output
    return result.output


def test_what_reads(url: str, tmp_path: Path) -> None:
    """Reports, events, exports, the doctor."""
    report = json.loads(run("report", "--store", url, "--by", "user", "--json"))
    assert report["total"]["calls"] == len(RECENT)
    assert len(run("events", "--store", url, "--json").splitlines()) == len(RECENT)
    assert len(run("export", "--store", url).splitlines()) >= len(RECENT)

    found = json.loads(run("doctor", "--store", url, "--json"))
    assert found["store"]["url"] == found["store"]["path"] == url.replace(":s3cret", "")
    assert (found["store"]["exists"], found["store"]["mode"], found["store"]["schema"]) == (True, None, VERSION)
    assert found["store"]["events"] == len(RECENT)
    assert found["store"]["bytes"] > 100_000
    assert found["spool"]["dir"].startswith(str(tmp_path / "state" / "payi" / "postgresql-"))
    assert "Store    postgresql://postgres@/" in run("doctor", "--store", url)


def test_what_writes(url: str) -> None:
    """Housekeeping, ingest and keys."""
    assert run("store", "check", "--store", url) == f"{len(RECENT)} calls: everything is right.\n"
    assert json.loads(run("store", "upgrade", "--store", url, "--json")) == {
        "schema": 1,
        "from": VERSION,
        "to": VERSION,
    }
    assert "days are made anew" in run("store", "rebuild", "--store", url)
    forgotten = json.loads(run("forget", "--store", url, "--user", "user-3", "--json"))
    assert forgotten["events"] == sum(event.user_id == "user-3" for event in RECENT) > 0
    assert forgotten["left"] == []
    assert "given back" in run("store", "vacuum", "--store", url)
    assert "pg_dump --schema=payi" in run("store", "backup", "--store", url, "x.dump", code=1)

    pruned = json.loads(run("prune", "--store", url, "--older-than", "2026-09-20", "--json"))
    with open_store(url, create=False) as store:
        assert store.count() == len(RECENT) - pruned["events"] < len(RECENT)
    assert run("keys", "create", "--role", "ingest", "--store", url).splitlines()[-1].startswith("payi_")
    assert "ingest  default" in run("keys", "list", "--store", url)


def test_ingest(url: str, tmp_path: Path) -> None:
    """A dry run tells what would be new and changes nothing; then it is there."""
    file = tmp_path / "events.jsonl"
    new = call()
    file.write_text(f"{new.to_json()}\n{RECENT[0].to_json()}\n")
    for arguments, stored, count in (["--dry-run"], 1, 0), ([], 1, 1), ([], 0, 1):
        assert json.loads(run("ingest", str(file), "--store", url, "--json", *arguments))["stored"] == stored
        with open_store(url, create=False) as store:
            assert store.count() == len(RECENT) + count

    empty = database(empty=True)
    assert json.loads(run("ingest", str(file), "--store", empty, "--json", "--dry-run"))["stored"] == 2
    assert "there is no store at" in run("report", "--store", empty, code=1)
    found = json.loads(run("doctor", "--store", empty, "--json"))
    assert (found["store"]["exists"], found["store"]["error"]) == (False, None)


def test_a_database_that_is_away() -> None:
    """One line with the cure; the doctor tells it among the problems."""
    away = "postgresql://jane:s3cret@127.0.0.1:1/payi"
    assert "cannot be reached; check that the server runs" in run("report", "--store", away, code=1)
    problems = json.loads(run("doctor", "--store", away, "--json"))["problems"]
    store, ledger = [p for p in problems if "reached" in p["problem"]]  # which is the same database
    assert store["cure"].startswith("check that the server runs")
    assert "s3cret" not in f"{store}{ledger}"
    assert "cannot be reached" in run("store", "upgrade", "--store", away, code=1)
    assert server().url().startswith("postgresql://")
