"""The catalogue as a list."""

from __future__ import annotations

import datetime
import tomllib
from decimal import Decimal

import pytest

from payi_middleware.pricing import Prices, Rate, owners
from payi_middleware.pricing.listing import Listed, ListedRate, listing

NOON = int(datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp()) * 10**9


@pytest.fixture(scope="module")
def prices() -> Prices:
    loaded = Prices()
    loaded.load()
    return loaded


def test_nothing_is_listed_before_load() -> None:
    """As for plans, the error names the cure."""
    for ask in (
        Prices().models,
        lambda: Prices().provider_of("gpt-5"),
        lambda: Prices().listed("openai", "o3", NOON),
        lambda: Prices().conditional("openai", "o3", NOON),
    ):
        with pytest.raises(RuntimeError, match=r"call load\(\)"):
            ask()


def test_all_that_is_known_is_listed(prices: Prices) -> None:
    """Also what stands there under an id that no provider answers with."""
    assert {(listed.provider, listed.model) for listed in listing(prices, NOON)} == set(prices.models())
    assert prices.listed("openai", "unheard-of", NOON) is None
    assert prices.listed("unheard-of", "gpt-5", NOON) is None


def test_patterns(prices: Prices) -> None:
    """A part of the name in any case, or all of it with signs."""
    parts = {listed.model for listed in listing(prices, NOON, "Haiku", "anthropic")}
    whole = {listed.model for listed in listing(prices, NOON, "claude-haiku-?-5", "anthropic")}

    assert {"claude-haiku-4-5", "claude-3-haiku"} <= parts
    assert whole == {"claude-haiku-4-5", "claude-haiku-5-5"}


def test_rates_of_their_own_and_long_context(prices: Prices) -> None:
    """Units that only take the rate of text are left out; rates above a mark carry it (Gemini 2.5 Pro: 200,000)."""
    (pro,) = [listed for listed in listing(prices, NOON, provider="google") if listed.model == "gemini-2.5-pro"]
    found = {(rate.unit, rate.side, rate.above): rate.rate.usd for rate in pro.rates}

    assert found["text", "input", 0] == Decimal("1.25")
    assert found["text", "input", 200_000] == Decimal("2.5")
    assert ("text_cache_read", "input", 0) in found
    assert ("reasoning", "output", 0) not in found


def test_the_main_rates() -> None:
    """That of text, else the first there is; one without conditions first; the newest date of the two sides."""
    page, text = Rate(Decimal(3), 1000, "ours", "2026-01-01"), Rate(Decimal(2), 10**6, "theirs", "2025-01-01")
    pages_in, pages_out = ListedRate("page", "input", 0, page), ListedRate("page", "output", 0, page)
    texts, texts_out = ListedRate("text", "input", 0, text), ListedRate("text", "output", 0, text, ("tier:batch",))
    both = Listed("p", "m", (pages_in, texts, texts_out, pages_out, ListedRate("text", "output", 5, text)))
    bare = Listed("p", "m", (), "capacity bought beforehand").to_dict()

    assert (both.main("input"), both.main("output")) == (texts, pages_out)
    assert (both.since, both.source) == ("2026-01-01", "theirs")
    assert (bare["input"], bare["output"], bare["since"], bare["source"], bare["rates"]) == (None, None, None, None, [])


OWN = """
[[rate]]
provider = "openai"
models = ["moonbeam-1", "gpt-4o*", "starlight*"]
from = 2026-01-01
rates = { "generated_image.output" = "0.04" }

[[rate]]
provider = "openai"
models = ["moonbeam-1"]
when = ["quality:high", "tier:batch"]
from = 2026-01-01
source = "price list"
rates = { "generated_image.output" = "0.08" }

[[rate]]
provider = "openai"
models = ["moonbeam-1"]
when = ["quality:low"]
until = 2026-01-01
rates = { "generated_image.output" = "0.02" }

[[rate]]
provider = "lunar"
models = ["crater-2"]
rates = { "text.input" = "1/M" }

[[rate]]
provider = "*"
rates = { "moonwalk.input" = "1" }

[[factor]]
provider = "openai"
models = ["nobody-1"]
times = "1.1"
"""


@pytest.fixture(scope="module")
def with_own() -> Prices:
    loaded = Prices(owners(tomllib.loads(OWN)))
    loaded.load()
    return loaded


def test_entries_beside_the_catalogue_are_listed(with_own: Prices) -> None:
    """By name, or by a pattern where no listed model is meant by it; not what holds for every provider."""
    found = set(with_own.models())

    assert {("openai", "moonbeam-1"), ("openai", "starlight*"), ("lunar", "crater-2"), ("openai", "gpt-4o")} <= found
    assert not {("openai", "gpt-4o*"), ("openai", "nobody-1"), ("*", "*"), ("openai", "*")} & found


def test_rates_that_hold_under_conditions(with_own: Prices) -> None:
    """Each with what must hold; those of other days are left out."""
    (moonbeam,) = listing(with_own, NOON, "moonbeam-1")
    plain, high = (rate for rate in moonbeam.to_dict()["rates"] if rate["unit"] == "generated_image")

    assert (plain["unit"], plain["rate"], plain["per"], plain["when"]) == ("generated_image", "0.04", 1, [])
    assert high == {
        "unit": "generated_image",
        "side": "output",
        "above": 0,
        "when": ["quality:high", "tier:batch"],
        "rate": "0.08",
        "per": 1,
        "source": "price list",
        "valid_from": "2026-01-01",
    }


def test_whose_model_is_meant_by_entries(with_own: Prices) -> None:
    """Who alone has rates for it."""
    assert with_own.provider_of("crater-2") == "lunar"
    assert with_own.provider_of("moonbeam-1") == "openai"


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-5-2025-08-07", "openai"),
        ("claude-haiku-4-5", "anthropic"),
        ("Claude-Haiku-4-5", "anthropic"),
        ("gemini-2.5-pro", "google"),
        ("mistral-large-latest", "mistral"),
        ("grok-4", "x-ai"),
        ("sonar-pro", "perplexity"),
        ("sora-2-pro", "openai"),  # which Azure sells too
        ("deepseek/deepseek-chat", "openrouter"),
        ("unheard-of", None),
    ],
)
def test_whose_model_is_meant(prices: Prices, model: str, provider: str | None) -> None:
    """The maker's by the name, else the first that lists it."""
    assert prices.provider_of(model) == provider
