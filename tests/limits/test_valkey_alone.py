"""What the ledger in Valkey does of a step by itself: it decides as of several, and leaves to those what is not as usual."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.limits.ledger import Account, Admitted, Amount, Reserve, Settle, Stale
from payi_middleware.limits.valkey import ValkeyLedger

sys.path.insert(0, str(Path(__file__).parent))

from conformance import NS, USD, Clock, Team, admitted, blocked, call

NOON_TO_MIDNIGHT = 12 * 3_600


class Ticking(Clock):
    """Moves each time that it is looked at."""

    ticks = 0

    def __call__(self) -> int:
        self.advance(self.ticks)
        return self.ns


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def ledger(valkey: Any, clock: Ticking) -> Iterator[ValkeyLedger]:
    ledger = ValkeyLedger(f"valkey://127.0.0.1:{valkey.port}?name={uuid.uuid4().hex}", clock=clock)
    yield ledger
    ledger.close()


@pytest.fixture
def team(ledger: ValkeyLedger) -> Team:
    return Team(ledger)


@pytest.fixture
def kinds(ledger: ValkeyLedger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each run of steps was answered: `alone`, or `done` by what does several."""
    found: list[str] = []
    ask = ledger._client.ask

    def noted(script: Any, asked: list[Any]) -> Any:
        told = ask(script, asked)
        if script.function:
            found.append(told[0])
        return told

    monkeypatch.setattr(ledger._client, "ask", noted)
    return found


def named(ledger: ValkeyLedger, name: str) -> str:
    return f"{ledger._client.address.key}:{name}"


def test_the_usual_is_done_alone(team: Team, kinds: list[str], valkey: Any) -> None:
    limits = [
        team.limit("plain", 3),
        team.limit("told", 2, alerts=(0.5,)),
        team.limit("strict", 2, strict=True),
        team.limit("calls", 2, unit="calls", window="day"),
        team.limit("tokens", 20, unit="tokens"),
    ]
    for limit in limits:
        team.spend(limit)  # the row is made, and the alert told
    kinds.clear()
    for limit in limits:
        team.spend(limit)
    assert kinds == ["alone"] * 10
    assert [(team.totals(limit).spent, team.totals(limit).held) for limit in limits] == [
        (2 * USD, 0),
        (2 * USD, 0),
        (2 * USD, 0),
        (2, 0),
        (20, 0),
    ]
    assert b"payi_alone" in valkey.redis.execute_command("FUNCTION LIST")[0][1]


def test_an_account_that_tells_when_it_was_begun_keeps_that(
    team: Team, ledger: ValkeyLedger, clock: Ticking, kinds: list[str]
) -> None:
    limit = team.limit("run", 3, per="instance")
    run = Account(limit, '["run"]')
    begun = clock.ns
    team.spend(run)
    clock.advance(3)
    kinds.clear()
    (standing,) = admitted(team.reserve(run))
    assert kinds == ["alone"]
    assert (standing.starts_ns, standing.resets_ns) == (None, None)
    assert [row.ends_ns for row in ledger._rows(1)] == [begun]


def test_about_several_limits_all_or_nothing_is_done(team: Team, kinds: list[str]) -> None:
    limits = [team.limit("first", 9), team.limit("second", 3, window="day"), team.limit("third", 19, unit="tokens")]
    team.spend(*limits)
    kinds.clear()
    states = team.spend(*limits, usd=2).states
    assert states == dict(zip(limits, ("ok", "exceeded", "overrun"), strict=True))
    assert kinds == ["alone", "alone"]
    states = blocked(team.reserve(*limits))
    assert states == {"first": "blocked_external", "second": "blocked", "third": "blocked"}
    assert [(team.totals(limit).spent, team.totals(limit).held) for limit in limits] == [
        (3 * USD, 0),
        (3 * USD, 0),
        (20, 0),
    ]


def test_of_two_accounts_of_a_limit_the_worse_state_is_told(team: Team, kinds: list[str]) -> None:
    limit = team.limit("L", 2, per="user")
    jane, bob = Account(limit, '["jane"]'), Account(limit, '["bob"]')
    team.spend(jane, usd=1.5)
    team.spend(bob, usd=0.5)
    kinds.clear()
    assert team.spend(jane, bob).states == {limit: "overrun"}
    assert kinds == ["done", "done"]


def test_a_call_counts_where_it_was_reserved_whatever_its_end_names(team: Team) -> None:
    first, second, users = team.limit("first", 9), team.limit("second", 9), team.limit("users", 9, per="user")
    jane, bob = Account(users, '["jane"]'), Account(users, '["bob"]')
    for one in (first, second, jane, bob):
        team.spend(one)
    team.settle(team.begin(first), second)
    team.settle(team.begin(jane), bob)
    team.settle(team.begin(first, second), first)
    assert [team.stands(limit) for limit in (first, second)] == [(3, 0), (2, 0)]
    assert [team.stands(users, user.key) for user in (jane, bob)] == [(2, 0), (1, 0)]


def test_what_is_refused_or_tells_an_alert_is_not(team: Team, kinds: list[str]) -> None:
    limit = team.limit("L", 2, alerts=(1,))
    team.spend(limit)
    assert team.spend(limit).crossed
    assert blocked(team.reserve(limit)) == {"L": "blocked"}
    assert kinds == ["done", "alone", "alone", "done", "done"]


def test_of_a_strict_limit_an_unknown_cost_is_what_was_held(team: Team) -> None:
    limit = team.limit("L", 9, strict=True)
    team.spend(limit)
    team.settle(team.begin(limit, usd=3), limit, usd=1, known=False)
    assert team.stands(limit) == (4, 0)


def test_failed_calls_are_counted_as_such(team: Team) -> None:
    limit = team.limit("L", 9)
    team.spend(limit)
    team.spend(limit, failed=True)
    assert (team.totals(limit).requests["ok"], team.totals(limit).requests["failed"]) == (1, 1)


def test_what_does_not_count_is_added_to_none(team: Team) -> None:
    limit = team.limit("L", 9)
    team.spend(limit)
    team.settle(team.begin(limit), limit, usd=1, counts=False)
    assert team.stands(limit) == (2, 0)
    assert sum(team.totals(limit).requests.values()) == 1


def test_amounts_beyond_what_a_double_tells_are_exact(team: Team) -> None:
    limit = team.limit("L", 10**8)
    team.spend(limit, usd=1 / USD)

    def spend(ticks: int) -> None:
        event = team.begin(limit)
        team.do(Settle(event, team.name, team.ask(limit).accounts, ticks, 0, 1, 2**62))

    for ticks in (2**53 + 1, 1):
        spend(ticks)
    assert team.totals(limit).spent == 2**53 + 3
    assert team.totals(limit).input_ticks == 2**53 + 2


def test_a_step_written_before_midnight_counts_to_the_day_in_which_it_is_done(team: Team, clock: Ticking) -> None:
    limit = team.limit("L", 9, window="day")
    team.spend(limit)
    asked = team.ask(limit)
    clock.advance(NOON_TO_MIDNIGHT - 1.5)
    clock.ticks = 1  # it is written half a second before, and sent half a second after
    assert isinstance(team.do(asked), Admitted)
    clock.ticks = 0
    assert team.stands(limit) == (0, 1)


def test_a_call_is_settled_in_the_day_in_which_it_was_reserved(team: Team, clock: Ticking) -> None:
    limit = team.limit("L", 9, window="day")
    team.spend(limit)
    clock.advance(NOON_TO_MIDNIGHT - 1)
    event = team.begin(limit, usd=3)
    clock.advance(2)
    team.spend(limit)
    team.settle(event, limit, usd=2, at_ns=clock.ns)
    assert team.stands(limit) == (1, 0)
    assert [past.totals.spent for past in team.history(limit)] == [3 * USD]


def test_what_was_no_longer_held_is_not_taken_back_again(team: Team, ledger: ValkeyLedger, clock: Ticking) -> None:
    limit = team.limit("L", 9)
    event, other = team.begin(limit, usd=2), team.begin(limit)
    clock.advance(ledger.lease_seconds - 1)
    team.begin(limit, usd=4)
    clock.advance(1)
    assert team.stands(limit) == (0, 4)
    for one in (event, other):
        team.settle(one, limit, usd=1)
    assert team.stands(limit) == (2, 4)


def test_history_has_the_limit_that_held_last(team: Team, clock: Ticking) -> None:
    limit = team.limit("L", 5, window="day")
    team.spend(limit)
    team.limit("L", 7, limit_id=limit, window="day")
    team.begin(limit)
    clock.advance(86_400)
    assert [past.most for past in team.history(limit)] == [7 * USD]


def test_the_clock_is_kept(team: Team, ledger: ValkeyLedger, valkey: Any, clock: Ticking, kinds: list[str]) -> None:
    limit = team.limit("L", 9)
    team.spend(limit)
    asked = team.ask(limit)
    clock.advance(5)
    team.do(asked)
    assert kinds[-1] == "alone"
    assert int(valkey.redis.get(named(ledger, "clock"))) == clock.ns // 1_000


def test_what_was_asked_of_other_limits_is_stale(team: Team, valkey: Any, ledger: ValkeyLedger, clock: Ticking) -> None:
    limit = team.limit("L", 9)
    team.spend(limit)
    asked, event = team.ask(limit), team.begin(limit)
    other = Team(ValkeyLedger(f"valkey://127.0.0.1:{valkey.port}?name={ledger._client.address.key[6:-1]}", clock=clock))
    other.name = team.name
    other.limit("L", 1, limit_id=limit)
    assert team.settle(event, limit).states == {limit: "overrun"}
    assert team.do(asked) == Stale(other.version)
    other.ledger.close()


def test_a_row_that_is_to_last_longer_does(team: Team, clock: Ticking) -> None:
    clock.advance(NOON_TO_MIDNIGHT)
    limit = team.limit("L", 9, window="hour")
    team.spend(limit)
    team.limit("L", 9, limit_id=limit, window="day")
    team.spend(limit)
    (standing,) = admitted(team.reserve(limit))
    assert standing.resets_ns == clock.ns + 86_400 * NS


def test_an_account_goes_through_a_reset_of_all_among_others_and_is_done_alone_again(
    team: Team, ledger: ValkeyLedger, kinds: list[str]
) -> None:
    limit = team.limit("L", 9, per="user")
    jane = Account(limit, '["jane"]')
    team.spend(jane)
    assert [one.totals.spent for one in ledger.reset(team.name, limit)] == [USD]
    version = team.version
    kinds.clear()
    for _ in range(2):
        step = Reserve(call(), team.name, version, (jane,), Amount(USD, 1))
        assert isinstance(team.do(step), Admitted)
        team.settle(step.event_id, jane)
    assert kinds == ["done", "alone", "alone", "alone"]
    assert team.stands(limit, jane.key) == (2, 0)
    assert [one.totals.spent for one in team.history(limit)] == [USD]


def test_leases_that_are_over_end(team: Team, ledger: ValkeyLedger, clock: Ticking, valkey: Any) -> None:
    held, busy = team.limit("held", 9), team.limit("busy", 9)
    team.begin(held)
    team.spend(busy)
    steps = [team.ask(busy) for _ in range(2)]
    clock.advance(ledger.lease_seconds)
    for step in steps:
        team.do(step)
    assert valkey.redis.zcard(named(ledger, "leases")) == 2


def test_a_step_is_done_once(team: Team) -> None:
    limit = team.limit("L", 9)
    team.spend(limit)
    asked = team.ask(limit)
    assert team.do(asked) == team.do(asked)
    assert team.settle(asked.event_id, limit).fresh
    assert not team.settle(asked.event_id, limit).fresh
    assert isinstance(team.do(asked), Admitted)
    assert team.stands(limit) == (2, 0)
