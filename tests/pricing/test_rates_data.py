"""The rates that come with the package: each complete, dated, with its source, and none that another contradicts."""

from __future__ import annotations

import datetime
import itertools
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from genai_prices.data import providers
from genai_prices.types import TieredPrices

from payi_middleware.pricing import Prices, Rate
from payi_middleware.pricing.names import spellings
from payi_middleware.pricing.rows import Entry, parsed, published_entries
from payi_middleware.pricing.units import is_known

DATA = Path(str(resources.files("payi_middleware.pricing") / "data"))
FILES = sorted(DATA.glob("*.toml"))
NOON = int(datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC).timestamp()) * 10**9

SHARED = {"common", "self-hosted"}
"""Files that are not a provider's."""

KINDS = {"tier", "scope", "region", "geo", "speed", "latency", "search", "search_type", "context", "memory", "zone"} | {
    "size",
    "quality",
    "resolution",
    "audio",
}
"""What readers and owners tell, by `kind:value`."""


def tables(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, entries in tomllib.loads(file.read_text("utf-8")).items():
        for entry in entries:
            yield kind, entry


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_entry_is_sourced_dated_and_of_known_words(file: Path) -> None:
    """An entry says where its figures are from and when somebody looked; its units and conditions are ones in use."""
    for kind, table in tables(file):
        assert table["source"].strip(), table
        assert isinstance(table["checked"], datetime.date), table
        assert {term.partition(":")[0] for term in table.get("when", ())} <= KINDS, table
        if kind == "rate":
            assert table["rates"], table
    entries = parsed(tomllib.loads(file.read_text("utf-8")), file.name)
    assert file.stem in SHARED or len({entry.provider for entry in entries}) == 1
    for entry in entries:
        for unit, side in [*entry.rates, *entry.multiples]:
            assert is_known(unit, side), (unit, side)
        for _, other in entry.multiples.values():
            assert is_known(*other), other


def known_names(provider: str) -> set[str]:
    """Names under which a provider's models are asked for: all that lists have."""
    listed = {model.id.lower() for host in providers if host.id == provider for model in host.models}
    ours = {
        name.replace("*", "") for entry in published_entries() if entry.provider == provider for name in entry.models
    }
    return (listed | ours) - {""}


def kind(term: str) -> str:
    """What a term is about. A call is processed in one place; the places where it is sped up have no rates of their own."""
    name = term.partition(":")[0]
    return "place" if name in {"geo", "latency", "region", "scope"} else name


def contradict(one: Entry, other: Entry, among: list[Entry]) -> bool:
    """Whether two entries of one strength can hold at once, and no stronger one decides between them."""
    told = {kind(term): term for term in one.when}
    if any(told.get(kind(term), term) != term for term in other.when):
        return False  # two sizes, two tiers
    if (one.starts or datetime.date.min) >= (other.ends or datetime.date.max):
        return False
    if (other.starts or datetime.date.min) >= (one.ends or datetime.date.max):
        return False
    both = one.when | other.when
    return one.when == other.when or not any(third.when == both for third in among)


@pytest.mark.parametrize("provider", sorted({entry.provider for entry in published_entries()} - {"*"}))
def test_no_two_entries_of_one_strength_price_one_unit(provider: str) -> None:
    """For no model it is chance which of two entries holds."""
    entries = [entry for entry in published_entries() if entry.provider == provider]
    wrong: list[tuple[object, ...]] = []
    for model in known_names(provider):
        named = list(spellings(model))
        by_strength: dict[object, list[Entry]] = {}
        for entry in entries:
            strength = entry.names(named)
            for unit in [*entry.rates, *entry.multiples] or ["factor"]:
                if strength:
                    by_strength.setdefault((unit, strength, *entry.rank), []).append(entry)
        for (unit, *_), alike in by_strength.items():  # type: ignore[misc]
            deciding = [
                entry
                for entry in entries
                if entry.names(named) and (unit in entry.rates or (unit == "factor" and entry.times is not None))
            ]
            for one, other in itertools.combinations(alike, 2):
                if unit == "factor" and one.when != other.when:
                    continue  # these multiply
                if contradict(one, other, deciding):
                    wrong.append((model, unit, one, other))
    assert wrong == []


@pytest.fixture(scope="module")
def listed_only() -> Prices:
    prices = Prices(listed_only=True)
    prices.load()
    return prices


def listed_rates(prices: Prices, provider: str, model: str, above: int) -> dict[Any, Rate]:
    plan = prices.plan(provider, model, NOON)
    if plan is None or plan.model != model:
        return {}
    if any(entry.unit == "provider" for entry in plan.price({"text": (1, 1)}).unpriced):
        return {}  # another maker's list
    return dict(next(table.rates for table in reversed(plan.tables) if table.above <= above))


def test_no_entry_says_otherwise_than_the_list_without_a_word(listed_only: Prices) -> None:
    """Where genai-prices has a rate, an entry without `replaces` does not hold: then it had better say the same.

    An entry for `*` is a provider's rule for whatever has no rate, and may well differ.
    """
    wrong: list[tuple[object, ...]] = []
    for host in providers:
        entries = [
            entry
            for entry in published_entries()
            if entry.provider == host.id and entry.models != ("*",) and not entry.replaces and not entry.when
        ]
        for model in host.models:
            for entry in entries:
                if not entry.names(list(spellings(model.id))):
                    continue
                listed = listed_rates(listed_only, host.id, model.id, entry.above)
                for key, (usd, per) in entry.rates.items():
                    rate = listed.get(key)
                    if rate is not None and rate.doubt is None and rate.usd * per != usd * rate.per:
                        wrong.append((host.id, model.id, key, rate.usd / rate.per, usd / per))
    assert wrong == []


def flat_variants() -> list[tuple[str, str, dict[str, str]]]:
    """The variants of lists that give one price where the model's own depends on the length of the prompt."""
    now = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)
    return [
        (host.id, model.id, dict(variant.when))
        for host in providers
        for model in host.models
        for variant in model.price_variants or ()
        for own in [vars(model.get_prices(now))]
        if any(
            isinstance(own.get(key), TieredPrices) and isinstance(price, Decimal)
            for key, price in vars(variant.prices).items()
        )
    ]


def test_long_prompts_of_a_tier_have_a_rate_or_a_doubt() -> None:
    """A list's flat price under a tier is that of short prompts: for long ones an entry tells the rate, or says that none is known."""
    prices = Prices()
    prices.load()
    found = flat_variants()
    assert len(found) > 5

    for provider, model, when in found:
        tier = when.get("service_tier") or when.get("processing") or when.get("speed")
        plan = prices.plan(provider, model, NOON, tier)
        assert plan is not None
        short, long = plan.tables[0].rates, plan.tables[-1].rates
        for key in ("text", "input"), ("text", "output"):
            assert long[key].usd > short[key].usd or long[key].doubt, (provider, model, when)


@pytest.mark.parametrize(
    ("model", "tier", "usd"),
    [
        ("gpt-5.5-pro", "flex", ("30", "135")),
        ("gpt-5.5-pro-2026-04-23", "flex", ("30", "135")),
        ("gpt-5.5-pro", "batch", ("30", "135")),
        ("gpt-5.5-pro", None, ("60", "270")),
    ],
)
def test_a_long_prompt_of_a_cheaper_tier(model: str, tier: str | None, usd: tuple[str, str]) -> None:
    """Flex and batch are half the rates of long prompts, too."""
    prices = Prices()
    prices.load()
    plan = prices.plan("openai", model, NOON, tier)

    assert plan is not None
    priced = plan.price({"text": (272_001, 1000)})
    assert priced.cost is not None
    assert [(line.rate, line.per) for line in priced.cost.lines] == [(rate, 10**6) for rate in usd]


def test_long_prompts_of_priority_are_said() -> None:
    """They have no price on any list."""
    prices = Prices()
    prices.load()
    plan = prices.plan("openai", "gpt-5.5", NOON, "priority")

    assert plan is not None
    assert plan.price({"text": (272_000, 1)}).unpriced == ()
    assert {doubt.unit for doubt in plan.price({"text": (272_001, 1)}).unpriced} == {"text"}


def test_published_entries_are_read_once_and_quickly() -> None:
    """All files together are some thousand entries at most: they are matched against every new model's name."""
    assert published_entries() is published_entries()
    assert 500 < len(published_entries()) < 5_000
