"""From what an answer told to its cost, or to the reason why there is none."""

from __future__ import annotations

import pytest

from payi_middleware.costing import cost_of
from payi_middleware.events import Units
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
