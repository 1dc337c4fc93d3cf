"""Which accounts a call belongs to."""

from typing import Any

import pytest

from payi_middleware.events import Attribution
from payi_middleware.limits import Limit
from payi_middleware.limits.ledger import Account, Definitions
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.matching import Facts, accounts_of


def accounts(limit: Limit, source: Any = "code", **told: Any) -> list[str]:
    """The keys of the accounts of one limit, for a call of these facts."""
    facts = {name: told.pop(name) for name in ("model", "provider", "route") if name in told}
    call = Facts(Attribution(**told), "shop", facts.get("provider", "openai"), facts.get("model"), facts.get("route"))
    definitions = Definitions(1, (Definition(limit_id="L", application="shop", limit=limit, source=source),))
    found = accounts_of(definitions, call)
    assert all(account.limit_id == "L" for account in found)
    return [account.key for account in found]


def test_a_limit_in_code_applies_to_every_call() -> None:
    assert accounts(Limit("all", 1)) == [""]


@pytest.mark.parametrize("named", ["L", "all"])
def test_a_limit_made_elsewhere_applies_where_it_is_named(named: str) -> None:
    assert accounts(Limit("all", 1), "api") == []
    assert accounts(Limit("all", 1), "api", limit_ids=(named,)) == [""]


@pytest.mark.parametrize(
    ("per", "told", "keys"),
    [
        ("user", {"user_id": "jane"}, ['["jane"]']),
        ("user", {"user_id": 'a","b'}, ['["a\\",\\"b"]']),  # no user can pass for two
        ("user", {}, []),
        ("account", {"account_name": "acme"}, ['["acme"]']),
        ("use_case", {"use_case_name": "Sum"}, ['["Sum"]']),
        ("instance", {"use_case_name": "Sum", "use_case_id": "run-1"}, ['["run-1"]']),
        (("use_case", "instance"), {"use_case_name": "Sum", "use_case_id": "run-1"}, ['["Sum","run-1"]']),
        ("instance", {"use_case_name": "Sum"}, []),
        ("model", {"model": "gpt-4o"}, ['["gpt-4o"]']),
        ("application", {}, ['["shop"]']),
        ("request_tag", {"request_tags": ("a", "b")}, ['["a"]', '["b"]']),
        (("user", "request_tag"), {"user_id": "jane", "request_tags": ("a", "b")}, ['["jane","a"]', '["jane","b"]']),
        (("user", "model"), {"user_id": "jane"}, []),
    ],
)
def test_an_account_for_each(per: Any, told: dict[str, Any], keys: list[str]) -> None:
    assert accounts(Limit("all", 1, per=per), **told) == keys


@pytest.mark.parametrize(
    ("match", "told", "applies"),
    [
        ({"properties.plan": "pro"}, {"request_properties": {"plan": "pro"}}, True),
        ({"properties.plan": "pro"}, {"request_properties": {"plan": "free"}}, False),
        ({"properties.plan": "pro"}, {}, False),
        ({"use_case_properties.size": "big"}, {"use_case_properties": {"size": "big"}}, True),
        ({"user_id": "jane", "model": "gpt-4o"}, {"user_id": "jane", "model": "gpt-4o"}, True),
        ({"user_id": "jane", "model": "gpt-4o"}, {"user_id": "jane", "model": "o4"}, False),
        ({"route": "/ask", "provider": "openai", "application": "shop"}, {"route": "/ask"}, True),
        ({"use_case_name": "Sum", "use_case_step": "1"}, {"use_case_name": "Sum", "use_case_step": "1"}, True),
        ({"account_name": "acme"}, {"account_name": "acme"}, True),
    ],
)
def test_only_calls_that_match(match: dict[str, str], told: dict[str, Any], applies: bool) -> None:
    assert bool(accounts(Limit("all", 1, match=match), **told)) is applies


def test_limit_tags_choose() -> None:
    premium = Limit("premium", 10, per="user", tags=("premium", "gold"))
    assert accounts(premium, user_id="jane", limit_tags=("premium",)) == ['["jane"]']
    assert accounts(premium, user_id="jane", limit_tags=("free",)) == []
    assert accounts(premium, user_id="jane") == []


def test_combinations_are_bounded() -> None:
    tags = tuple(f"t{n}" for n in range(100))
    assert len(accounts(Limit("all", 1, per="request_tag"), request_tags=tags)) == 32


def test_limits_keep_their_order() -> None:
    limits = tuple(
        Definition(limit_id=f"{n}", application="shop", limit=Limit(f"{n}", 1), source="code") for n in range(3)
    )
    found = accounts_of(Definitions(1, limits), Facts(Attribution(), "shop", "openai", None))
    assert found == (Account("0"), Account("1"), Account("2"))


def test_a_limit_that_waits_to_be_named_is_found_by_name_or_id() -> None:
    """Once, in its place among those that attach themselves, however it is named."""
    limits = tuple(
        Definition(
            limit_id=f"id-{n}", application="shop", limit=Limit(f"name {n}", 1), source="code" if n == 2 else "api"
        )
        for n in range(5)
    )
    who = Attribution(limit_ids=("name 3", "id-0", "id-3", "unknown"))
    for _ in range(2):
        found = accounts_of(Definitions(1, limits), Facts(who, "shop", "openai", None))
        assert [account.limit_id for account in found] == ["id-0", "id-2", "id-3"]


def test_other_definitions_are_looked_up_anew() -> None:
    """Whatever stood where they stand; so many applications may have limits."""
    for n in range(200):
        limits = (Definition(limit_id=f"{n}", application="shop", limit=Limit("all", 1), source="code"),)
        found = accounts_of(Definitions(n, limits), Facts(Attribution(), "shop", "openai", None))
        assert found == (Account(f"{n}"),)
        del limits
