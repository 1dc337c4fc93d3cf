"""Limits of instances of use cases: their ids, and what an application holds to where it makes one itself."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import conformance
import httpx2
import msgspec
import pytest
from exchanges import Watched
from loopback import Loopback

from payi_middleware import Limit, health, track, use_case
from payi_middleware.events import Attribution
from payi_middleware.limits.instances import (
    account_named,
    as_told,
    id_of,
    key_of,
    limit_of,
    own_of,
    told_id,
)
from payi_middleware.limits.keeping import accounts_of_person, forget_in_limits, forget_person, old_rows
from payi_middleware.limits.known import known_of
from payi_middleware.limits.ledger import Account, Definitions, Standing
from payi_middleware.limits.limit import LONGEST_NAME, Definition
from payi_middleware.limits.matching import Facts, accounts_of
from payi_middleware.limits.memory import MemoryLedger

Limited = Callable[..., Watched]
CHAT = limit_of("shop", "Chat", Decimal(5), type="block", threshold=0.8, properties={"a": "b"})
ODD = ["run 1", "a/b", "Jörg", "~x", "*", "a,b", "\u2028", "r" * 256, "…"]


@pytest.mark.parametrize("run", ["run-1", "4f.._-", *ODD])
def test_an_id_tells_its_instance(run: str) -> None:
    """And can be in a path and in a header; ids of plain instances can be read."""
    limit_id = id_of("Chat", run)
    assert account_named(limit_id) == Account("Chat:*", key_of(run))
    assert limit_id.isascii()
    assert not set(limit_id) & set("/, ?#%")
    assert limit_id.startswith("Chat:~") == (run in ODD and run != "r" * 256)


@pytest.mark.parametrize(
    "other", ["", "Chat", "Chat:", "Chat:*", ":run", "Chat:~", "Chat:~!", "Chat:~cnVu", "Chat:a/b", "Chat:~/w"]
)
def test_what_is_no_id_of_one(other: str) -> None:
    """Also not what another way of writing would make of it."""
    assert account_named(other) is None


@pytest.mark.parametrize("run", ["run-1", *ODD])
def test_each_is_told_by_a_name_of_its_own(run: str) -> None:
    told = own_of(CHAT, Account(CHAT.limit_id, key_of(run)))
    assert (told.limit_id, told.limit.per, told.limit.match) == (id_of("Chat", run), (), {})
    assert (told.limit.max, told.limit.threshold, told.properties) == (5, 0.8, {"a": "b"})
    assert told.limit.name.startswith("Chat ")
    assert len(told.limit.name) <= LONGEST_NAME

    standing = Standing("Chat:*", "Chat, each instance", key_of(run), "block", "usd", "blocked", 5, 5, 0, None, None)
    who = Attribution(use_case_name="Chat", use_case_id=run)
    assert as_told(standing, who) == standing._replace(limit_id=told.limit_id, name=told.limit.name)
    other = msgspec.structs.replace(who, use_case_name="Other")
    assert as_told(standing, other) is standing
    assert told_id("Chat:*", Attribution()) == told_id("Chat:*", Attribution(use_case_name="Chat")) == "Chat:*"


def accounts(*limits: Definition, **who: Any) -> tuple[Account, ...]:
    return accounts_of(Definitions(1, limits), Facts(Attribution(**who), "shop", "openai", None))


def test_a_call_finds_its_instances_account() -> None:
    """By its use case, and by ids that it names, each once; where new instances get none, those that have one."""
    one = {"use_case_name": "Chat", "use_case_id": "one"}
    own, two = Account("Chat:*", key_of("one")), Account("Chat:*", key_of("two"))
    assert accounts(CHAT, **one) == (own,)
    assert accounts(CHAT, **one, limit_ids=("Chat:one", "Chat:two", "Chat:two", "Other:one", "one")) == (own, two)
    assert accounts(CHAT, use_case_name="Chat") == accounts(CHAT, use_case_name="Other", use_case_id="one") == ()
    assert accounts(CHAT, limit_ids=("Chat:two",)) == (two,)
    some = msgspec.structs.replace(CHAT, only=frozenset((key_of("two"),)))
    assert accounts(some, **one, limit_ids=("Chat:one", "Chat:two")) == (two,)
    assert accounts(some, use_case_name="Chat", use_case_id="two") == (two,)
    users = Definition(limit_id="Chat:*", application="shop", limit=Limit("users", 1, per="user"))
    assert accounts(users, limit_ids=("Chat:one",)) == ()
    known = known_of(Definitions(1, (CHAT,)))
    assert [known.has(name) for name in ("Chat:one", "Chat:*", "Chat, each instance", "Other:one", "Chat")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_an_old_account_is_counted_before_it_goes() -> None:
    """One that holds a call does not go."""
    clock = conformance.Clock()
    ledger = MemoryLedger(clock=clock, lease_seconds=10**6)
    team = conformance.Team(ledger)
    limit = team.limit("L", 9, per="instance")
    old, running, new = (Account(limit, key_of(run)) for run in ("old", "running", "new"))
    team.spend(old)
    team.begin(running)
    before = clock.ns
    clock.advance(1)
    team.spend(new)
    assert [old_rows(ledger, ns) for ns in (before - 1, before, clock.ns)] == [0, 1, 2]
    assert ledger.prune(before) == 1
    assert {one.key for one in ledger.totals(team.name, limit)} == {running.key, new.key}


def test_a_person_may_be_an_instance() -> None:
    """Their account goes, also where it only tells of them, and no list of instances tells it."""
    ledger = MemoryLedger()
    person = "jane@example.com"
    runs = ["bob", person, f"run of {person}"]
    ledger.define(msgspec.structs.replace(CHAT, only=frozenset(map(key_of, runs))))
    team = conformance.Team(ledger)
    team.name = "shop"
    for run in runs:
        team.spend(Account("Chat:*", key_of(run)))

    def tells(text: str) -> bool:
        return person in text

    assert {account.key for _, account in accounts_of_person(ledger, tells)} == set(map(key_of, runs[1:]))
    assert forget_person(ledger, tells) == 2
    assert [forget_in_limits(ledger, tells, dry_run=dry_run) for dry_run in (True, False, False)] == [1, 1, 0]
    (kept,) = ledger.definitions("shop").limits
    assert (kept.only, kept.limit) == ({key_of("bob")}, CHAT.limit)
    assert [one.key for one in ledger.totals("shop", "Chat:*")] == [key_of("bob")]


def ask(provider: Loopback) -> int:
    body: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me."}], "max_tokens": 20}
    with httpx2.Client(trust_env=False) as client:
        return client.post(provider.url + "/v1/chat/completions", json=body).status_code


def test_a_limit_in_code_may_be_each_instances(provider: Loopback, limited: Limited) -> None:
    """A run of any use case has as many calls, however deep it is nested; calls outside of all pass."""
    limited("openai", Limit("runs", 2, unit="calls", per=("use_case", "instance")), Limit("all", 99, unit="calls"))
    with use_case("Chat", id="one"):
        assert [ask(provider) for _ in range(3)] == [200, 200, 400]
        with use_case("Inner", id="one"):
            assert [ask(provider) for _ in range(3)] == [200, 200, 400]
    for _ in range(3):
        with use_case("Chat"):
            assert ask(provider) == 200
    assert [ask(provider) for _ in range(3)] == [200] * 3
    with use_case("Chat", id="one"):
        assert ask(provider) == 400


def test_an_instances_limit_may_be_named(provider: Loopback, limited: Limited) -> None:
    """By calls that are not of it; one of a use case that has none is not there, and that is told."""
    ledger = MemoryLedger()
    ledger.define(msgspec.structs.replace(CHAT, application="default"))
    watched = limited("openai", ledger=ledger, limits=())
    for limit_id in ("Chat:one", "Other:one"):
        with track(limit_ids=[limit_id]):
            assert ask(provider) == 200
    assert [event.limits for event in watched.events] == [{"Chat:*": "ok"}, {}]
    assert [one.key for one in ledger.totals("default", "Chat:*")] == [key_of("one")]
    assert health.counters()["limit_unknown"] == 1
