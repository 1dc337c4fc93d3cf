"""From what an answer told to what it cost: the provider's own statement, else usage by rates, else nothing and why."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

import msgspec

from .events import TICKS_PER_USD, Attribution, Cost, CostSource, Line, Outcome, Part, Units, Unpriced, usd
from .outcomes import why_nothing
from .pricing import Prices, cost_of_lines
from .providers import PROVIDERS
from .providers.base import Reading

__all__ = ["Costed", "conditions", "cost_answered", "cost_of", "cost_read", "is_absurd", "provider_of"]

_MOST_TICKS = (
    10**6 * TICKS_PER_USD
)  # a million dollars: counts that come to more are malformed, and would flood the sums
_MANY = 64  # parts: more than one answer has, so they are lines of a batch
_ABSURD: Final = "the counts come to more than a million dollars: malformed"
_BY_CATEGORY = {provider.category: provider.id for provider in reversed(PROVIDERS)}


_Counted = TypeVar("_Counted", Line, Unpriced)


class Costed(NamedTuple):
    """The price of a call."""

    cost: Cost | None
    source: CostSource
    unpriced: tuple[Unpriced, ...]
    reason: str | None


# The named tuple's own __new__ is written in Python and takes a fifth of a microsecond more.
_new: Callable[[type[Costed], tuple[Cost, CostSource, tuple[Unpriced, ...], str | None]], Costed] = tuple.__new__


def provider_of(category: str) -> str:
    """The provider by whose rates a category is priced; of a category that is nobody's, its own name."""
    return _BY_CATEGORY.get(category) or category.removeprefix("system.")


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
    terms: tuple[str, ...] = (),
    parts: tuple[Part, ...] = (),
) -> Costed:
    """The cost of `units` at a time (nanoseconds since the epoch), `seen` being what was consumed beside them.

    `terms` say what else the rates depend on. `parts` are what each of several models consumed; then `units`, their sum,
    prices nothing.
    """
    if stated_ticks is not None:
        return Costed(_stated(stated_ticks), "provider", (), reason)
    if price_as or prices.mappings:
        host, named = provider, model
        provider, model, terms = _priced_as(prices, price_as, provider, model, terms)
        if parts and (host, named) != (provider, model):
            parts = _as_named(parts)
    if parts:
        return _of_parts(prices, provider, model, parts, at_ns, source, seen, reason, terms)
    if not model:
        return Costed(None, "none", seen, reason or "neither the answer nor the request names a model")
    plan = prices.plan(provider, model, at_ns, tier, terms) if terms else prices.plan(provider, model, at_ns, tier)
    if plan is None:
        why = _no_rates(provider, model)
        return Costed(None, "none", seen, f"{why}; {reason}" if reason else why)
    cost, unpriced = plan.price(units)
    if seen:
        unpriced = (*unpriced, *seen)
    if cost is None:
        return Costed(None, "none", unpriced, reason or f"no rate for any unit of {model[:128]}")
    if seen and not cost.lines:  # 0 is a cost only where nothing was consumed
        return Costed(None, "none", unpriced, reason or f"no rate for anything that {model[:128]} took")
    if cost.total_ticks > _MOST_TICKS:
        return Costed(None, "none", unpriced, _ABSURD)
    return _new(Costed, (cost, source, unpriced, reason))


def is_absurd(costed: Costed) -> bool:
    """Whether the counts are malformed, as their cost shows: then none of them is to be kept, nor counted to a limit."""
    return costed.reason == _ABSURD


def cost_answered(prices: Prices, provider: str, at_ns: int, who: Attribution, reading: Reading) -> Costed:
    """The cost of an answer that named its model and told its usage."""
    return cost_of(
        prices,
        provider,
        reading.model,
        reading.units or {},
        at_ns,
        reading.service_tier,
        price_as=who.price_as,
        seen=reading.unpriced,
        reason=reading.reason,
        terms=conditions(prices, who, reading.terms),
        parts=reading.parts,
    )


def cost_read(
    prices: Prices,
    provider: str,
    at_ns: int,
    who: Attribution,
    status: int | None,
    reading: Reading,
    model: str | None,
    units: Units | None,
    source: CostSource,
    reason: str | None,
    outcome: Outcome,
    is_held: bool,
) -> tuple[Costed, Callable[[], Costed] | None]:
    """The cost of an answer as it was read; of source `estimate` or `usage` without a cost if it is left to the draining thread.

    That thread prices what nobody asks for here: no limit is to count it (`is_held`), and the running request only if it is asked
    itself, to which end it gets to know how. If this process dies, whoever finds the call prices it: by the same rates, unless
    their owner sets some.
    """
    stated = reading.stated_ticks
    if units is None and stated is None:
        return Costed(None, "none", reading.unpriced, why_nothing(outcome, status, reason)), None
    if stated is None and (reading.units is None or not prices.ready or (reading.estimated and reading.by_length)):
        return Costed(None, source, reading.unpriced, reason), None
    terms = reading.terms
    if who.resource_scope or prices.accounts:
        terms = conditions(prices, who, terms)
    price = functools.partial(
        cost_of,
        prices,
        provider,
        model,
        units or {},
        at_ns,
        reading.service_tier,
        stated,
        who.price_as,
        source,
        reading.unpriced,
        reason,
        terms,
        reading.parts,
    )
    if stated is not None or is_held or prices.owned:
        return price(), None
    return tuple.__new__(Costed, (None, source, reading.unpriced, reason)), price


def _no_rates(provider: str, model: str) -> str:
    return f"no rates for model {model[:128]} of {provider}"


def _as_named(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Parts whose answering model is priced by what somebody named, not by the provider that a gateway told."""
    return tuple(msgspec.structs.replace(part, provider=None) if part.model is None else part for part in parts)


def _of_parts(
    prices: Prices,
    provider: str,
    model: str | None,
    parts: tuple[Part, ...],
    at_ns: int,
    source: CostSource,
    seen: tuple[Unpriced, ...],
    reason: str | None,
    terms: tuple[str, ...],
) -> Costed:
    """The cost of what several models consumed; one that names none is the model that answered."""
    lines: list[Line] = []
    unpriced = list(seen)
    for part in parts:
        host, name = part.provider or provider, part.model or model or ""
        plan = prices.plan(host, name, at_ns, part.service_tier, part.terms + terms)
        if plan is None:
            unpriced.append(Unpriced("model", 1, _no_rates(host, name)))
            continue
        cost, missing = plan.price(part.units)
        unpriced += missing
        lines += () if cost is None else cost.lines
    if len(parts) > _MANY:
        lines, unpriced = _added_up(lines), _added_up(unpriced)
    if not lines:
        return Costed(None, "none", tuple(unpriced), reason or "no rate for any of several models")
    cost = cost_of_lines(lines)
    if cost.total_ticks > _MOST_TICKS:
        return Costed(None, "none", tuple(unpriced), _ABSURD)
    return Costed(cost, source, tuple(unpriced), reason)


def _added_up(entries: list[_Counted]) -> list[_Counted]:
    """Entries that differ in nothing but their quantity as one: a batch has up to 100,000 lines, an event has bounds."""
    sums: dict[_Counted, int] = {}
    for entry in entries:
        kind = msgspec.structs.replace(entry, quantity=0)
        sums[kind] = sums.get(kind, 0) + entry.quantity
    return [msgspec.structs.replace(kind, quantity=quantity) for kind, quantity in sums.items()]


def _stated(ticks: int) -> Cost:
    """A cost the provider states has one line; it does not tell how the sides share it, so all of it is output."""
    line = Line("stated", "output", 1, format(usd(ticks), "f"), 1, "provider")
    return Cost(0, ticks, ticks, (line,))


def conditions(prices: Prices, who: Attribution, terms: tuple[str, ...]) -> tuple[str, ...]:
    """What the rates depend on, with what only the attribution tells: where the resource is, and whose account pays."""
    if who.resource_scope:
        terms = _scoped(terms, who.resource_scope)
    if who.account_name in prices.accounts:
        terms = (*terms, f"account:{who.account_name}")
    return terms


def _scoped(terms: tuple[str, ...], scope: str) -> tuple[str, ...]:
    """Terms with a scope that somebody names: `datazone.eu` is a data zone, that of Europe."""
    told = tuple(term for term in terms if not term.startswith("scope:"))
    kind, _, zone = scope.partition(".")
    return (*told, f"scope:{kind}", f"zone:{zone}") if zone else (*told, f"scope:{kind}")


def _priced_as(
    prices: Prices, price_as: str | None, provider: str, model: str | None, terms: tuple[str, ...]
) -> tuple[str, str | None, tuple[str, ...]]:
    """Provider, model and terms by which to price: as the call says, else as the owner's mappings do."""
    if not price_as:
        name = (model or "").lower()
        mapped = prices.mappings.get((provider, name)) or prices.mappings.get((None, name))
        if mapped is None:
            return provider, model, terms
        price_as = mapped.price_as
        if mapped.resource_scope:
            terms = _scoped(terms, mapped.resource_scope)
    category, slash, resource = price_as.partition("/")
    if slash and category in _BY_CATEGORY:
        return _BY_CATEGORY[category], resource, terms
    return provider, price_as, terms
