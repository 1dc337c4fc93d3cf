"""Whoever looks at many accounts, or resets them, holds up nobody: no lock is held for all of them, and nothing is counted wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import conformance
import postgres
import pytest
from conformance import USD, Team

from payi_middleware.limits import kept
from payi_middleware.limits.ledger import Account, Ledger
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.postgresql import PostgresqlLedger
from payi_middleware.limits.sqlite import SqliteLedger

USERS = [f'["user {number}"]' for number in range(10)]
PAGED: list[Callable[..., None]] = [
    conformance.each_key_has_an_account_of_its_own,
    conformance.a_reset_begins_anew_and_what_is_held_stays,
    conformance.a_reset_of_one_account_leaves_the_others,
    conformance.all_accounts_are_reset_in_one_instant,
    conformance.a_reset_of_all_is_of_all_slices,
    conformance.what_was_reset_with_all_can_be_pruned,
    conformance.a_limit_that_was_never_used_can_be_reset,
    conformance.a_rolling_window_is_never_passed,
    conformance.a_rolling_window_is_reset_and_corrected_as_a_whole,
    conformance.rows_that_are_over_can_be_pruned,
    conformance.accounts_of_instances_tell_when_they_were_begun,
]


@pytest.fixture(params=["sqlite", "postgresql"])
def two(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Ledger, Ledger]]:
    """A ledger, and the same of another process, which hardly waits for a lock."""
    if request.param == "sqlite":
        ledgers: list[Ledger] = [SqliteLedger(tmp_path / "a.ledger", timeout=timeout) for timeout in (5, 0.01)]
    else:
        url = postgres.database(empty=True)
        ledgers = [PostgresqlLedger(url, timeout=timeout) for timeout in (5, 0.2)]
    yield ledgers[0], ledgers[1]
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of so few rows that there are several."""
    for name in ("_PAGE", "_FEW"):
        monkeypatch.setattr(kept, name, 3)


def beside(team: Team, ledger: Ledger) -> Team:
    """The same application from another process."""
    other = Team(ledger)
    other.name = team.name
    return other


def spending(ledger: Ledger) -> tuple[Team, str]:
    """A dollar of each user."""
    team = Team(ledger)
    limit = team.limit("L", 5, per="user", window="month")
    for user in USERS:
        team.settle(conformance.call(), Account(limit, user))
    return team, limit


@pytest.mark.parametrize("look", ["totals", "history"])
def test_calls_go_on_while_accounts_are_read(
    look: str, two: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the very transaction that reads, another process counts."""
    team, limit = spending(two[0])
    other, was = beside(team, two[1]), kept.totals_of if look == "totals" else kept.is_history
    seen: list[Any] = []

    def meanwhile(*given: Any) -> Any:
        seen.append(other.reserve(Account(limit, USERS[0]), usd=0.1))
        return was(*given)

    monkeypatch.setattr(kept, was.__name__, meanwhile)
    getattr(two[0], look)(team.name, limit)
    assert len(seen) == len(USERS)
    assert all(map(conformance.admitted, seen))


def test_calls_go_on_while_accounts_are_reset(
    two: tuple[Ledger, Ledger], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pages of what is told of it; what they cost is after the reset of all, whoever has been told."""
    team, limit = spending(two[0])
    other, pauses = beside(team, two[1]), 0

    def rest(seconds: float) -> None:
        nonlocal pauses
        pauses += 1
        for user in USERS:
            other.settle(conformance.call(), Account(limit, user))

    monkeypatch.setattr(kept.forks, "rest", rest)
    past = two[0].reset(team.name, limit)
    monkeypatch.undo()

    assert pauses >= 3
    before = {one.totals.key: one.totals.spent // USD for one in past}
    after = {one.key: one.spent // USD for one in two[0].totals(team.name, limit)}
    assert before == dict.fromkeys(USERS, 1)
    assert after == dict.fromkeys(USERS, pauses)
    assert len({one.closed_ns for one in past}) == 1
    assert sorted(past) == sorted(two[1].history(team.name, limit))


def test_whoever_is_killed_after_a_reset_has_reset_all(
    two: tuple[Ledger, Ledger], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done before the first account is looked at."""
    team, limit = spending(two[0])

    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kept.forks, "rest", killed)
    with pytest.raises(KeyboardInterrupt):
        two[0].reset(team.name, limit)
    monkeypatch.undo()
    other = beside(team, two[1])
    assert [one.spent for one in two[1].totals(team.name, limit)] == [0] * len(USERS)
    assert [one.totals.spent for one in other.history(limit)] == [USD] * len(USERS)
    other.spend(Account(limit, USERS[3]), usd=2)
    assert [one.totals.spent for one in two[0].reset(team.name, limit)] == [2 * USD]


def test_a_limit_that_is_deleted_meanwhile_was_reset_before(
    two: tuple[Ledger, Ledger], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    team, limit = spending(two[0])
    monkeypatch.setattr(kept.forks, "rest", lambda seconds: two[1].remove(team.name, limit))
    past = two[0].reset(team.name, limit)
    assert len(past) == len(USERS)
    assert two[0].totals(team.name, limit) == []
    assert sorted(one for one in two[1].history(team.name, limit) if one.reset) == sorted(past)


def test_looking_writes_nothing(two: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a lease has ended, which is seen to first."""
    team, limit = spending(two[0])
    running = conformance.call()
    team.begin(Account(limit, USERS[0]), event=running)

    def never(*given: Any) -> None:
        raise AssertionError("a lease was looked for by writing")

    monkeypatch.setattr(type(two[0]), "run", never)
    assert team.stands(limit, USERS[0]) == (1, 1)


def test_no_change_of_all_accounts_reads_one_while_calls_wait(
    two: tuple[Ledger, Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A raise, another window, another zone, a reset, a deletion: each takes as long as for one account."""
    ledger = two[0]
    team, limit = spending(ledger)
    read: list[Any] = []
    for name in ("_rows_of", "_page_of"):
        was = getattr(ledger, name)
        monkeypatch.setattr(ledger, name, lambda *given, was=was: read.append(given) or was(*given))
    for terms in ({"window": "month"}, {"window": "year"}, {"window": "year", "timezone": "Asia/Tokyo"}):
        team.limit("L", 6, limit_id=limit, per="user", **terms)
    monkeypatch.setattr(ledger, "_closed_at", lambda known, turn: [turn.is_reset])  # who only looks holds up nobody
    assert ledger.reset(team.name, limit) == [True]
    assert ledger.remove(team.name, limit)
    assert read == []


def test_pruning_lets_calls_through(two: tuple[Ledger, Ledger], small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few accounts at a time, also of what they had come to at resets."""
    ledger = two[0]
    team, limit = spending(ledger)
    ledger.reset(team.name, limit)
    for user in USERS[:5]:
        team.spend(Account(limit, user), usd=2)
    pauses: list[float] = []
    monkeypatch.setattr(kept.forks, "rest", pauses.append)
    assert ledger.prune(ledger.now_ns()) == len(USERS)
    monkeypatch.undo()
    assert len(pauses) >= 4
    assert team.history(limit) == []
    assert sorted(one.spent // USD for one in ledger.totals(team.name, limit)) == [0] * 5 + [2] * 5


@pytest.mark.parametrize("case", PAGED, ids=conformance.name)
@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_pages_change_no_rule(
    kind: str, case: Callable[..., None], tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does an account of more rows than a page has."""
    monkeypatch.setattr(kept.forks, "rest", lambda seconds: None)
    clock = conformance.Clock()
    timed = (clock,) if case in conformance.TIMED else ()
    more: Any = {"clock": clock} if timed else {}
    ledger: Ledger = SqliteLedger(tmp_path / "a.ledger", **more) if kind == "sqlite" else MemoryLedger(**more)
    case(ledger, *timed)
    ledger.close()
