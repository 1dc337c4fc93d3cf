"""`payi doctor`."""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from made import call
from typer.testing import CliRunner

from payi_middleware.cli import app, diagnosis
from payi_middleware.limits import Limit
from payi_middleware.limits.ledger import Account, Settle
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.store import open_store
from payi_middleware.store.schema import VERSION


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'payi.db'}"


def examined(folder: Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["doctor", "--store", url(folder), "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.output)
    return found


def problems(folder: Path) -> str:
    """All problems and cures, a line each."""
    return "\n".join(f"{p['problem']} -> {p['cure']}" for p in examined(folder)["problems"])


def report(**changes: Any) -> dict[str, Any]:
    """The health of a process that runs here and is well."""
    now = time.time_ns()
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "process": "abc",
        "started_ns": now - 10**10,
        "seen_ns": now,
        "application": "shop",
        "versions": {"httpx2": "2.16.2", "payi-middleware": "0.1.0"},
        "hooks": {"httpx2": "seam", "httpx": "absent", "aiohttp": "waiting"},
        "hosts": {"llm.internal": "azure"},
        "spool": {"dir": "/tmp/x", "bytes": 4096, "durable": True},
        "prices": "genai-prices 0.2.3",
        "counters": {},
    } | changes


def stored(folder: Path, *healths: dict[str, Any], calls: int = 2, **who: Any) -> None:
    with open_store(url(folder), create=True) as store:
        store.write([call(**({"user_id": "jane"} | who)) for _ in range(calls)])
        for health in healths:
            store.write([], health)


def ended_pid() -> int:
    """The id of a process that is no more."""
    return int(
        subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True).stdout
    )


def test_a_healthy_application(tmp_path: Path) -> None:
    """With all well, the doctor tells what is hooked, mapped, stored and priced, and finds no problem."""
    stored(tmp_path, report())

    output = CliRunner().invoke(app, ["doctor", "--store", url(tmp_path)]).output
    found = examined(tmp_path)

    assert "No problems found." in output
    assert "httpx2 2.16.2 by seam, httpx is not installed, aiohttp once it is imported" in output
    assert "llm.internal = azure" in output
    assert "2 calls" in output
    assert "Prices   genai-prices " in output
    assert f", rows of ours checked until {found['prices']['rows_checked']}; in use: genai-prices 0.2.3" in output
    assert found["prices"]["rows_checked"] >= "2026-11-25"
    assert found["problems"] == []
    assert found["store"]["events"] == 2
    assert found["store"]["bytes"] > 0
    assert found["store"]["schema"] == VERSION
    assert found["store"]["last_event"] == "2026-09-21T14:13:20.000000Z"
    assert found["store"]["last_write"] is not None
    assert found["prices"]["in_use"] == ["genai-prices 0.2.3"]
    assert found["hosts"] == {"llm.internal": "azure"}
    assert [process["state"] for process in found["processes"]] == ["running"]
    assert found["unattributed"] == {"calls": 0, "share": 0.0}


def test_without_a_store(tmp_path: Path) -> None:
    """Without a store the doctor still tells what it can, and that there is none; it makes none."""
    found = examined(tmp_path)

    assert found["store"]["exists"] is False
    assert "there is no store at" in problems(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "PROBLEM" in CliRunner().invoke(app, ["doctor", "--store", url(tmp_path)]).output


def test_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    """A broken store is a problem with its cure, not a crash."""
    (tmp_path / "payi.db").write_bytes(b"garbage" * 1000)

    assert f"is no SQLite database -> name another file, or move {tmp_path}/payi.db, " in problems(tmp_path)
    assert "PROBLEM" in CliRunner().invoke(app, ["doctor", "--store", url(tmp_path)]).output


def test_a_wrong_setting_is_told() -> None:
    """A wrong store URL ends with exit code 1 and one line."""
    result = CliRunner().invoke(app, ["doctor", "--store", "nonsense"])

    assert result.exit_code == 1
    assert "is not a store" in result.stderr


def test_hosts_that_no_application_starts_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapping to nobody is a problem, beside what else there is to tell."""
    stored(tmp_path, report())
    monkeypatch.setenv("PAYI_HOSTS", "llm.internal")

    assert "setting hosts: 'llm.internal' is mapped to ''" in problems(tmp_path)
    assert examined(tmp_path)["store"]["events"] == 2
    monkeypatch.setenv("PAYI_HOSTS", '{"llm.internal": "openai"}')
    assert problems(tmp_path) == ""


def test_what_is_written_and_not_in_its_place_yet(tmp_path: Path) -> None:
    """While applications write, most of a small store is in the file beside it."""
    with open_store(url(tmp_path), create=True) as store:
        store.write([call()], report())
        sizes = [(tmp_path / name).stat().st_size for name in ("payi.db", "payi.db-wal")]
        assert sizes[1] > 0
        found = examined(tmp_path)
        shown = CliRunner().invoke(app, ["doctor", "--store", url(tmp_path)]).output

    assert found["store"]["bytes"] == sum(sizes)
    assert "1 call, last began" in shown


def test_counted_faults_have_cures(tmp_path: Path) -> None:
    """Each kind of fault, summed over the processes, is told with its cure; one that nobody knows as well."""
    stored(
        tmp_path,
        report(process="a", counters={"headers_ignored": 2, "dropped": 1, "odd_thing": 4, "unattributed": 9}),
        report(process="b", counters={"headers_ignored": 3}),
    )

    told = problems(tmp_path)

    assert "5 requests carried xProxy headers that were ignored" in told
    assert "trusted_hosts" in told
    assert "1 events were dropped" in told
    assert "4 faults of the kind odd_thing" in told
    assert "unattributed" not in told
    assert examined(tmp_path)["counters"] == {"dropped": 1, "headers_ignored": 5, "odd_thing": 4, "unattributed": 9}


def test_processes_that_ended_or_are_silent(tmp_path: Path) -> None:
    """A process that is gone has ended, which is no problem; one that lives and is silent is one; elsewhere is open."""
    long_ago = time.time_ns() - 3600 * 10**9
    stored(
        tmp_path,
        report(process="gone", pid=ended_pid(), seen_ns=long_ago),
        report(process="quiet", seen_ns=long_ago),
        report(process="away", host="elsewhere", seen_ns=long_ago),
        report(process="near", host="elsewhere"),
        report(process="init", pid=1),
    )

    states = {process["process"]: process["state"] for process in examined(tmp_path)["processes"]}

    assert states == {"gone": "ended", "quiet": "silent", "away": "unknown", "near": "running", "init": "running"}
    assert "lives and has not written since" in problems(tmp_path)
    assert problems(tmp_path).count("->") == 1


def test_hooks_and_spools_that_are_missing(tmp_path: Path) -> None:
    """A running process with nothing hooked, or without a spool on disk, is a problem."""
    stored(
        tmp_path,
        report(process="a", hooks={"httpx": "absent", "httpx2": "absent"}),
        report(process="b", spool={"dir": "", "durable": False}),
        report(process="c", hooks={"httpx2": "seam", "urllib3": "unsupported"}),
        report(process="d", hooks={"httpx": "absent", "httpx2": "waiting"}),  # until it is imported
    )

    told = problems(tmp_path)

    assert told.count("has nothing hooked") == 1
    assert "has a urllib3 that cannot be hooked" in told
    assert "has no spool on disk" in told


def test_spool_files_that_nobody_works_on(tmp_path: Path) -> None:
    """Files in the spool without a living process are told, and what takes them in."""
    stored(tmp_path, report(pid=ended_pid()))
    spool = tmp_path / "payi.db.spool"
    spool.mkdir()
    (spool / "1.spool").write_bytes(b"x" * 100)
    (spool / "lock").write_bytes(b"")

    assert examined(tmp_path)["spool"] == {
        "dir": str(spool),
        "exists": True,
        "files": 1,
        "bytes": 100,
        "of_other_stores": 0,
        "damaged": 0,
        "error": None,
    }
    assert "1 spool files wait" in problems(tmp_path)
    assert "`payi report`, which takes them in" in problems(tmp_path)


def test_files_of_other_stores_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a spool that stores share, files of others are counted and are no problem of this store."""
    stored(tmp_path, report(pid=ended_pid()))
    monkeypatch.setenv("PAYI_SPOOL_DIR", str(tmp_path / "s"))
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "1-a-0.abc.spool").write_bytes(b"x" * 100)

    found = examined(tmp_path)

    assert (found["spool"]["files"], found["spool"]["of_other_stores"], found["problems"]) == (0, 1, [])
    assert (
        "0 files, 0 bytes; 1 more of other stores"
        in CliRunner().invoke(app, ["doctor", "--store", url(tmp_path)]).output
    )


def test_damaged_spool_files_are_told(tmp_path: Path) -> None:
    """Files that were put aside since they could not be read in whole are a problem with its cure."""
    stored(tmp_path, report())
    (tmp_path / "payi.db.spool").mkdir()
    (tmp_path / "payi.db.spool" / "1-a-00000000.spool.damaged").write_bytes(b"x" * 100)

    assert "1 damaged spool files are kept" in problems(tmp_path)
    assert "Delete the *.damaged files" in problems(tmp_path)


def test_a_spool_that_goes_away_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and folder may vanish at any moment, since processes deliver while the doctor looks."""
    stored(tmp_path, report())
    spool = tmp_path / "payi.db.spool"
    spool.mkdir()
    (spool / "1-a-00000000.spool").write_bytes(b"x" * 100)
    stat = Path.stat

    def gone(path: Path, **how: bool) -> os.stat_result:
        if path.suffix == ".spool" and path.parent == spool:
            raise FileNotFoundError
        return stat(path, **how)

    monkeypatch.setattr(Path, "stat", gone)
    assert (examined(tmp_path)["spool"]["files"], examined(tmp_path)["spool"]["bytes"]) == (1, 0)
    monkeypatch.setattr(diagnosis, "own_files", lambda *_: shutil.rmtree(spool))
    assert examined(tmp_path)["spool"]["exists"] is False


@pytest.mark.parametrize("what", ["store", "spool"])
def test_what_may_not_be_looked_at_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Whatever the system refuses is told with its cure, and the rest is examined."""
    stored(tmp_path, report())
    stat, listdir = Path.stat, os.listdir

    def forbidden(path: Path, **how: bool) -> os.stat_result:
        if what == "store" and path.name == "payi.db":
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, **how)

    def unlisted(path: Path) -> list[str]:
        if what == "spool" and Path(path).name == "payi.db.spool":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(Path, "stat", forbidden)
    monkeypatch.setattr(os, "listdir", unlisted)
    name = "payi.db" if what == "store" else "payi.db.spool"

    assert f"{tmp_path}/{name} cannot be looked at: Permission denied -> give this user the right" in problems(tmp_path)


def test_a_linked_spool_is_a_problem(tmp_path: Path) -> None:
    """A link in the spool folder's place is not followed, and told."""
    stored(tmp_path, report())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "payi.db.spool").symlink_to("elsewhere")

    assert "payi.db.spool cannot be looked at: the spool folder is a symbolic link" in problems(tmp_path)


def test_a_store_that_others_may_read(tmp_path: Path) -> None:
    """A store with wide rights is a problem with the command that cures it."""
    stored(tmp_path, report())
    (tmp_path / "payi.db").chmod(0o644)

    assert f"chmod 600 {tmp_path / 'payi.db'}" in problems(tmp_path)


def test_calls_of_nobody_and_no_calls(tmp_path: Path) -> None:
    """When most calls are of no known user, or there are none at all, the cure is told."""
    (tmp_path / "none").mkdir()
    stored(tmp_path, report(), user_id=None)
    stored(tmp_path / "none", report(), calls=0)

    assert "100 % of the calls are of no known user" in problems(tmp_path)
    assert examined(tmp_path)["unattributed"] == {"calls": 2, "share": 1.0}
    assert "the store holds no calls" in problems(tmp_path / "none")


def test_a_health_with_missing_or_strange_members(tmp_path: Path) -> None:
    """Whatever a process of another version wrote as its health, the doctor reads what it can."""
    stored(
        tmp_path,
        {"process": "bare", "seen_ns": 1},
        {"process": "odd", "seen_ns": 0, "pid": "x", "counters": [], "hooks": None, "hosts": 3, "host": "\x1b[31m"},
    )

    found = examined(tmp_path)
    output = CliRunner().invoke(app, ["doctor", "--store", url(tmp_path)]).output

    assert {process["process"] for process in found["processes"]} == {"bare", "odd"}
    assert "\x1b" not in output
    assert "hooked: nothing" in output


def test_a_store_in_memory_has_nothing_to_examine() -> None:
    """A store in memory belongs to its process; the doctor says that there is none to read."""
    result = CliRunner().invoke(app, ["doctor", "--store", "sqlite:///:memory:", "--json"])

    assert json.loads(result.output)["store"]["exists"] is False


def test_where_limits_are_counted(tmp_path: Path) -> None:
    """Where, whether anybody else counts there too, and since when it is out of reach."""
    told = {"ledger": "sqlite:1", "place": "/a/payi.db.ledger", "shared": False, "limits": 2, "unsettled": 3}
    sent = {"url": "http://payi.internal:8600", "error": None}
    away = told | {
        "place": "valkey://cache:6379/0",
        "shared": True,
        "away_since_ns": 1_800_000_000 * 10**9,
        "unsettled": 0,
    }
    stored(
        tmp_path,
        report(process="a", limits=told),
        report(process="b", limits=told, delivery=sent),
        report(process="c", limits=away),
        report(process="d", limits=None),
        report(process="e", limits=told | {"sends": True, "limits": 7}),  # which has not delivered anything yet
    )

    output = CliRunner().invoke(app, ["doctor", "--store", url(tmp_path)], terminal_width=400).output.replace("\n", " ")

    counted = "(shop): 2 limits, counted in /a/payi.db.ledger, "
    assert f"{counted}shared by what uses this store; 3 calls wait to be counted" in output
    assert f"{counted}of this application alone: a server that it sends to does not know it; 3 calls" in output
    assert "(shop): 2 limits, counted in valkey://cache:6379/0, shared by all who name it" in output
    assert "(shop): 7 limits, counted in /a/payi.db.ledger, of this application alone: a server" in output
    assert output.count("Limits   ") == 4
    assert "cannot reach the ledger of its limits, valkey://cache:6379/0, since 2027-01-15T08:00:00" in problems(
        tmp_path
    )


def test_the_ledger_and_limits_that_are_reached(tmp_path: Path) -> None:
    """By name, and how many accounts; never whose. Without limits there is nothing to tell, and one that is broken is a problem."""
    stored(tmp_path, report())
    assert examined(tmp_path)["ledger"] == {
        "id": None,
        "error": None,
        "limits": 0,
        "held": 0,
        "over": [],
        "unreadable": [],
    }
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    for name, kind in (("Monthly", "block"), ("Soft", "allow"), ("Free", "block")):
        limit = Limit(name, 1, type=kind, per="user")  # type: ignore[arg-type]
        ledger.define(Definition(limit_id=name, application="shop", limit=limit))
    accounts = tuple(Account(name, f'["{user}"]') for name in ("Monthly", "Soft") for user in ("jane", "bob"))
    ledger.run([Settle(b"1" * 16, "shop", (*accounts[:2], accounts[3]), 10**10, 0, 5, time.time_ns())])
    ledger.close()

    found = examined(tmp_path)
    assert (found["ledger"]["id"], found["ledger"]["limits"], found["ledger"]["held"]) == (ledger.id, 3, 0)
    output = CliRunner().invoke(app, ["doctor", "--store", url(tmp_path)]).output
    assert f"Ledger   {ledger.id}: 3 limits, held by 0 calls that run" in output
    assert "Monthly (shop): 2 accounts at the maximum, its calls are refused" in output
    assert "Soft (shop): 1 account at the maximum, it only tells" in output
    assert "jane" not in output
    assert found["problems"] == []

    (tmp_path / "payi.db.ledger").write_bytes(b"garbage" * 1000)
    assert "payi.db.ledger is no SQLite database" in problems(tmp_path)
