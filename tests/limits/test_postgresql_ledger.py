"""The ledger in PostgreSQL keeps to all rules, on a real server."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import conformance
import postgres
import psycopg
import pytest
from forking import in_child

from payi_middleware.exceptions import LedgerError
from payi_middleware.limits.ledger import SETTLED_DAYS, Account, Release, Stale
from payi_middleware.limits.postgresql import PostgresqlLedger
from payi_middleware.limits.sql import TOGETHER


@pytest.fixture(scope="module")
def url() -> str:
    """A database for all of this file."""
    return postgres.database(empty=True)


@pytest.fixture(scope="module")
def shared(url: str) -> Iterator[PostgresqlLedger]:
    """One ledger for all cases that need no clock of their own."""
    ledger = PostgresqlLedger(url)
    yield ledger
    ledger.close()


@pytest.mark.parametrize("case", conformance.CASES, ids=conformance.name)
def test_rules(case: Callable[[Any], None], shared: PostgresqlLedger) -> None:
    case(shared)


@pytest.mark.parametrize("case", conformance.TIMED, ids=conformance.name)
def test_rules_of_time(case: Callable[[Any, conformance.Clock], None]) -> None:
    clock = conformance.Clock()
    ledger = PostgresqlLedger(postgres.database(empty=True), clock=clock)
    case(ledger, clock)
    ledger.close()


class Ticking(conformance.Clock):
    """Moves each time that it is looked at."""

    ticks = 0

    def __call__(self) -> int:
        self.advance(self.ticks)
        return self.ns


def test_what_lapses_while_a_run_begins_anew_is_left_to_the_next() -> None:
    clock, url = Ticking(), postgres.database(empty=True)
    ledger = PostgresqlLedger(url, clock=clock)
    team = conformance.Team(ledger)
    first, second = team.limit("first", 5), team.limit("second", 5)
    team.begin(first)
    clock.advance(1)
    team.begin(second)
    clock.advance(ledger.lease_seconds - 2)
    clock.ticks = 1  # the first has lapsed as the run begins, the second as it begins again
    ledger.run([Release(conformance.call())])
    clock.ticks = 0
    with psycopg.connect(url) as connection:
        held = connection.execute("SELECT held FROM payi_ledger.rows ORDER BY number").fetchall()
    assert held == [(0,), (conformance.USD,)]
    assert (team.stands(first), team.stands(second)) == ((0, 0), (0, 0))
    ledger.close()


def beside(team: conformance.Team, url: str, **more: Any) -> conformance.Team:
    """The same application from another process."""
    other = conformance.Team(PostgresqlLedger(url, **more))
    other.name = team.name
    return other


def test_what_another_process_changes_is_seen(shared: PostgresqlLedger, url: str) -> None:
    team = conformance.Team(shared)
    limit = team.limit("L", 5)
    event = team.begin(limit, usd=3)
    other = beside(team, url)
    assert other.ledger.id == shared.id
    assert other.stands(limit) == (0, 3)
    other.settle(event, usd=2)  # it names no accounts: those that hold it are found
    assert team.stands(limit) == (2, 0)
    assert team.settle(event, limit).fresh is False
    stale = team.ask(limit)
    other.limit("L", 1, limit_id=limit)
    assert isinstance(team.do(stale), Stale)
    other.ledger.close()


def test_a_lease_of_another_account_ends(shared: PostgresqlLedger, url: str) -> None:
    """What it held is taken back by whoever comes next, though his own call is about another account."""
    team = conformance.Team(shared)
    limit = team.limit("L", 1, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    short = beside(team, url, lease_seconds=0.05)
    short.begin(jane)
    short.begin(bob)
    time.sleep(0.06)
    conformance.admitted(team.reserve(jane))  # bob's is swept on the way
    assert team.stands(limit, '["bob"]') == (0, 0)
    assert team.stands(limit, '["jane"]') == (0, 1)
    short.ledger.close()


def test_runs_that_meet_in_another_order(shared: PostgresqlLedger, url: str) -> None:
    """Nobody waits for somebody who waits for him."""
    team = conformance.Team(shared)
    limit = team.limit("L", 10_000, per="user")
    accounts = [Account(limit, f'["{n}"]') for n in range(6)]
    failed: list[BaseException] = []

    def work(seed: int) -> None:
        other, chance = beside(team, url), random.Random(seed)
        try:
            for _ in range(15):
                some = chance.sample(accounts, 3)
                event = other.begin(*some, usd=1)
                other.ledger.run([other.told(event, *some, usd=1), other.told(conformance.call(), some[0], usd=1)])
        except BaseException as error:
            failed.append(error)
        finally:
            other.ledger.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sum(totals.spent for totals in shared.totals(team.name, limit)) == 4 * 15 * 4 * conformance.USD
    assert sum(totals.held for totals in shared.totals(team.name, limit)) == 0


def test_a_reset_between_the_begin_of_a_run_and_its_lock(
    shared: PostgresqlLedger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run sees it: nothing that it counts is of before, and what was told of the reset stays true."""
    team = conformance.Team(shared)
    limit = team.limit("L", 9, per="user")
    jane = Account(limit, '["jane"]')
    team.spend(jane, usd=3)
    other, told, was = beside(team, url), list[Any](), shared._look_up

    def meanwhile(steps: Any) -> None:
        if not told:
            told.extend(other.ledger.reset(team.name, limit))
        was(steps)

    monkeypatch.setattr(shared, "_look_up", meanwhile)
    team.settle(conformance.call(), jane, usd=1)
    assert [one.totals.spent for one in told] == [3 * conformance.USD]
    assert other.history(limit) == told
    assert other.stands(limit, jane.key) == (1, 0)
    other.ledger.close()


def test_tables_of_the_first_version_are_taken_over() -> None:
    """With all that was counted in them."""
    url = postgres.database(empty=True)
    ledger = PostgresqlLedger(url)
    team = conformance.Team(ledger)
    limit = team.limit("L", 9, per="user")
    jane = Account(limit, '["jane"]')
    team.spend(jane, usd=2)
    ledger.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET search_path = payi_ledger")
        for statement in (
            "ALTER TABLE limits DROP COLUMN turns",
            "ALTER TABLE rows DROP COLUMN turn",
            "DROP INDEX resets_account",
            "CREATE INDEX resets_number ON resets (number)",
            "CREATE INDEX rows_ends ON rows (number, ends_ns)",
        ):
            connection.execute(statement)
    assert [one.totals.spent for one in ledger.reset(team.name, limit)] == [2 * conformance.USD]
    assert team.stands(limit, jane.key) == (0, 0)
    ledger.close()


def test_a_connection_that_was_lost_is_made_anew(shared: PostgresqlLedger) -> None:
    team = conformance.Team(shared)
    limit = team.limit("L", 5)
    assert shared._connection is not None
    postgres.server().execute(f"SELECT pg_terminate_backend({shared._connection.info.backend_pid})")
    team.spend(limit)
    assert team.stands(limit) == (1, 0)


def test_a_server_that_cannot_be_reached() -> None:
    ledger = PostgresqlLedger("postgresql://jane:secret@127.0.0.1:1/db")
    with pytest.raises(LedgerError, match=r"^ledger postgresql://jane@.* cannot be reached; check") as raised:
        ledger.run([])
    assert "secret" not in str(raised.value)
    ledger.close()


def test_a_lock_that_nobody_gives_back(shared: PostgresqlLedger, url: str) -> None:
    team = conformance.Team(shared)
    limit = team.limit("L", 5)
    team.spend(limit)
    hasty = beside(team, url, timeout=0.05)
    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM payi_ledger.accounts FOR UPDATE")
        with pytest.raises(LedgerError, match="is locked by another program"):
            hasty.reserve(limit)
    conformance.admitted(hasty.reserve(limit))
    hasty.ledger.close()


def test_a_forked_child_has_a_connection_of_its_own(shared: PostgresqlLedger) -> None:
    team = conformance.Team(shared)
    limit = team.limit("L", 5)
    team.spend(limit)

    def child() -> str:
        team.spend(limit)
        shared.close()
        return f"{team.totals(limit).spent // conformance.USD}"

    assert in_child(child) == "2"
    assert team.stands(limit) == (2, 0)


def test_events_that_are_settled_are_moved_and_in_time_deleted() -> None:
    clock = conformance.Clock()
    url = postgres.database(empty=True)
    ledger = PostgresqlLedger(url, clock=clock)
    team = conformance.Team(ledger)
    limit = team.limit("L", 5000)

    def kept() -> list[int]:
        with psycopg.connect(url) as reading:
            return [
                reading.execute(f"SELECT count(*) FROM payi_ledger.{name}").fetchone()[0]
                for name in ("holds", "settled")
            ]

    events = [step.event_id for step in (team.ask(limit) for _ in range(300))]
    ledger.run([team.ask(limit, event=event) for event in events])
    ledger.run([team.told(event, limit) for event in events])
    assert kept() == [0, 300]
    assert team.settle(events[0], limit).fresh is False
    clock.advance(SETTLED_DAYS * conformance.DAY)
    for _ in range(2):
        clock.advance(2)
        team.do(Release(conformance.call()))
    assert kept() == [0, 0]
    ledger.close()


def test_a_call_that_ends_while_what_is_settled_is_moved(
    shared: PostgresqlLedger, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record is not deleted with those that were moved: told again it is not counted again."""
    team = conformance.Team(shared)
    limit = team.limit("L", 5000, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    other, was, ended = beside(team, url), shared._do, list[Any]()
    event = other.begin(bob)

    def meanwhile(sql: str, rows: Any) -> None:
        was(sql, rows)
        if "state >= 2" in sql and not ended:
            shared._ask("SELECT 1", ())  # sent and done
            ended.append(other.settle(event, bob))

    monkeypatch.setattr(shared, "_do", meanwhile)
    events = [conformance.call() for _ in range(TOGETHER)]
    shared.run([team.ask(jane, event=one) for one in events])
    shared.run([team.told(one, jane) for one in events])
    assert [one.fresh for one in ended] == [True]
    assert other.settle(event, bob).fresh is False
    assert team.stands(limit, bob.key) == (1, 0)
    other.ledger.close()


def test_accounts_whose_rows_are_pruned_go_too() -> None:
    clock, url = conformance.Clock(), postgres.database(empty=True)
    ledger = PostgresqlLedger(url, clock=clock)
    team = conformance.Team(ledger)
    hourly, ever = team.limit("hourly", 5, per="user", window="hour"), team.limit("ever", 5)
    team.spend(Account(hourly, '["jane"]'), Account(ever))
    clock.advance(conformance.DAY)
    assert ledger.prune(clock.ns) == 1
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT key FROM payi_ledger.accounts").fetchall() == [("",)]
    team.spend(Account(hourly, '["jane"]'), Account(ever))
    assert team.stands(hourly, '["jane"]') == (1, 0)
    ledger.close()
