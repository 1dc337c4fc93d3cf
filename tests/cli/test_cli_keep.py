"""`payi prune` and `payi store`."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest
from keeping import EVENTS, made, url
from made import DAY, START_NS, call
from typer.testing import CliRunner

from payi_middleware import record
from payi_middleware.cli import app
from payi_middleware.limits import Limit
from payi_middleware.limits.ledger import Account, Settle
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.spool import Spool
from payi_middleware.store import open_store
from payi_middleware.store.deliveries import Place, Rejected
from payi_middleware.store.schema import MIGRATIONS, VERSION

CUT = "2026-08-22"
YOUNGER = [event for event in EVENTS if event.started_ns >= (START_NS - 30 * DAY) // DAY * DAY]


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store with some events."""
    made(tmp_path).close()
    return url(tmp_path)


def test_prune_windows_of_limits(store: str, tmp_path: Path) -> None:
    """Those that ended before the day go, with calls or without."""
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    ledger.define(Definition(limit_id="all", application="shop", limit=Limit("all", 5, window="day")))
    for n in (1, 40, 41):
        at_ns = time.time_ns() - n * DAY
        ledger.run([Settle(n.to_bytes(16, "big"), "shop", (Account("all"),), 5, 5, 5, at_ns)])
    ledger.close()
    assert json.loads(run("prune", "--store", store, "--older-than", "20d", "--dry-run", "--json"))["limit_rows"] == 2
    assert "2 windows of limits that ended before it removed." in run("prune", "--store", store, "--older-than", "20d")
    assert json.loads(run("prune", "--store", store, "--older-than", "20d", "--json"))["limit_rows"] == 0
    assert len(SqliteLedger(tmp_path / "payi.db.ledger").history("shop", "all")) == 1


def test_prune(store: str) -> None:
    """A dry run tells what would go and changes nothing; then it goes, and the space is given back."""
    expected = len(EVENTS) - len(YOUNGER)
    text = run("prune", "--store", store, "--older-than", CUT, "--dry-run")
    assert text == f"{expected} calls before {CUT} would be removed, 0 of their corrections; their sums stay.\n"

    told = json.loads(run("prune", "--store", store, "--older-than", CUT, "--json"))
    assert told == {
        "schema": 1, "dry_run": False, "before": CUT, "keep_sums": True, "events": expected, "corrections": 0, "sums": 0,
        "texts": told["texts"], "waiting": 0, "vacuum": None, "limit_rows": 0,
        "server": {"instances": 0, "scores": 0, "properties": 0},
    }  # fmt: skip
    with open_store(store, create=False) as opened:
        assert opened.count() == len(YOUNGER)
        assert opened.report(("user",)).total.calls == len(EVENTS)

    assert "New calls fill the space" not in run("prune", "--store", store, "--older-than", CUT)
    text = run("prune", "--store", store, "--older-than", CUT, "--drop-sums", "--vacuum")
    assert "0 calls" in text
    assert "given back" in text
    with open_store(store, create=False) as opened:
        assert opened.report(("user",)).total.calls == len(YOUNGER)
    assert run("store", "check", "--store", store) == f"{len(YOUNGER)} calls: everything is right.\n"


def test_calls_that_a_server_lacks_stay(store: str) -> None:
    """What is to be sent on stays until it was, or until it is told that it never will; refusals go with their calls."""
    place = Place("http://a.test", "shop")
    with open_store(store, create=True) as opened:
        batch = opened.undelivered(place, 10**9, 50)
        assert batch is not None
        opened.delivered(place, batch, [Rejected(0, 400, "bad", "no")])
    would = json.loads(run("prune", "--store", store, "--older-than", CUT, "--dry-run", "--json"))
    text = run("prune", "--store", store, "--older-than", CUT)
    assert f"{would['events']} calls before" in text
    assert f"{would['waiting']} calls stay until a server has them" in text
    assert would["waiting"] > 100
    assert would["waiting"] + would["events"] == len(EVENTS) - len(YOUNGER)
    with open_store(store, create=False) as opened:
        left = [event for event in opened.events() if event not in YOUNGER]
        assert {event.application for event in left} == {"shop"}
        assert len(left) == would["waiting"]
    assert "stay" not in run("prune", "--store", store, "--older-than", CUT, "--undelivered", "--drop-sums")
    with open_store(store, create=False) as opened:
        assert opened.count() == len(YOUNGER)
        assert opened.undelivered(place, 10**9, 1000) is not None
    assert "everything is right" in run("store", "check", "--store", store)


def test_prune_by_age(tmp_path: Path) -> None:
    """An age counts from now; what waits in the spool is taken in first."""
    now = call()
    spool = Spool(tmp_path / "payi.db.spool", limit=1 << 20, wake=lambda: False)
    spool.append(record.ended(now.event_id, now))
    spool.close()
    made(tmp_path, []).close()
    assert "1 call before" in run("prune", "--store", url(tmp_path), "--older-than", "1d")
    with open_store(url(tmp_path), create=False) as opened:
        assert opened.count() == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["prune", "--older-than", "2100-01-01"], 2, "must be in the past"),
        (["prune", "--older-than", "soon"], 2, "is no time"),
        (["prune"], 2, "--older-than"),
        (["forget", "--user", ""], 2, "must not be empty"),
        (["export", "--json", "--csv"], 2, "not together"),
        (["export", "--since", "2026-09-02", "--until", "2026-09-01"], 2, "must be after"),
    ],
)
def test_wrong_options(store: str, arguments: list[str], code: int, told: str) -> None:
    assert told in run(*arguments, "--store", store, code=code)


@pytest.mark.parametrize(
    "arguments",
    [["prune", "--older-than", "1d"], ["forget", "--user", "jane"], ["store", "check"], ["store", "rebuild"],
     ["store", "upgrade"], ["store", "vacuum"], ["store", "backup", "to.db"], ["export"]],
)  # fmt: skip
def test_none_makes_a_store(tmp_path: Path, arguments: list[str]) -> None:
    """Where there is no store each says so, and makes none; so with another program's file."""
    assert "there is no store" in run(*arguments, "--store", url(tmp_path), code=1)
    assert list(tmp_path.iterdir()) == []
    with sqlite3.connect(tmp_path / "payi.db") as other:
        other.execute("CREATE TABLE theirs (id)")
    other.close()
    assert "of another program" in run(*arguments, "--store", url(tmp_path), code=1)


def test_check_and_rebuild(store: str, tmp_path: Path) -> None:
    """What is wrong is told with its cure and the exit code 1; `rebuild` is the cure."""
    other = sqlite3.connect(tmp_path / "payi.db", isolation_level=None)
    other.execute("DELETE FROM rollup WHERE grain = 2")
    other.close()
    text = run("store", "check", "--store", store, code=1)
    assert "sums by month are not those of those by day\n    payi store rebuild\n" in text
    told = json.loads(run("store", "check", "--store", store, "--json", code=1))
    assert (told["ok"], told["events"], len(told["problems"])) == (False, len(EVENTS), 3)
    assert told["problems"][0].keys() == {"what", "message", "cure"}

    assert json.loads(run("store", "rebuild", "--store", store, "--json"))["days"] > 60
    assert "are made anew" in run("store", "rebuild", "--store", store)
    assert json.loads(run("store", "check", "--store", store, "--json")) == {
        "schema": 1, "ok": True, "events": len(EVENTS), "problems": [],
    }  # fmt: skip


def test_upgrade(tmp_path: Path) -> None:
    """An older schema is brought up to date, from and to are told; one of now stays as it is."""
    path = tmp_path / "payi.db"
    older = sqlite3.connect(path, isolation_level=None)
    for statement in MIGRATIONS[0]:
        older.execute(statement)
    older.execute(f"PRAGMA application_id = {0x50617969}")
    older.execute("PRAGMA user_version = 1")
    older.close()
    assert "payi store upgrade" in run("report", "--store", url(tmp_path), code=1)

    assert (
        run("store", "upgrade", "--store", url(tmp_path)) == f"The store is up to date: schema {VERSION}, before 1.\n"
    )
    assert run("store", "upgrade", "--store", url(tmp_path)) == f"The store is up to date (schema {VERSION}).\n"
    told = json.loads(run("store", "upgrade", "--store", url(tmp_path), "--json"))
    assert told == {"schema": 1, "from": VERSION, "to": VERSION}


def test_a_store_of_a_newer_version_is_left_alone(store: str, tmp_path: Path) -> None:
    newer = sqlite3.connect(tmp_path / "payi.db", isolation_level=None)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for arguments in (["store", "upgrade"], ["prune", "--older-than", "1d"]):
        assert "newer version" in run(*arguments, "--store", store, code=1)


def test_vacuum(store: str) -> None:
    assert "given back" in run("store", "vacuum", "--store", store)
    told = json.loads(run("store", "vacuum", "--store", store, "--json"))
    assert told["before"] >= told["after"] > 0


def test_backup(store: str, tmp_path: Path) -> None:
    """A backup is a store of its own, and never overwrites a file."""
    to = tmp_path / "backup.db"
    assert f"{to}: " in run("store", "backup", str(to), "--store", store)
    assert "exist" in run("store", "backup", str(to), "--store", store, code=1)
    told = json.loads(run("store", "backup", str(tmp_path / "other.db"), "--store", store, "--json"))
    assert (told["events"], told["bytes"]) == (len(EVENTS), (tmp_path / "other.db").stat().st_size)
    assert "everything is right" in run("store", "check", "--store", f"sqlite:///{to}")
