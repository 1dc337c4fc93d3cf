"""What an owner says of prices comes first: rates, discounts, accounts, and names."""

from __future__ import annotations

import datetime
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from payi_middleware.costing import Costed, conditions, cost_of
from payi_middleware.events import Attribution, Part, Units
from payi_middleware.exceptions import SettingsError
from payi_middleware.pricing import Prices, owners

AT = int(datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp()) * 10**9
MILLION: Units = {"text": (1_000_000, 1_000_000)}


def prices_of(text: str) -> Prices:
    prices = Prices(owners(tomllib.loads(text)), listed_only=True)
    prices.load()
    return prices


def cost(prices: Prices, model: str, provider: str = "openai", who: Attribution | None = None, **more: Any) -> Costed:
    who = who or Attribution()
    terms = conditions(prices, who, more.pop("terms", ()))
    return cost_of(prices, provider, model, MILLION, AT, price_as=who.price_as, terms=terms, **more)


def total(costed: Costed) -> Decimal:
    assert costed.cost is not None, costed
    return costed.cost.total


LIST = total(cost(prices_of(""), "gpt-4o"))


def test_a_rate_of_the_owners_replaces_the_listed_one_and_names_its_source() -> None:
    prices = prices_of(
        """
        [[rate]]
        provider = "openai"
        models = ["gpt-4o"]
        from = 2026-01-01
        source = "our contract"
        rates = { "text.input" = "1/M" }
        """
    )
    costed = cost(prices, "gpt-4o")
    assert costed.cost is not None
    given, made = costed.cost.lines
    assert (given.amount, given.source, given.valid_from) == (1, "our contract", "2026-01-01")
    assert made.source == "genai-prices"
    assert total(cost(prices, "gpt-4o-2024-11-20")) == total(costed)  # a dated name is the same model


def test_a_rate_holds_from_its_day_until_another_begins() -> None:
    prices = prices_of(
        """
        [[rate]]
        models = ["gpt-4o"]
        from = 2026-11-21
        rates = { "text.input" = "1/M", "text.output" = "1/M" }
        [[rate]]
        models = ["gpt-4o"]
        from = 2026-11-22
        until = 2026-11-23
        rates = { "text.input" = "2/M", "text.output" = "2/M" }
        """
    )
    day = 86_400 * 10**9
    midnight = AT // day * day
    expected = [LIST, Decimal(2), Decimal(4), Decimal(2)]
    for days, usd in enumerate(expected):
        for at in (midnight + days * day, midnight + (days + 1) * day - 1):
            assert total(cost_of(prices, "openai", "gpt-4o", MILLION, at)) == usd


def test_a_discount_is_a_factor_on_every_rate_of_a_provider() -> None:
    prices = prices_of('[[factor]]\nprovider = "openai"\ntimes = "0.9"\nsource = "our contract"')
    assert total(cost(prices, "gpt-4o")) == LIST * Decimal("0.9")
    assert total(cost(prices, "claude-opus-4-1", "anthropic")) == total(
        cost(prices_of(""), "claude-opus-4-1", "anthropic")
    )


def test_an_account_has_its_own_price_and_nobody_else_has_it() -> None:
    prices = prices_of('[[factor]]\nwhen = ["account:acme"]\ntimes = "0.5"')
    assert total(cost(prices, "gpt-4o", who=Attribution(account_name="acme"))) == LIST / 2
    assert total(cost(prices, "gpt-4o", who=Attribution(account_name="other"))) == LIST
    assert total(cost(prices, "gpt-4o")) == LIST


def test_a_model_that_nobody_knows_has_the_owners_rate() -> None:
    prices = prices_of('[[rate]]\nprovider = "openai"\nmodels = ["ours-*"]\nrates = { "text.input" = "3/M" }')
    costed = cost(prices, "ours-large")
    assert total(costed) == 3
    assert [(entry.unit, entry.quantity) for entry in costed.unpriced] == [("text", 1_000_000)]  # what it makes
    assert cost(prices, "theirs-large").source == "none"


@pytest.mark.parametrize("price_as", ["gpt-4o", "system.openai/gpt-4o"])
def test_a_mapping_prices_a_name_as_another(price_as: str) -> None:
    prices = prices_of(f'[[mapping]]\nmodel = "Our-Deployment"\nprovider = "openai"\nprice_as = "{price_as}"')
    assert total(cost(prices, "our-deployment")) == LIST
    assert cost(prices, "our-deployment", "azure").source == "none"
    assert total(cost(prices, "gpt-4o")) == LIST


def test_what_the_call_says_comes_before_a_mapping() -> None:
    prices = prices_of('[[mapping]]\nmodel = "ours"\nprice_as = "gpt-4o-mini"')
    assert total(cost(prices, "ours", who=Attribution(price_as="gpt-4o"))) == LIST
    assert total(cost(prices, "ours")) < LIST


def test_a_scope_that_somebody_names_replaces_the_one_that_was_seen() -> None:
    prices = prices_of(
        """
        [[mapping]]
        model = "ours"
        price_as = "gpt-4o"
        resource_scope = "datazone.eu"
        [[factor]]
        when = ["scope:datazone"]
        times = "1.1"
        [[factor]]
        when = ["scope:region"]
        times = "2"
        """
    )
    dearer = LIST * Decimal("1.1")
    assert total(cost(prices, "ours", terms=("scope:region",))) == dearer
    scoped = Attribution(resource_scope="datazone.us")
    assert total(cost(prices, "gpt-4o", who=scoped, terms=("scope:region",))) == dearer
    assert total(cost(prices, "gpt-4o", terms=("scope:region",))) == LIST * 2


def test_conditions_hold_for_every_model_of_several() -> None:
    prices = prices_of('[[factor]]\nwhen = ["account:acme"]\ntimes = "0.5"')
    parts = (Part(None, {"text": (1_000_000, 0)}), Part("gpt-4o-mini", {"text": (1_000_000, 0)}))
    full, half = (cost(prices, "gpt-4o", who=Attribution(account_name=name), parts=parts) for name in (None, "acme"))
    assert total(half) == total(full) / 2


def test_a_file_is_read_as_a_mapping_is(tmp_path: Path) -> None:
    text = '[[rate]]\nmodels = ["ours"]\nrates = { "text.input" = "1/M" }'
    file = tmp_path / "rates.toml"
    file.write_text(text)
    assert owners(file).entries[0]._replace(source="") == owners(tomllib.loads(text)).entries[0]._replace(source="")
    assert owners(file).entries[0].source == f"{file}, [[rate]] 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[price]]", "unknown table price; there are [[rate]] and [[factor]]"),
        ("[rate]", "rate is written [[rate]], once for each entry"),
        ("[mapping]", "mapping is written [[mapping]], once for each entry"),
        ("[[rate]]", "[[rate]] 1: an entry needs rates"),
        ('[[rate]]\nrates = {}\nmodel = "x"', "an entry does not know model"),
        ("[[factor]]\ntimes = -1", "[[factor]] 1, times: -1 is no amount"),
        ("[[factor]]\ntimes = 0.9", "0.9 is no amount; write it as a text of digits, such as '0.04'"),
        ('[[factor]]\ntimes = "NaN"', "'NaN' is no amount"),
        ('[[rate]]\nrates = { text = "1" }', "'text' is no unit and side; write for example 'text.input'"),
        ('[[rate]]\nrates = { "text.input" = "1/G" }', "'1/G' is no rate; write USD for one unit as '0.04'"),
        ('[[rate]]\nrates = { "text.input" = "1/" }', "'1/' is no rate"),
        ('[[rate]]\nrates = { "text.input" = "one" }', "'one' is no amount"),
        ('[[rate]]\nrates = {}\nmodels = "x"', "models: 'x' is no list of texts"),
        ("[[rate]]\nrates = {}\nmodels = [7]", "models: 7 is no text"),
        ('[[rate]]\nrates = {}\nabove = "x"', "above: 'x' is no whole number"),
        ('[[rate]]\nrates = {}\nfrom = "2026-01-01"', "from: '2026-01-01' is no day; write it without quotes"),
        ("[[rate]]\nrates = {}\nfrom = 2026-01-01T00:00:00", "is no day"),
        ('[[mapping]]\nmodel = "x"', "[[mapping]] 1: model and price_as are needed"),
        ('[[mapping]]\nmodel = "x"\nprice_as = 7', "all as texts"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match="setting prices") as raised:
        owners(tomllib.loads(text))
    assert message in str(raised.value)


@pytest.mark.parametrize("content", [None, b"[[rate", b"\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "rates.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"rates\.toml' cannot be read"):
        owners(file)


def day(text: str) -> int:
    return int(datetime.datetime.fromisoformat(f"{text}T12:00:00+00:00").timestamp()) * 10**9


@pytest.mark.parametrize("unit", ["tile", "request", "maps_request"])
def test_a_service_that_nobody_lists(unit: str) -> None:
    """A provider of the owner's own has a price for whatever unit it is billed by, and on the days that the entries say."""
    prices = prices_of(
        f"""
        [[rate]]
        provider = "maps"
        models = ["geocoding"]
        from = 2026-06-01
        until = 2026-09-01
        rates = {{ "{unit}.input" = "0.01" }}
        """
    )

    def paid(when: str) -> Decimal | None:
        costed = cost_of(prices, "maps", "geocoding", {unit: (3, 0)}, day(when))
        return None if costed.cost is None else costed.cost.total

    days = ["2026-05-31", "2026-06-01", "2026-08-31", "2026-09-01", "2026-06-01", "2026-05-31", "2026-07-01"]
    assert [paid(when) for when in days] == [None, *[Decimal("0.03")] * 2, None, Decimal("0.03"), None, Decimal("0.03")]


def test_requests_that_an_event_counts_itself() -> None:
    """A fee for each request is charged once a call, unless the units tell how many there were."""
    prices = prices_of(
        """
        [[rate]]
        provider = "maps"
        models = ["geocoding"]
        rates = { "request.input" = "0.01", "tile.input" = "0.001" }
        """
    )

    def paid(units: Units) -> Decimal:
        return total(cost_of(prices, "maps", "geocoding", units, AT))

    assert paid({"tile": (2, 0)}) == Decimal("0.012")
    assert paid({"tile": (2, 0), "request": (3, 0)}) == Decimal("0.032")
    assert paid({"request": (3, 0)}) == Decimal("0.03")


def test_a_fee_alone_makes_no_model_known() -> None:
    """A fee for a model that another maker lists leaves the rest of its price to that maker's list."""
    prices = prices_of(
        """
        [[rate]]
        provider = "openrouter-like"
        models = ["gpt-4o"]
        rates = { "web_search_request.output" = "0.01" }
        """
    )

    assert total(cost(prices, "gpt-4o", "openrouter-like")) == LIST
