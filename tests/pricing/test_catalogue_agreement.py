"""Plans against genai-prices' own `calc_price`, over the whole catalogue."""

from __future__ import annotations

import datetime
import random
from decimal import ROUND_HALF_EVEN, Decimal

import genai_prices
import pytest
from genai_prices.data import providers
from genai_prices.data_units import unit_data
from genai_prices.types import PriceCalculation

from payi_middleware.events import TICK, Units
from payi_middleware.pricing import Prices
from payi_middleware.pricing.makers import LISTED_SINCE
from payi_middleware.pricing.names import is_tuned
from payi_middleware.pricing.tiers import STANDARD, price_context
from payi_middleware.pricing.units import UNITS

WITHIN = {
    name: [at for at, dimensions in UNITS.items() if unit_data[name]["dimensions"].items() <= dimensions.items()]
    for name in unit_data.keys() - {"requests"}
}
"""genai-prices' units, and for each the units and sides of ours that are within it."""
TIERS = [None, None, "default", "batch", "flex", "priority", "fast", "ON_DEMAND_FLEX"]


@pytest.fixture(scope="module")
def prices() -> Prices:
    loaded = Prices(listed_only=True)
    loaded.load()
    return loaded


def ns(moment: datetime.datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


def on(date: str) -> int:
    return ns(datetime.datetime.fromisoformat(date).replace(hour=12, tzinfo=datetime.UTC))


def usage_of(units: Units) -> genai_prices.Usage:
    """The same consumption in genai-prices' overlapping counts: each of its units counts all of ours within it."""
    counts = {
        name: sum(units[unit][side == "output"] for unit, side in ours if unit in units)
        for name, ours in WITHIN.items()
    }
    return genai_prices.Usage(**counts)


def calculated(
    provider: str, model: str, units: Units, moment: datetime.datetime, tier: str | None
) -> PriceCalculation:
    context = None if tier is None or tier in STANDARD else price_context(tier.lower())
    return genai_prices.calc_price(
        usage_of(units), model, provider_id=provider, genai_request_timestamp=moment, price_context=context
    )


def some_units(chance: random.Random) -> Units:
    most = chance.choice([3, 2_000, 150_000, 900_000])
    units: Units = {}
    for unit, side in chance.sample(sorted(UNITS), k=chance.randint(1, len(UNITS))):
        taken, made = units.get(unit, (0, 0))
        quantity = chance.randint(1, most)
        units[unit] = (quantity, made) if side == "input" else (taken, quantity)
    return units


def some_moment(chance: random.Random) -> datetime.datetime:
    first = datetime.datetime(2024, 6, 1, tzinfo=datetime.UTC)
    return first + datetime.timedelta(seconds=chance.randrange(3 * 365 * 86400))


@pytest.mark.parametrize("provider", [provider.id for provider in providers])
def test_every_model_costs_what_calc_price_says(prices: Prices, provider: str) -> None:
    """For every model, at random moments, tiers and usages, the total is calc_price's to the last digit.

    Of a gateway at moments since which its history is listed: before, the lists of the makers behind it hold.
    """
    chance = random.Random(provider)
    models = next(listed.models for listed in providers if listed.id == provider)
    compared = 0
    for model in models * 3:
        tier, moment, units = chance.choice(TIERS), some_moment(chance), some_units(chance)
        if provider in LISTED_SINCE:
            moment = max(moment, datetime.datetime.combine(LISTED_SINCE[provider], datetime.time(), datetime.UTC))
        if "audio_second" in units and provider == "groq":
            units["audio_second"] = (10, 0)  # calc_price bills 10 seconds at least; here the answer's reader does
        try:
            expected = calculated(provider, model.id, units, moment, tier)
        except LookupError:
            continue  # an id by which the catalogue itself does not find the model
        plan = prices.plan(provider, model.id, ns(moment), tier)
        assert plan is not None, model.id
        cost = plan.price(units).cost

        assert plan.model == expected.model.id
        if cost is None:
            assert expected.total_price == 0
        else:
            # Where a rate is for 3,600 seconds, a Decimal of 28 digits is cut; the ticks below are not.
            assert abs(sum(line.amount for line in cost.lines) - expected.total_price) < Decimal("1e-20")
            assert cost.total == expected.total_price.quantize(TICK, ROUND_HALF_EVEN)
            assert cost.input_ticks + cost.output_ticks == cost.total_ticks
        compared += 1

    assert compared or provider == "fireworks"  # its ids lack the path that its matches ask for


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google", "deepseek"])
def test_nothing_that_calc_price_prices_is_called_unpriced(prices: Prices, provider: str) -> None:
    """A unit is unpriced only if it costs nothing by calc_price either, so no rate is lost in the mapping."""
    at = on("2026-11-20")
    moment = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
    for model in next(listed.models for listed in providers if listed.id == provider):
        plan = prices.plan(provider, model.id, at)
        assert plan is not None
        for unit, side in UNITS:
            units: Units = {unit: (1000, 0) if side == "input" else (0, 1000)}
            priced = plan.price(units)
            if priced.cost is None and not is_tuned(model.id):
                assert priced.unpriced
                assert calculated(provider, model.id, units, moment, None).total_price == 0
