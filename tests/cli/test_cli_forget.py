"""`payi forget`."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest
from children import start
from keeping import files_with, made, url
from made import call
from typer.testing import CliRunner

from payi_middleware import record
from payi_middleware.cli import app
from payi_middleware.events import CallEvent
from payi_middleware.limits import Limit
from payi_middleware.limits.ledger import Account, Settle
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.pseudonyms import pseudonym
from payi_middleware.segment import DAMAGED
from payi_middleware.spool import Spool
from payi_middleware.store import open_store

JANE = "jane@example.com"


def run(folder: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["forget", "--store", url(folder), "--user", JANE, *arguments])
    assert result.exit_code == code, result.output
    return result.output if code and "--json" not in arguments else result.stdout


def calls() -> list[CallEvent]:
    """Three of Jane's."""
    return [call(user_id=JANE, request_properties={"mail": JANE}) for _ in range(3)]


def test_forget(tmp_path: Path) -> None:
    """A dry run tells what would be done; then the calls are nobody's, and no byte of store or log tells of them."""
    made(tmp_path, [*calls(), call(request_properties={"of": JANE}), call(user_id="paul")]).close()
    assert run(tmp_path, "--dry-run") == (
        f"{JANE}: 3 calls would be forgotten, 1 call of others would be cleared of the id, 0 sums would be moved to "
        "(unattributed).\n"
    )
    assert files_with(tmp_path, JANE) != []

    assert f"{JANE}: 3 calls forgotten, 1 call of others cleared of the id" in run(tmp_path)

    assert files_with(tmp_path, JANE) == []
    with open_store(url(tmp_path), create=False) as store:
        assert sorted(event.user_id or "" for event in store.events()) == ["", "", "", "", "paul"]
    told = json.loads(run(tmp_path, "--json"))
    assert told == {
        "schema": 1, "dry_run": False, "known_as": JANE, "events": 0, "cleared": 0, "sums": 0, "left": [],
        "vacuum": told["vacuum"], "limits": 0, "limit_accounts": 0, "server": {"instances": 0, "scores": 0, "properties": 0},
    }  # fmt: skip


def test_their_accounts_of_limits(tmp_path: Path) -> None:
    """Running or over, also of limits that are deleted; others keep theirs, and no byte of the ledger tells of the person."""
    made(tmp_path, []).close()
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    for limit_id, per in (("each", ("user", "model")), ("gone", ("account",)), ("all", ())):
        limit = Limit(limit_id, 5, per=per)  # type: ignore[arg-type]
        ledger.define(Definition(limit_id=limit_id, application="shop", limit=limit))
    keys = {"each": [f'["{JANE}","o1"]', '["bob","o1"]'], "gone": [f'["{JANE}"]'], "all": [""]}
    accounts = tuple(Account(limit_id, key) for limit_id, some in keys.items() for key in some)
    for n in range(20):
        ledger.run([Settle(n.to_bytes(16, "big"), "shop", accounts, 5, 5, 5, time.time_ns())])
    ledger.reset("shop", "each")
    ledger.remove("shop", "gone")
    ledger.define(Definition(limit_id="hers", application="shop", limit=Limit("Hers", 5, match={"user_id": JANE})))
    ledger.remove("shop", "hers")
    ledger.close()

    told = json.loads(run(tmp_path, "--dry-run", "--json"))
    assert (told["limits"], told["limit_accounts"]) == (1, 2)
    assert json.loads(run(tmp_path, "--application", "blog", "--json"))["limit_accounts"] == 0
    assert "2 accounts of limits deleted." in run(tmp_path)
    ledger = SqliteLedger(tmp_path / "payi.db.ledger")
    assert ledger.accounts("shop") == [Account("all", ""), Account("each", '["bob","o1"]')]
    assert [one.definition.limit.name[:9] for one in ledger.deleted("shop")] == ["forgotten", "gone"]
    ledger.close()
    assert files_with(tmp_path, JANE) == []


def test_their_calls_too(tmp_path: Path) -> None:
    made(tmp_path, [*calls(), call(user_id=JANE, application="blog")]).close()
    run(tmp_path, "--events", "--application", "blog")
    with open_store(url(tmp_path), create=False) as store:
        assert [event.user_id for event in store.events()] == [JANE] * 3
    run(tmp_path, "--events")
    with open_store(url(tmp_path), create=False) as store:
        assert store.count() == 0
    assert files_with(tmp_path, JANE) == []


def test_what_dead_processes_left_is_taken_in_first(tmp_path: Path) -> None:
    """Calls that wait in the spool, ended or in flight when their process died, are forgotten like any."""
    made(tmp_path, []).close()
    process = start(
        """
        import os, signal, sys
        from mocked import ask, client, instrumented, open_stream
        instrumented(sys.argv[1], flush_interval=60)
        with client() as asking:
            stream = open_stream(asking, sys.argv[2])
            ask(asking, sys.argv[2])
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
        JANE,
    )
    process.communicate()
    assert [name for name in files_with(tmp_path, JANE) if name.endswith(".spool")] != []

    assert "2 calls forgotten" in run(tmp_path)

    assert files_with(tmp_path, JANE) == []


def test_a_running_process_has_them_still(tmp_path: Path) -> None:
    """What a living process holds is told, with the exit code 1; when it has ended, the next run is clean."""
    made(tmp_path, []).close()
    spool = Spool(tmp_path / "payi.db.spool", limit=1 << 24, wake=lambda: False)
    event = call(user_id=JANE)
    spool.append(record.ended(event.event_id, event))
    assert "of a running process: when that has ended, do it again" in run(tmp_path, code=1)
    spool.close()
    assert "1 call forgotten" in run(tmp_path)
    assert files_with(tmp_path, JANE) == []


def test_what_other_tables_hold_is_told(tmp_path: Path) -> None:
    """An id in a table that is not the store's own stays, and is told."""
    made(tmp_path, calls()).close()
    with sqlite3.connect(tmp_path / "payi.db") as other:
        other.execute("CREATE TABLE theirs (id)")
        other.execute("INSERT INTO theirs VALUES (?)", (JANE,))
    other.close()
    assert "tables that the server keeps" in run(tmp_path, code=1)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    made(tmp_path, []).close()
    (tmp_path / "payi.db.spool").mkdir()
    (tmp_path / "payi.db.spool" / f"1-a-0.spool{DAMAGED}").write_text(f"... {JANE} ...")
    assert "which is damaged: delete it" in run(tmp_path, code=1)
    assert json.loads(run(tmp_path, "--json", code=1))["left"] != []


def test_who_is_known_by_a_pseudonym(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting the calls under the pseudonym are forgotten, and those from before under the id."""
    key = "a key of some length"
    name = pseudonym(JANE, key)
    made(tmp_path, [*calls(), call(user_id=name), call(user_id="paul")]).close()
    monkeypatch.setenv("PAYI_PSEUDONYMIZE", key)

    assert f"{name}: 4 calls would be forgotten" in run(tmp_path, "--dry-run")
    run(tmp_path)

    assert files_with(tmp_path, JANE) == files_with(tmp_path, name) == []


def test_who_may_be_known_by_a_pseudonym(tmp_path: Path) -> None:
    """Where nothing is found without the key, the message says that one may be lacking."""
    made(tmp_path, [call(user_id=pseudonym(JANE, "a key of some length"))]).close()

    told = CliRunner().invoke(app, ["forget", "--store", url(tmp_path), "--user", JANE])

    assert told.stdout.startswith(f"{JANE}: 0 calls forgotten")
    assert "set PAYI_PSEUDONYMIZE to its key" in told.stderr


def test_a_spool_that_cannot_be_looked_at(tmp_path: Path) -> None:
    """A spool that is a link is not followed, so nothing is done that might be but half."""
    made(tmp_path, calls()).close()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "payi.db.spool").symlink_to(tmp_path / "elsewhere")
    assert "cannot be taken in" in run(tmp_path, code=1)
    with open_store(url(tmp_path), create=False) as store:
        assert [event.user_id for event in store.events()] == [JANE] * 3
