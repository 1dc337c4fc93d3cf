"""From what an answer told to what it cost: the provider's own statement, else usage by rates, else nothing and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .events import TICKS_PER_USD, Cost, CostSource, Line, Units, Unpriced, usd
from .pricing import Prices
from .providers import PROVIDERS

__all__ = ["Costed", "cost_of"]

_MOST_TICKS = (
    10**6 * TICKS_PER_USD
)  # a million dollars: counts that come to more are malformed, and would flood the sums
_ABSURD = "the counts come to more than a million dollars: malformed"
_BY_CATEGORY = {provider.category: provider.id for provider in reversed(PROVIDERS)}


class Costed(NamedTuple):
    """The price of a call."""

    cost: Cost | None
    source: CostSource
    unpriced: tuple[Unpriced, ...]
    reason: str | None


# The named tuple's own __new__ is written in Python and takes a fifth of a microsecond more.
_new: Callable[[type[Costed], tuple[Cost, CostSource, tuple[Unpriced, ...], str | None]], Costed] = tuple.__new__


def cost_of(
    prices: Prices,
    provider: str,
    model: str | None,
    units: Units,
    at_ns: int,
    tier: str | None = None,
    stated_ticks: int | None = None,
    price_as: str | None = None,
    source: CostSource = "usage",
    seen: tuple[Unpriced, ...] = (),
    reason: str | None = None,
) -> Costed:
    """The cost of `units` at a time (nanoseconds since the epoch), `seen` being what was consumed beside them."""
    if stated_ticks is not None:
        return Costed(_stated(stated_ticks), "provider", (), reason)
    if price_as:
        provider, model = _priced_as(price_as, provider)
    if not model:
        return Costed(None, "none", seen, reason or "neither the answer nor the request names a model")
    plan = prices.plan(provider, model, at_ns, tier)
    if plan is None:
        return Costed(None, "none", seen, f"no rates for model {model[:128]} of {provider}")
    cost, unpriced = plan.price(units)
    if seen:
        unpriced = (*unpriced, *seen)
    if cost is None:
        return Costed(None, "none", unpriced, reason or f"no rate for any unit of {model[:128]}")
    if cost.total_ticks > _MOST_TICKS:
        return Costed(None, "none", unpriced, _ABSURD)
    return _new(Costed, (cost, source, unpriced, reason))


def _stated(ticks: int) -> Cost:
    """A cost the provider states has one line; it does not tell how the sides share it, so all of it is output."""
    line = Line("stated", "output", 1, format(usd(ticks), "f"), 1, "provider")
    return Cost(0, ticks, ticks, (line,))


def _priced_as(price_as: str, provider: str) -> tuple[str, str]:
    category, slash, resource = price_as.partition("/")
    if slash and category in _BY_CATEGORY:
        return _BY_CATEGORY[category], resource
    return provider, price_as
