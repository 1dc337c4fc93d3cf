"""Of a rolling window the ledger in Valkey keeps what all slices come to beside them: it never outlives what it was added up from."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.limits.ledger import Account
from payi_middleware.limits.valkey import ValkeyLedger

sys.path.insert(0, str(Path(__file__).parent))

from conformance import HOUR, NS, Clock, Team, admitted, blocked, call


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def team(valkey: Any, clock: Clock) -> Iterator[Team]:
    ledger = ValkeyLedger(f"valkey://127.0.0.1:{valkey.port}?name={uuid.uuid4().hex}", clock=clock)
    yield Team(ledger)
    ledger.close()


def slices(valkey: Any, team: Team) -> list[bytes]:
    """The keys of an account's slices, the oldest first."""
    rows = valkey.redis.keys(f"{key_of(team)}:r:*")
    return sorted(rows, key=lambda name: int(name.rsplit(b":", 2)[1]))


def key_of(team: Team) -> str:
    key: str = team.ledger._client.address.key  # type: ignore[attr-defined]
    return key


def test_an_account_that_rested_while_its_slices_went_has_room_again(valkey: Any, team: Team, clock: Clock) -> None:
    limit = team.limit("L", 5, window="1h")
    team.spend(limit, usd=5)
    clock.advance(0.9 * HOUR)
    assert blocked(team.reserve(limit)) == {"L": "blocked"}
    # Two windows after its slice ended, but not yet two after the refusal.
    clock.advance(1.2 * HOUR)
    valkey.redis.delete(slices(valkey, team)[0])
    assert [one.spent for one in admitted(team.reserve(limit, usd=2))] == [0]
    assert team.stands(limit) == (0, 2)


def test_an_account_whose_sum_is_older_than_a_window_is_added_up_anew(valkey: Any, team: Team, clock: Clock) -> None:
    """The index forgot its slice, too."""
    limit = team.limit("L", 5, window="1h")
    team.spend(limit, usd=5)
    clock.advance(1.5 * HOUR)
    valkey.redis.delete(slices(valkey, team)[0], f"{key_of(team)}:x:1:")
    assert [one.spent for one in admitted(team.reserve(limit, usd=2))] == [0]


def test_a_slice_that_went_early_is_not_counted_for_ever(valkey: Any, team: Team, clock: Clock) -> None:
    """By the server's clock, where the ledger's stood still since another server's had been before it."""
    limit = team.limit("L", 5, window="1h")
    team.spend(limit, usd=3)
    clock.advance(0.5 * HOUR)
    team.spend(limit, usd=1)
    clock.advance(0.55 * HOUR)
    valkey.redis.delete(slices(valkey, team)[0])
    assert [one.spent for one in admitted(team.reserve(limit))] == [10**10]
    assert team.stands(limit) == (1, 1)


def test_what_is_told_late_does_not_end_the_index_of_younger_slices(valkey: Any, team: Team, clock: Clock) -> None:
    limit = team.limit("L", 5, window="1h")
    team.spend(limit, usd=3)
    late = team.told(call(), limit, at_ns=clock.ns - round(1.8 * HOUR) * NS)
    team.do(late)
    assert len(slices(valkey, team)) == 2
    assert valkey.redis.ttl(f"{key_of(team)}:x:1:") > HOUR
    assert team.totals(limit, "").spent == 3 * 10**10
    assert Account(limit) in team.ledger.accounts(team.name)
