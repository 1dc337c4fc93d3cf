"""From what an answer told to its cost, or to the reason why there is none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from payi_middleware.costing import cost_of
from payi_middleware.events import Part, Units, Unpriced
from payi_middleware.pricing import Prices

NOON = 1_795_000_000 * 10**9


@pytest.fixture(scope="module")
def prices() -> Prices:
    loaded = Prices()
    loaded.load()
    return loaded


@pytest.mark.parametrize(
    ("provider", "model", "units"),
    [
        ("openai", "o1-pro", {"text": (1 << 40, 1 << 40)}),
        ("anthropic", "claude-sonnet-4-5", {"text": (1, 1), "web_search_request": (0, 1 << 40)}),
    ],
)
def test_an_absurd_cost_is_none(prices: Prices, provider: str, model: str, units: Units) -> None:
    """Counts that come to more than a million dollars are malformed: no sum of the store's is to overflow by them."""
    costed = cost_of(prices, provider, model, units, NOON)

    assert (costed.cost, costed.source) == (None, "none")
    assert costed.reason == "the counts come to more than a million dollars: malformed"


def test_the_largest_of_prompts_has_a_cost(prices: Prices) -> None:
    """A hundred million tokens of a dear model are still believed."""
    costed = cost_of(prices, "openai", "o1-pro", {"text": (10**8, 0)}, NOON)

    assert costed.cost is not None
    assert costed.cost.total == 15_000


def test_terms_choose_among_rates(prices: Prices) -> None:
    """A picture by its size, processing in a region at 1.1 times; a size that nobody prices has no rate, and says so."""
    small = cost_of(prices, "openai", "dall-e-2", {"generated_image": (0, 2)}, NOON, terms=("size:256x256",))
    region = cost_of(prices, "openai", "gpt-5.4", {"text": (1_000_000, 0)}, NOON, terms=("scope:region",))
    plain = cost_of(prices, "openai", "gpt-5.4", {"text": (1_000_000, 0)}, NOON)
    odd = cost_of(prices, "openai", "sora-2-pro", {"generated_video_second": (0, 8)}, NOON, terms=("size:1x1",))

    assert small.cost is not None
    assert small.cost.total == Decimal("0.032")
    assert region.cost is not None
    assert plain.cost is not None
    assert region.cost.total * 10 == plain.cost.total * 11
    assert region.cost.lines[0].source == "genai-prices x 1.1"
    assert odd.cost is None
    assert odd.reason == "no rate for any unit of sora-2-pro"
    assert odd.unpriced == (
        Unpriced("generated_video_second", 8, "no rate for generated_video_second output of sora-2-pro"),
    )


def test_what_several_models_consumed_is_priced_each_by_its_own(prices: Prices) -> None:
    """A part without a model is the one that answered; tiers and terms are each part's own; the sum prices nothing."""
    parts = (
        Part(None, {"text": (1_000_000, 0)}),
        Part("gpt-5", {"text": (1_000_000, 0)}, "batch"),
        Part("dall-e-2", {"generated_image": (0, 1)}, None, ("size:512x512",)),
    )
    costed = cost_of(prices, "openai", "gpt-5-mini", {"text": (9, 9)}, NOON, parts=parts)

    assert costed.cost is not None
    assert [line.amount for line in costed.cost.lines] == [Decimal("0.25"), Decimal("0.625"), Decimal("0.018")]
    assert costed.cost.total == Decimal("0.893")
    assert (costed.source, costed.unpriced, costed.reason) == ("usage", (), None)


def test_a_part_of_an_unknown_model_is_unpriced(prices: Prices) -> None:
    """The rest has its cost; with no known model at all there is none."""
    seen = Unpriced("image_generation_call", 1, "seen")
    unknown = Part("moonbeam-9", {"text": (1, 0)})
    some = cost_of(prices, "openai", "gpt-5", {}, NOON, seen=(seen,), parts=(unknown, Part(None, {"text": (10, 0)})))
    none = cost_of(prices, "openai", None, {}, NOON, parts=(unknown, Part(None, {"text": (1, 0)})))

    reason = "no rates for model moonbeam-9 of openai"
    assert some.cost is not None
    assert some.unpriced == (seen, Unpriced("model", 1, reason))
    assert (none.cost, none.source, none.reason) == (None, "none", "no rate for any of several models")
    assert [entry.reason for entry in none.unpriced] == [reason, "no rates for model  of openai"]


def test_what_has_no_unit_at_all_is_not_free(prices: Prices) -> None:
    """Pictures that Cohere counts by the piece: 0 would say that nothing was taken. A refusal, of which nothing is, costs 0."""
    pictures = (Unpriced("image", 3, "images are billed by the piece"),)

    taken = cost_of(prices, "cohere", "embed-v4.0", {}, NOON, seen=pictures)
    zeros = cost_of(prices, "cohere", "embed-v4.0", {"text": (0, 0)}, NOON, seen=pictures)
    refused = cost_of(prices, "anthropic", "claude-opus-4-8", {"text": (0, 0)}, NOON, reason="refused")

    for costed in (taken, zeros):
        assert (costed.cost, costed.source, costed.unpriced) == (None, "none", pictures)
        assert costed.reason == "no rate for anything that embed-v4.0 took"
    assert refused.cost is not None
    assert (refused.cost.total_ticks, refused.source) == (0, "usage")


def test_absurd_parts_have_no_cost(prices: Prices) -> None:
    """The bound holds for their sum."""
    parts = (Part(None, {"text": (1 << 40, 0)}), Part(None, {"text": (1 << 40, 0)}))
    costed = cost_of(prices, "openai", "o1-pro", {}, NOON, parts=parts)

    assert (costed.cost, costed.reason) == (None, "the counts come to more than a million dollars: malformed")


@pytest.mark.parametrize(("tier", "terms"), [("fast", ()), (None, ("speed:fast",))])
def test_opus_4_6_has_fast_rates_however_it_is_told(prices: Prices, tier: str | None, terms: tuple[str, ...]) -> None:
    """The list has no fast rates of the first model that was served so: six times the others."""
    costed = cost_of(prices, "anthropic", "claude-opus-4-6", {"text": (1000, 1000)}, NOON, tier, terms=terms)
    assert costed.cost is not None
    assert costed.cost.total == Decimal("0.18")
    assert costed.unpriced == ()


def test_the_fast_speed_of_a_term_is_priced_by_the_list(prices: Prices) -> None:
    """genai-prices has fast rates of some models; where it has none, that is said."""
    units: Units = {"text": (1_000_000, 0)}
    fast = cost_of(prices, "anthropic", "claude-opus-5-5", units, NOON, terms=("speed:fast",))
    slow = cost_of(prices, "anthropic", "claude-haiku-4-5", units, NOON, terms=("speed:fast",))

    assert fast.cost is not None
    assert (fast.cost.total, fast.unpriced) == (8, ())
    assert slow.unpriced == (Unpriced("speed", 1, "no rate for speed:fast of claude-haiku-4-5; standard rate used"),)


def test_a_rate_in_doubt_is_used_and_said(prices: Prices) -> None:
    """A container is billed by the minute, of which a call tells nothing: the least is charged."""
    costed = cost_of(prices, "openai", "container", {"container_session_request": (0, 1)}, NOON)

    assert costed.cost is not None
    assert costed.cost.total == Decimal("0.0075")
    assert costed.unpriced == (
        Unpriced("container_session_request", 1, "containers are billed by the minute; the least, 5 minutes, is used"),
    )


def test_the_lines_of_a_batch_are_added_up_by_rate(prices: Prices) -> None:
    """An event has as many lines as there are rates, not as many as the batch has; the sum is exact."""
    parts = tuple(Part("gpt-4o-mini", {"text": (60_000 + number, 1)}, "batch") for number in range(1000))
    nowhere = tuple(Part("no-such-model", {"text": (1, 0)}, "batch") for _ in range(1000))

    costed = cost_of(prices, "openai", "gpt-4o-mini", {}, NOON, parts=parts + nowhere)
    unknown = cost_of(prices, "openai", "gpt-4o-mini", {}, NOON, parts=nowhere)

    assert costed.cost is not None
    assert [(line.side, line.quantity) for line in costed.cost.lines] == [("input", 60_499_500), ("output", 1000)]
    assert costed.cost.total == Decimal("60499500") * Decimal("0.000000075") + Decimal("0.0003")
    assert costed.unpriced == unknown.unpriced
    assert [(entry.unit, entry.quantity) for entry in unknown.unpriced] == [("model", 1000)]
