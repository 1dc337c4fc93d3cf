"""The ledger in SQLite keeps to all rules, and its file is as careful as the store's."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import budgets
import conformance
import pytest
from conformance import USD
from forking import in_child

from payi_middleware.exceptions import LedgerError
from payi_middleware.limits import sql, sqlite
from payi_middleware.limits.ledger import SETTLED_DAYS, Account, Stale
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.settings import Settings
from payi_middleware.store import open_store


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteLedger]:
    """One file for all cases that need no clock of their own."""
    ledger = SqliteLedger(tmp_path_factory.mktemp("shared") / "a.ledger")
    yield ledger
    ledger.close()


@pytest.mark.parametrize("case", conformance.CASES, ids=conformance.name)
def test_rules(case: Callable[[Any], None], shared: SqliteLedger) -> None:
    case(shared)


@pytest.mark.parametrize("case", conformance.TIMED, ids=conformance.name)
def test_rules_of_time(case: Callable[[Any, conformance.Clock], None], tmp_path: Path) -> None:
    clock = conformance.Clock()
    ledger = SqliteLedger(tmp_path / "a.ledger", clock=clock)
    case(ledger, clock)
    ledger.close()


def spending(ledger: SqliteLedger) -> conformance.Team:
    """An application that has spent a dollar of its limit `L`, whose id is `L` too."""
    team = conformance.Team(ledger)
    team.limit("L", 5, limit_id="L")
    team.spend("L")
    return team


def test_nothing_is_made_before_it_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.ledger"
    ledger = SqliteLedger(path)
    assert not path.parent.exists()
    assert ledger.id.startswith("sqlite:")
    again = SqliteLedger(path)
    assert again.id == ledger.id
    ledger.close()
    ledger.close()
    again.close()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "a.ledger").symlink_to(tmp_path / "real")
    with pytest.raises(LedgerError, match=r"^ledger .* is a symbolic link"):
        SqliteLedger(tmp_path / "a.ledger").run([])


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "a.ledger")) as other:
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(LedgerError, match=r"^ledger .* another program"):
        SqliteLedger(tmp_path / "a.ledger").definitions("app")


def test_a_store_is_no_ledger(tmp_path: Path) -> None:
    open_store(Settings(store=f"sqlite:///{tmp_path / 'payi.db'}"), create=True).close()
    with pytest.raises(LedgerError, match="another program"):
        SqliteLedger(tmp_path / "payi.db").definitions("app")


def test_a_file_of_a_newer_version(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "a.ledger")
    ledger.run([])
    ledger.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "a.ledger")) as newer:
        newer.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match=r"^ledger .* newer version .*upgrade"):
        ledger.run([])


def test_a_file_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    """With all that was counted in it; by the first of several that open it."""
    path = tmp_path / "a.ledger"
    ledger = SqliteLedger(path)
    team = conformance.Team(ledger)
    limit = team.limit("L", 9, per="user")
    jane = Account(limit, '["jane"]')
    team.spend(jane, usd=3)
    ledger.reset(team.name, limit, jane.key)
    team.spend(jane, usd=2)
    ledger.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (
            "ALTER TABLE limits DROP COLUMN turns",
            "ALTER TABLE rows DROP COLUMN turn",
            "DROP INDEX resets_account",
            "CREATE INDEX resets_number ON resets (number)",
            "CREATE INDEX rows_ends ON rows (number, ends_ns)",
            "PRAGMA user_version = 1",
        ):
            connection.execute(statement)
    first, second = SqliteLedger(path), SqliteLedger(path)
    assert [one.spent for one in first.totals(team.name, limit)] == [2 * USD]
    assert [one.totals.spent for one in second.reset(team.name, limit)] == [2 * USD]
    assert [one.spent for one in first.totals(team.name, limit)] == [0]
    assert sorted(one.totals.spent for one in first.history(team.name, limit)) == [2 * USD, 3 * USD]
    first.close()
    second.close()


def test_no_database_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.ledger").write_text("this is no database " * 100)
    with pytest.raises(LedgerError, match=r"^ledger .* is no SQLite database"):
        SqliteLedger(tmp_path / "a.ledger").run([])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match=r"^ledger .* create the folder"):
        SqliteLedger(tmp_path / "file" / "a.ledger").run([])


def test_a_lock_that_nobody_gives_back(tmp_path: Path) -> None:
    """It says so in time, nothing is counted, and it goes on when the lock is free."""
    ledger = SqliteLedger(tmp_path / "a.ledger", timeout=0.05)
    team = spending(ledger)
    step = team.ask("L")
    with contextlib.closing(sqlite3.connect(tmp_path / "a.ledger", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="is locked by another program"):
            ledger.run([step])
        other.execute("ROLLBACK")
    assert team.stands("L") == (1, 0)
    conformance.admitted(team.do(step))
    ledger.close()


def test_what_another_process_changes_is_seen(tmp_path: Path) -> None:
    one, two = SqliteLedger(tmp_path / "a.ledger"), SqliteLedger(tmp_path / "a.ledger")
    team = spending(one)
    event = team.begin("L", usd=3)
    other = conformance.Team(two)
    other.name = team.name
    assert other.stands("L") == (1, 3)
    other.settle(event, "L", usd=2)
    assert team.stands("L") == (3, 0)
    assert team.settle(event, "L").fresh is False
    stale = team.ask("L")
    other.limit("L", 3, limit_id="L")
    assert isinstance(team.do(stale), Stale)
    assert conformance.blocked(team.reserve("L")) == {"L": "blocked"}
    one.close()
    two.close()


def test_a_file_that_is_moved_away_while_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one is begun; what was counted is in the old."""
    monkeypatch.setattr(sqlite, "_LOOK_NS", 0)
    ledger = SqliteLedger(tmp_path / "a.ledger")
    team, first = spending(ledger), ledger.id
    (tmp_path / "a.ledger").rename(tmp_path / "old.ledger")
    assert ledger.definitions(team.name).limits == ()
    assert ledger.id != first
    spending(ledger)
    ledger.close()
    old = SqliteLedger(tmp_path / "old.ledger")
    assert old.id == first
    (totals,) = old.totals(team.name, "L")
    assert totals.spent == conformance.USD
    old.close()


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "a.ledger")
    team = spending(ledger)
    wrong: Any = "no step"
    with pytest.raises(Exception, match="str"):
        ledger.run([team.ask("L"), wrong])
    assert team.stands("L") == (1, 0)
    assert team.held() == []
    ledger.close()


def test_a_commit_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = SqliteLedger(tmp_path / "a.ledger")
    team = spending(ledger)
    step = team.ask("L")

    def failing() -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "commit", failing)
        with pytest.raises(LedgerError, match="No space left"):
            ledger.run([step])
    assert team.stands("L") == (1, 0)
    ledger.close()


def test_a_corrupt_file_is_said_to_be_and_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.ledger"
    ledger = SqliteLedger(path)
    team = spending(ledger)
    ledger.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:1024] + b"\xff" * (len(whole) - 1024))
    with pytest.raises(LedgerError, match=r"^ledger .* is corrupt; move .* away"):
        ledger.run([team.ask("L")])
    path.write_bytes(whole)
    assert team.stands("L") == (1, 0)
    ledger.close()


def test_another_process_does_not_set_the_clock_back(tmp_path: Path) -> None:
    clock = conformance.Clock()
    ledger = SqliteLedger(tmp_path / "a.ledger", clock=clock)
    team = conformance.Team(ledger)
    team.limit("L", 1, limit_id="L", window="hour")
    clock.advance(conformance.HOUR)
    team.spend("L")
    greatest = ledger.now_ns()
    ledger.close()
    clock.advance(-conformance.HOUR)
    later = SqliteLedger(tmp_path / "a.ledger", clock=clock)
    assert 0 <= later.now_ns() - greatest <= conformance.NS
    assert [totals.spent for totals in later.totals(team.name, "L")] == [conformance.USD]
    later.close()


def test_events_that_are_settled_do_not_pile_up(tmp_path: Path) -> None:
    """Those whose time has come are deleted while others come, a few at a time."""
    clock = conformance.Clock()
    ledger = SqliteLedger(tmp_path / "a.ledger", clock=clock)
    team = conformance.Team(ledger)
    team.limit("L", 5000, limit_id="L")

    def kept() -> int:
        with contextlib.closing(sqlite3.connect(tmp_path / "a.ledger")) as reading:
            return int(reading.execute("SELECT count(*) FROM settled").fetchone()[0])

    for _ in range(4):
        ledger.run([team.told(conformance.call(), "L") for _ in range(250)])
        clock.advance(2)
    assert kept() == 1000
    clock.advance(SETTLED_DAYS * conformance.DAY)
    for _ in range(12):
        ledger.run([team.told(conformance.call(), "L") for _ in range(250)])
        clock.advance(2)
    assert kept() == 12 * 250
    assert team.stands("L") == (4000, 0)
    ledger.close()


def test_what_is_settled_is_forgotten_also_where_more_is_always_settled(tmp_path: Path) -> None:
    """As under steady traffic: the look goes round even if it always finds what came since."""
    clock = conformance.Clock()
    ledger = SqliteLedger(tmp_path / "a.ledger", clock=clock)
    team = conformance.Team(ledger)
    team.limit("L", 5000, limit_id="L")
    ids = iter(sorted(conformance.call() for _ in range(400)))  # as the clock gives them

    def settle(count: int) -> int:
        """And how many are remembered."""
        for _ in range(count):
            ledger.run([team.told(next(ids), "L") for _ in range(10)])
            clock.advance(2)
        with contextlib.closing(sqlite3.connect(tmp_path / "a.ledger")) as reading:
            return int(reading.execute("SELECT count(*) FROM settled").fetchone()[0])

    assert settle(20) == 200
    clock.advance(SETTLED_DAYS * conformance.DAY)
    assert settle(20) == 200
    ledger.close()


def test_more_leases_end_than_one_transaction_takes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "_MOST_LAPSING", 10)
    clock = conformance.Clock()
    ledger = SqliteLedger(tmp_path / "a.ledger", clock=clock)
    team = conformance.Team(ledger)
    team.limit("L", 100, limit_id="L")
    for _ in range(35):
        team.begin("L")
    clock.advance(ledger.lease_seconds)
    held = [team.stands("L")[1] for _ in range(5)]
    assert held == [25, 15, 5, 0, 0]
    ledger.close()


def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "a.ledger")
    team = spending(ledger)

    def child() -> str:
        team.spend("L")
        ledger.close()
        return f"{team.totals('L').spent // conformance.USD}"

    assert in_child(child) == "2"
    assert team.stands("L") == (2, 0)
    ledger.close()


def test_who_had_to_wait_for_the_lock_stands_back_afterwards(tmp_path: Path) -> None:
    """Else others, whom nobody wakes, would never find it free; by itself a process never waits."""
    path = tmp_path / "a.ledger"
    ledger, other = SqliteLedger(path), SqliteLedger(path)
    ledger.now_ns()
    assert ledger._way_until == 0
    other.now_ns()
    other.begin()
    threading.Timer(0.02, other.commit).start()
    ledger.now_ns()
    began = time.monotonic()
    assert began < ledger._way_until < began + 0.01
    ledger.now_ns()
    assert time.monotonic() > began + 0.001
    time.sleep(0.03)
    ledger.now_ns()
    ledger.now_ns()
    assert ledger._way_until == 0
    ledger.close()
    other.close()


def test_the_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is copied into the file between transactions, and begins anew when it is long."""
    monkeypatch.setattr(sqlite, "_COMMITS", 50)
    monkeypatch.setattr(sqlite, "_APART", 0.0)
    monkeypatch.setattr(sqlite, "_LONG_LOG", 200)
    ledger = SqliteLedger(tmp_path / "a.ledger")
    budgets.define(ledger, "app", 10**6, strict=False)
    version = ledger.definitions("app").version
    for _ in range(400):
        reserve, settle = budgets.steps("app", version, budgets.CALL)
        ledger.run([reserve, settle])
    assert (tmp_path / "a.ledger-wal").stat().st_size < 500 * 1048  # of some 1,200 pages
    assert (tmp_path / "a.ledger").stat().st_size > 20 * 1024
    assert ledger.totals("app", budgets.LIMIT)[0].spent == 400 * budgets.CALL
    ledger.close()


def test_limits_of_many_applications_are_read_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for the lock meanwhile."""
    ledger = SqliteLedger(tmp_path / "a.ledger")
    for n in range(20):
        budgets.define(ledger, f"app-{n}", n + 1, strict=False)
    ledger.remove("app-7", budgets.LIMIT)
    ledger.close()
    passes: list[tuple[Any, ...]] = []
    limits = SqliteLedger._limits

    def counted(self: SqliteLedger, *given: Any) -> Any:
        passes.append(given)
        return limits(self, *given)

    monkeypatch.setattr(SqliteLedger, "_limits", counted)
    other = SqliteLedger(tmp_path / "a.ledger")
    found = {n: other.definitions(f"app-{n}").limits for n in range(20)}
    assert passes == [()]
    assert {n: [one.limit.most for one in own] for n, own in found.items()} == {
        n: [(n + 1) * 10**10] if n != 7 else [] for n in range(20)
    }
    other.close()
