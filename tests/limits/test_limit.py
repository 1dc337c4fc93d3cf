"""A limit as it is written: what it may be, what it is kept as, how it travels."""

import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from payi_middleware.exceptions import LimitError
from payi_middleware.limits import Limit
from payi_middleware.limits.limit import Definition, rolling_ns


def test_what_is_given_loosely_is_kept_in_one_form() -> None:
    limit = Limit("Jane", 0.1, per="user", tags="premium", window=datetime.timedelta(hours=36), match=None)
    assert limit.max == Decimal("0.1")
    assert limit.most == 10**9
    assert (limit.per, limit.tags, limit.window, limit.match) == (("user",), ("premium",), "36h", {})
    assert limit == Limit("Jane", "0.1", per=["user"], tags=("premium",), window="36h")


@pytest.mark.parametrize(
    "more",
    [
        {"per": ("user", "model"), "match": {"properties.plan": "pro"}, "alerts": (0.5, 1, "forecast")},
        {"threshold": Decimal("0.8"), "alerts": (Decimal("0.5"),), "match": {"user_id": "Jörg \U0001f600"}},
        {"alerts": 0.8, "tags": {"gold": 1}, "window": datetime.timedelta(days=2)},
        {"alerts": "forecast", "per": iter(["user"]), "match": [("model", "o1")], "window": ""},
    ],
)
def test_it_survives_json(more: dict[str, Any]) -> None:
    limit = Limit("Jane", 10, **more)
    assert msgspec.json.decode(msgspec.json.encode(limit), type=Limit) == limit


@pytest.mark.parametrize(("unit", "most"), [("usd", 100_000_000 * 10**10), ("calls", 10**18), ("tokens", 10**18)])
def test_the_most_fits_into_64_bits(unit: Any, most: int) -> None:
    limit = Limit("all", 100_000_000 if unit == "usd" else 10**18, unit=unit)
    assert limit.most == most < 2**63


@pytest.mark.parametrize(
    ("window", "ns"),
    [("90m", 90 * 60 * 10**9), ("24h", 86_400 * 10**9), ("30d", 30 * 86_400 * 10**9), ("month", None), (None, None)],
)
def test_rolling_windows(window: str | None, ns: int | None) -> None:
    assert rolling_ns(window) == ns


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": ""}, "a name has 1 to 128"),
        ({"name": "a\n"}, "a name has 1 to 128"),
        ({"max": 0}, "above 0"),
        ({"max": "ten"}, "no number"),
        ({"max": float("nan")}, "above 0"),
        ({"max": 100_000_001}, "at most 100,000,000"),
        ({"max": Decimal("0.00000000001")}, "ten decimal places"),
        ({"max": 1.5, "unit": "calls"}, "whole number of calls"),
        ({"type": "deny"}, "'block' or 'allow'"),
        ({"unit": "eur"}, "'usd' or 'calls' or 'tokens'"),
        ({"threshold": 0.5}, "0.75 to 0.99"),
        ({"window": "fortnight"}, "'quarter'"),
        ({"window": datetime.timedelta(seconds=90)}, "whole minutes"),
        ({"timezone": "Mars/Olympus"}, "Europe/Berlin"),
        ({"timezone": "../etc/passwd"}, "Europe/Berlin"),
        ({"per": "planet"}, "'request_tag'"),
        ({"match": {"plan": "pro"}}, "properties.NAME"),
        ({"on_error": "ignore"}, "'open' or 'closed'"),
        ({"unknown_price": "zero"}, "'dearest'"),
        ({"alerts": (80,)}, "such as 0.8"),
        ({"alerts": ("soon",)}, "'forecast'"),
        ({"alerts": (True,)}, "such as 0.8"),
        ({"max": True}, "max=True is no number; use for example 10"),
        ({"match": {"properties.seats": 5}}, r"match\['properties.seats'\] has 5, which is no text; use '5'"),
        ({"match": {"properties.plan": ["pro", "gold"]}}, "use one text"),
        ({"match": {"user_id": None}}, "has None, which is no text"),
        ({"match": {"user_id": "a\ud800"}}, "write it whole"),
        ({"match": {5: "a"}}, "match has 5, which is no text; use '5'"),
        ({"match": "pro"}, "no mapping; use for example"),
        ({"tags": [1]}, "tags has 1, which is no text; use '1'"),
        ({"tags": "premium, gold"}, "tags has 'premium, gold', which is no tag; use 1 to 64 of"),
        ({"tags": ["grün"]}, "tags has 'grün', which is no tag"),
        ({"threshold": "0.8"}, "threshold='0.8' is no number"),
        ({"threshold": True}, "threshold=True is no number"),
        ({"strict": "no"}, "strict='no' is not valid; use True or False"),
        ({"managed": 0}, "managed=0 is not valid"),
        ({"window": 3600}, "window=3600 is not valid; use 'hour'"),
        ({"window": 0}, "window=0 is not valid"),
        ({"per": 5}, "per=5 is not valid; use 'user'"),
    ],
)
def test_what_cannot_be_is_told(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(LimitError, match=told):
        Limit(**{"name": "all", "max": 1, **wrong})


@pytest.mark.parametrize(
    ("more", "closed"),
    [
        ({}, True),
        ({"type": "allow"}, False),
        ({"on_error": "open"}, False),
        ({"type": "allow", "on_error": "closed"}, True),
    ],
)
def test_what_happens_without_a_ledger(more: dict[str, Any], closed: bool) -> None:
    assert Limit("all", 1, **more).closed_on_error is closed


@pytest.mark.parametrize(
    ("source", "more", "attaches"),
    [("code", {}, True), ("api", {}, False), ("api", {"per": "user"}, True), ("api", {"tags": ("a",)}, True)],
)
def test_which_limits_attach_themselves(source: Any, more: dict[str, Any], attaches: bool) -> None:
    definition = Definition(limit_id="1", application="a", limit=Limit("all", 1, **more), source=source)
    assert definition.attaches is attaches
