"""Plans by provider, model, time and tier, remembered and bounded."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot

from payi_middleware.events import Cost, Units, Unpriced
from payi_middleware.pricing import Plan, Prices
from payi_middleware.pricing import prices as prices_module

NOON = int(datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC).timestamp()) * 10**9


@pytest.fixture(scope="module")
def prices() -> Prices:
    loaded = Prices()
    loaded.load()
    return loaded


def moment(text: str) -> int:
    """Nanoseconds of an ISO time in UTC."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()) * 10**9


def cost_of(plan: Plan | None, units: Units) -> Cost:
    assert plan is not None
    cost = plan.price(units).cost
    assert cost is not None
    return cost


def rates(plan: Plan | None) -> tuple[str, str]:
    """The rates of text, in and out."""
    given, made = cost_of(plan, {"text": (1, 1)}).lines
    return given.rate, made.rate


def since(plan: Plan | None) -> str | None:
    return cost_of(plan, {"text": (1, 1)}).lines[0].valid_from


def test_nothing_is_loaded_before_load() -> None:
    """Before `load` there is no version, and asking for a plan is an error that names the cure."""
    fresh = Prices()

    assert not fresh.ready
    assert fresh.version == ""
    with pytest.raises(RuntimeError, match=r"call load\(\)"):
        fresh.plan("openai", "gpt-5", NOON)


def test_loading_is_left_to_load_and_eight_threads_may_ask_at_once() -> None:
    """Importing the room imports no rates; eight threads that load at once all end ready, with the same answer."""
    script = """
import sys, threading
from payi_middleware.pricing import Prices
assert "genai_prices" not in sys.modules
prices, gate, totals = Prices(), threading.Barrier(8), []
def work():
    gate.wait()
    prices.load()
    plan = prices.plan("openai", "gpt-4o-mini", 1_750_000_000 * 10**9)
    totals.append(plan.price({"text": (1000, 1000)}).cost.total_ticks)
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(prices.ready, set(totals), len(totals), prices.version)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)

    assert done.stdout.startswith("True {7500000} 8 genai-prices ")


def test_loading_again_changes_nothing(prices: Prices) -> None:
    """A second `load` keeps the plans it finds."""
    before = prices.plan("openai", "gpt-5", NOON)
    prices.load()

    assert prices.plan("openai", "gpt-5", NOON) is before


@pytest.fixture
def own_snapshot() -> Iterator[DataSnapshot]:
    only = [provider for provider in providers if provider.id == "anthropic"]
    snapshot = DataSnapshot(
        only, from_auto_update=True, timestamp=datetime.datetime(2026, 11, 21, 8, 30, tzinfo=datetime.UTC)
    )
    set_custom_snapshot(snapshot)
    yield snapshot
    set_custom_snapshot(None)


def test_a_newer_snapshot_is_taken_over_by_load(own_snapshot: DataSnapshot) -> None:
    """After prices were updated, `load` replaces the rates whole and the version names the snapshot's time."""
    set_custom_snapshot(None)
    updated = Prices()
    updated.load()
    assert updated.plan("openai", "gpt-5", NOON) is not None
    assert "snapshot" not in updated.version

    set_custom_snapshot(own_snapshot)
    updated.load()

    assert ", snapshot of 2026-11-21T08:30:00Z" in updated.version
    assert updated.plan("openai", "gpt-5", NOON) is None
    assert updated.plan("anthropic", "claude-opus-5-5", NOON) is not None


def test_a_plan_is_remembered_within_its_span(prices: Prices) -> None:
    """The same model, tier and span give the same plan, whatever the case of the name that finds it."""
    first = prices.plan("openai", "gpt-5", NOON)
    upper = prices.plan("openai", "GPT-5", NOON)

    assert first is prices.plan("openai", "gpt-5", NOON + 1)
    assert upper is not None
    assert rates(upper) == rates(first)


@pytest.mark.parametrize(
    ("provider", "model"),
    [("nobody", "nothing"), ("openai", "gpt-77-nova"), ("openai", ""), ("openai", "gpt-5" * 100)],
)
def test_an_unknown_provider_or_model_has_no_plan(prices: Prices, provider: str, model: str) -> None:
    """A name that the catalogue lacks, or that is far too long, has no plan, the first time and the second."""
    assert prices.plan(provider, model, NOON) is None
    assert prices.plan(provider, model, NOON) is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names without end fill neither our memory nor the catalogue's, and known models still answer."""
    monkeypatch.setattr(prices_module, "_MOST", 50)
    bounded = Prices()
    bounded.load()
    for number in range(200):
        bounded.plan("openai", f"no-such-model-{number}", NOON)
        bounded.plan("openai", f"gpt-4o-audio-preview-{number}", NOON)
        assert len(bounded._plans) <= 50

    assert bounded._loaded is not None
    snapshot = bounded._loaded[0].snapshot
    assert not any("no-such-model" in str(key) for key in [*snapshot._lookup_cache, *snapshot._provider_cache])
    assert bounded.plan("openai", "gpt-5", NOON) is not None


def test_threads_share_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that fill and empty the memory at once always get the right plan."""
    monkeypatch.setattr(prices_module, "_MOST", 3)
    shared = Prices()
    shared.load()
    names = ["gpt-5", "gpt-4o", "gpt-4o-mini", "gpt-4.1", "o3", "no-such-model"]
    expected = [plan.model if plan else None for plan in (shared.plan("openai", name, NOON) for name in names)]
    wrong: list[str] = []

    def work() -> None:
        for _ in range(40):
            for name, model in zip(names, expected, strict=True):
                plan = shared.plan("openai", name, NOON)
                if (plan.model if plan else None) != model:
                    wrong.append(name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_a_dated_price_holds_from_midnight_utc(prices: Prices) -> None:
    """Both sides of the midnight of a price change have their own plan, in either order, and it tells its date."""
    before, after = moment("2026-08-20T23:59:59") + 999_999_999, moment("2026-08-21T00:00:00")
    for _ in range(2):
        old, new = prices.plan("openai", "gpt-5.6-sol", before), prices.plan("openai", "gpt-5.6-sol", after)
        assert (rates(old), rates(new)) == (("5", "30"), ("4", "20"))
        assert (since(old), since(new)) == (None, "2026-08-21")
        assert old is not None
        assert new is not None
        assert old.ends_ns == new.starts_ns == after


def test_plans_of_several_times_are_remembered(prices: Prices, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load of old events goes to and fro over a price change; it is not compiled anew each time, and memory is bounded."""
    before, after = moment("2026-08-20T12:00:00"), moment("2026-08-21T12:00:00")

    def both() -> list[int]:
        return [id(prices.plan("openai", "gpt-5.6-sol", at)) for at in (before, after)]

    both()
    settled = both()
    assert both() == both() == settled
    monkeypatch.setattr(prices_module, "_MOST_DATED", 2)
    for tier in ("a", "b", "c", "d"):
        for at in (before, after, before):
            prices.plan("openai", "gpt-5.6-sol", at, tier)
        assert len(prices._dated) <= 2


def test_a_price_by_time_of_day_changes_on_the_hour(prices: Prices) -> None:
    """An off-peak rate ends and begins at its times of day in UTC, every day, also after its dated predecessors."""
    expected = {
        "2026-08-16T12:00:00": ("0.14", "0.28"),
        "2026-08-17T12:00:00": ("0.22", "0.66"),
        "2026-10-01T00:59:59": ("0.15", "0.6"),
        "2026-10-01T01:00:00": ("0.3", "1.2"),
        "2026-10-01T03:59:59": ("0.3", "1.2"),
        "2026-10-01T04:00:00": ("0.15", "0.6"),
        "2026-10-01T06:00:00": ("0.3", "1.2"),
        "2026-10-01T10:00:00": ("0.15", "0.6"),
        "2026-10-02T00:30:00": ("0.15", "0.6"),
        "2026-10-02T01:00:00": ("0.3", "1.2"),
    }
    for at, usd in expected.items():
        assert rates(prices.plan("deepseek", "deepseek-v4-flash", moment(at))) == usd, at


def test_a_listed_tier_has_its_own_rate(prices: Prices) -> None:
    """Batch, flex and priority are priced by their own rates, in any case, with the date of that rate."""
    standard = prices.plan("openai", "gpt-5", NOON)
    batch = prices.plan("openai", "gpt-5", NOON, "batch")
    priority = prices.plan("openai", "gpt-5", NOON, "PRIORITY")

    assert rates(standard) == ("1.25", "10")
    assert rates(batch) == ("0.625", "5")
    assert rates(priority) == ("2.5", "20")
    assert since(priority) == "2026-10-12"
    assert batch is not None
    assert batch.price({"text": (1, 1)}).unpriced == ()


@pytest.mark.parametrize("tier", [None, "", "default", "standard", "auto", "on_demand", "ON_DEMAND"])
def test_normal_tiers_are_the_standard_rate(prices: Prices, tier: str | None) -> None:
    """The words of the providers for no particular tier mean the standard rate, and nothing is unpriced."""
    plan = prices.plan("openai", "gpt-5", NOON, tier)
    assert plan is not None

    assert rates(plan) == ("1.25", "10")
    assert plan.price({"text": (1, 1)}).unpriced == ()


@pytest.mark.parametrize(
    ("provider", "model", "tier", "at"),
    [
        ("openai", "gpt-5", "ultrafast", NOON),  # no such tier in the catalogue
        ("azure", "gpt-4o", "priority", NOON),  # the model is borrowed from OpenAI's list, the tier is not
        ("openai", "gpt-5", "fast", moment("2025-09-01T00:00:00")),  # listed, from a later date on
        ("anthropic", "claude-opus-5-5", "priority", NOON),
    ],
)
def test_a_tier_without_a_rate_is_said(prices: Prices, provider: str, model: str, tier: str, at: int) -> None:
    """A tier that the model has no rate for is priced at the standard rate, never silently."""
    plan = prices.plan(provider, model, at, tier)
    assert plan is not None
    priced = plan.price({"text": (1, 1)})

    assert priced.unpriced == (
        Unpriced("service_tier", 1, f"no rate for service tier {tier} of {plan.model}; standard rate used"),
    )
    assert rates(plan) == rates(prices.plan(provider, model, at))


@pytest.mark.parametrize("tier", ["scale", "PROVISIONED_THROUGHPUT", "provisioned", "reserved"])
def test_capacity_bought_beforehand_has_no_price_by_the_call(prices: Prices, tier: str) -> None:
    """Provisioned capacity gives no cost, and the reason."""
    plan = prices.plan("openai", "gpt-5", NOON, tier)
    assert plan is not None
    priced = plan.price({"text": (1, 0)})

    assert priced.cost is None
    assert "capacity bought beforehand" in priced.unpriced[0].reason


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "ft:gpt-9-2099-04-14:acme::x1"),
        ("openai", "ft:gpt-4-1106:acme::x1"),  # the catalogue lists it with its base model
        ("openai", "ft:o9-mini-2099-04-16:acme:moderation:x1"),  # and would find "moderation" in a name of the user's
        ("azure", "gpt-4o-2024-08-06.ft-0123abcd"),
        ("google", "tunedModels/gemini-1.5-flash-x1"),
    ],
)
def test_a_fine_tune_is_never_priced_as_its_base(prices: Prices, provider: str, model: str) -> None:
    """A fine-tuned model without a rate of its own has no cost, and the reason names it."""
    plan = prices.plan(provider, model, NOON)
    assert plan is not None
    priced = plan.price({"text": (1, 0)})

    assert priced.cost is None
    assert priced.unpriced[0].reason == f"no rate for the fine-tuned {model}; that of its base model does not hold"


def test_an_hour_of_cache_at_a_shorter_rate_is_said(prices: Prices) -> None:
    """A 1 h cache write on a model that lists one write rate is priced by that and listed as unpriced."""
    plan = prices.plan("openai", "gpt-6-sol", NOON)
    assert plan is not None
    priced = plan.price({"text_cache_write_1h": (1_000_000, 0)})

    assert priced.cost is not None
    assert priced.cost.total == cost_of(plan, {"text_cache_write": (1_000_000, 0)}).total
    assert [entry.unit for entry in priced.unpriced] == ["text_cache_write_1h"]


def test_a_generated_picture_at_the_text_rate_is_said(prices: Prices) -> None:
    """Image tokens of a model that lists only text output are doubtful; those of a pure image model are not."""
    mixed = prices.plan("openrouter", "openai/gpt-5-image", NOON)
    pure = prices.plan("openai", "gpt-image-2", NOON)
    assert mixed is not None
    assert pure is not None

    assert [entry.unit for entry in mixed.price({"image": (0, 1120)}).unpriced] == ["image"]
    assert pure.price({"image": (0, 1120)}).unpriced == ()


def test_cache_writes_without_a_fee_cost_the_input_rate(prices: Prices) -> None:
    """Models from before write fees write at the input rate, with nothing unpriced."""
    plan = prices.plan("openai", "gpt-4o", NOON)
    assert plan is not None

    assert plan.price({"text_cache_write": (1000, 0)}).unpriced == ()
    assert cost_of(plan, {"text_cache_write": (1000, 0)}).lines[0].rate == rates(plan)[0]


@pytest.mark.parametrize(
    ("provider", "model", "said"),
    [
        ("openai", "gpt-4o-audio-preview", ["audio_cache_read"]),
        ("mistral", "voxtral-small-24b-2507", ["audio", "audio_cache_read"]),
        ("openai", "gpt-realtime", []),
        ("openai", "gpt-audio", []),
        ("google", "gemini-2.5-flash", []),
        ("openai", "gpt-4o", []),
    ],
)
def test_audio_heard_at_the_text_rate_is_said(prices: Prices, provider: str, model: str, said: list[str]) -> None:
    """A model made for audio whose list has but a text rate is doubtful; any other has one rate for all that goes in."""
    plan = prices.plan(provider, model, NOON)
    assert plan is not None

    priced = plan.price({"text": (1, 1), "audio": (1000, 0), "audio_cache_read": (1000, 0)})

    assert [entry.unit for entry in priced.unpriced] == said


@pytest.mark.parametrize(
    ("model", "fee"),
    [
        ("gpt-4o-search-preview", "0.025"),
        ("gpt-4o-mini-search-preview-2025-03-11", "0.025"),
        ("gpt-5-search-api", "0.010"),
    ],
)
def test_models_that_search_by_themselves_have_a_fee(prices: Prices, model: str, fee: str) -> None:
    """OpenAI's chat search models search in every call, for a fee that no count tells."""
    plan = prices.plan("openai", model, NOON)
    assert plan is not None
    priced = plan.price({"text": (30, 200)})

    assert priced.unpriced == ()
    assert priced.cost is not None
    assert [line.amount for line in priced.cost.lines if line.unit == "request"] == [Decimal(fee)]


def test_a_request_s_fee_is_doubtful(prices: Prices) -> None:
    """Perplexity's fee depends on the context searched; the dearest is used, and said."""
    plan = prices.plan("perplexity", "sonar", NOON)
    assert plan is not None

    priced = plan.price({"text": (11, 62)})

    assert priced.cost is not None
    assert priced.cost.total == Decimal("0.012073")
    assert [(entry.unit, entry.quantity) for entry in priced.unpriced] == [("request", 1)]
