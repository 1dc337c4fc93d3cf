"""What units would cost a call that was not made yet: by the rates that are likely or, for strict limits, by the dearest that may
be charged, as the answer alone tells at which tier, where and by which model a call is served.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from .. import health
from ..costing import conditions, cost_of
from ..events import Units
from ..pricing.tiers import STANDARD
from ..providers._asking import members
from ..providers._hosted import CONTAINER, MEMORY_TERMS
from ..providers.base import Facts, Reading
from .beyond import Beyond
from .bounds import PICTURE
from .charges import tokens_of
from .ledger import Amount

if TYPE_CHECKING:
    from ..call import Call
    from ..pricing import Prices

__all__ = ["WRITES_UNASKED", "Price", "by_piece", "by_sound", "is_billed_by_sound", "likely", "most"]

Price: TypeAlias = Callable[[Units], int | None]
"""The ticks of units; None if nobody knows."""

_UNASKED: Final = {
    "aws": ("priority",),
    "azure": ("priority",),
    "databricks": ("priority",),
    "google": ("priority",),
    "openai": ("priority",),
}
"""Tiers that may serve a call whose body asks for none, and cost more than the standard one: OpenAI's project, Azure's deployment
and Databricks' endpoint have one by default (their pages on priority processing), Bedrock and Vertex are asked for one by a
header, which is not looked at. Other providers serve what they are asked for."""
_PLACES: Final = {"anthropic": ("geo:us",), "azure": ("geo:us",)}
"""Where a call may be served without having asked for it: Anthropic's workspaces have a default (its page on data residency)."""
_HURRIED: Final = {"aws": ("latency:optimized",)}
"""The same of what a header asks for (Bedrock's page on latency-optimized inference)."""
WRITES_UNASKED: Final = frozenset({"azure", "openai"})
"""Providers that write prompts to a cache without being asked to, for a fee since GPT-5.6."""
_FEES: Final = (
    "code_execution_request", "document_search_request", "file_search_request", "maps_request", "visit_request",
    "web_search_request", "web_source_request", "x_search_request",
)  # fmt: skip
"""By which tools are billed that the provider runs."""

_MOST_NAMES: Final = 20
"""Models that one request may name: a few there are in earnest, and to price each of thousands would hold up the event loop."""
_USUAL_BYTES: Final = 4_000
"""Of a second of sound: speech at 32 kbit/s. Most files have more, so that less is charged in the end."""
_FEWEST_BYTES: Final = 750
"""The same where it is to be a bound: speech at 6 kbit/s, the least that Opus is made for (RFC 6716, section 2.1.1). Long silence
may take less."""


class _Rates(NamedTuple):
    """What a call's rates depend on besides its model."""

    prices: Prices
    provider: str
    at_ns: int
    price_as: str | None

    def ticks(self, model: str | None, units: Units, tier: str | None, terms: tuple[str, ...]) -> int | None:
        cost = cost_of(
            self.prices, self.provider, model, units, self.at_ns, tier, None, self.price_as, "estimate", terms=terms
        ).cost
        return None if cost is None else cost.total_ticks


def likely(prices: Prices, call: Call, model: str | None, tier: str | None) -> Price:
    """By the tier that the request asks for."""
    who = call.attributed.attribution
    rates = _Rates(prices, call.provider.id, call.started_ns, who.price_as)
    terms = conditions(prices, who, ()) if who.resource_scope or prices.accounts else ()
    return lambda units: rates.ticks(model, units, tier, terms)


def most(
    prices: Prices,
    call: Call,
    model: str | None,
    tier: str | None,
    beyond: Beyond,
    seen: bytes | None,
    ceiling: int,
) -> Price:
    """By the dearest tier, place and model that may serve it, with what the provider may do besides.

    Each model is priced once, however often the request names it; one that names too many is held as one without a price.

    Args:
        prices: The rates, loaded.
        call: That is to be made.
        model: That it asks for.
        tier: The service tier that it asks for; None if it leaves that to the provider.
        beyond: What its request may take besides an answer of its model.
        seen: The request's body, or its outline.
        ceiling: Tokens of an advice, which no request bounds.
    """
    who, provider = call.attributed.attribution, call.provider.id
    rates = _Rates(prices, provider, call.started_ns, who.price_as)
    known = _known_before(call, Reading(model, units={}), seen)
    ways = list(_ways(provider, tier, conditions(prices, who, known.terms)))
    may_answer, also, advisors = {model, *beyond.instead}, Counter(beyond.also), _each(beyond.advisors)
    if len(may_answer) + len(also) + len(advisors) > _MOST_NAMES:
        return _unknown

    def dearest(name: str | None, units: Units) -> int | None:
        """None if the model has no rates; a tier or a place without one of its own is charged the model's."""
        ticks = rates.ticks(name, units, *ways[0])
        if ticks is None:
            return None
        return max(ticks, *(rates.ticks(name, units, *way) or 0 for way in ways[1:])) if len(ways) > 1 else ticks

    def price(units: Units) -> int | None:
        if known.units:  # what is billed by the piece is in the request
            units = {**units, **known.units}
        answers = [dearest(name, units) for name in may_answer]
        taken, made = (sum(sides[side] for sides in units.values()) for side in (0, 1))
        advice: Units = {"text": (taken, max(made, ceiling))}
        besides = [(dearest(name, units), times) for name, times in also.items()]
        besides += [(dearest(name, advice), times) for name, times in advisors.items()]
        if None in answers or any(ticks is None for ticks, _ in besides):
            return None
        return (
            max(filter(None, answers), default=0) + sum((ticks or 0) * times for ticks, times in besides) + tools(taken)
        )

    def tools(taken: int) -> int:
        fees = max(rates.ticks(model, {fee: (0, beyond.uses)}, *ways[0]) or 0 for fee in _FEES) if beyond.uses else 0
        if beyond.draws:
            fees += dearest(beyond.draws, {"text": (taken, 0), "image": (0, PICTURE * max(beyond.uses, 1))}) or 0
        return fees + (_container(rates) if beyond.runs_code else 0)

    return price


def _each(advisors: tuple[tuple[str, int], ...]) -> Counter[str]:
    """How often each may be asked, in all."""
    asked: Counter[str] = Counter()
    for name, times in advisors:
        asked[name] += times
    return asked


def _unknown(units: Units) -> None:
    """Nobody knows."""


def by_piece(prices: Prices, call: Call, model: str | None, tier: str | None, seen: bytes | None) -> Amount | None:
    """What pictures and speech come to that a request tells whole, as an answer without usage is counted: nothing bounds their
    tokens, and some models are billed by the picture or the letter. None of any other call, and of a model without a price.
    """
    told = _known_before(call, Reading(model), seen)
    if not told.units:
        return None
    who, provider = call.attributed.attribution, call.provider.id
    rates = _Rates(prices, provider, call.started_ns, who.price_as)
    ways = _ways(provider, tier, conditions(prices, who, told.terms))
    ticks = max(filter(None, [rates.ticks(told.model, told.units, *way) for way in ways]), default=None)
    return None if ticks is None else Amount(ticks, tokens_of(told.units))


def by_sound(
    prices: Prices, call: Call, model: str | None, tier: str | None, seen: bytes | None, *, strict: bool
) -> Amount | None:
    """What a sound comes to that is sent as a file, where the model is billed by its seconds: by how many bytes it has. None of any
    other call, and where nobody knows the file's size.
    """
    files = members(seen).get("files")
    if not isinstance(files, list):
        return None
    sizes = [file.get("size") for file in files if isinstance(file, dict)]
    whole = sum(size for size in sizes if isinstance(size, int) and size > 0)
    seconds = -(-whole // (_FEWEST_BYTES if strict else _USUAL_BYTES))
    rates = _Rates(prices, call.provider.id, call.started_ns, call.attributed.attribution.price_as)
    ticks = rates.ticks(model, {"audio_second": (seconds, 0)}, tier, ()) if seconds else None
    return None if ticks is None else Amount(ticks, 0)


def is_billed_by_sound(prices: Prices, call: Call, model: str | None) -> bool:
    """Whether a model without a rate for text has one for seconds of sound, whose number only the answer tells."""
    rates = _Rates(prices, call.provider.id, call.started_ns, call.attributed.attribution.price_as)
    return rates.ticks(model, {"audio_second": (1, 0)}, None, ()) is not None


def _container(rates: _Rates) -> int:
    """The dearest in which code runs, whatever its memory."""
    units: Units = {"container_session_request": (0, 1)}
    return max(rates.ticks(CONTAINER, units, None, terms) or 0 for terms in ((), *MEMORY_TERMS.values()))


def _ways(provider: str, tier: str | None, terms: tuple[str, ...]) -> Iterator[tuple[str | None, tuple[str, ...]]]:
    """The tiers and terms by which the call may be charged, the one that is likely first."""
    if tier in STANDARD:
        tiers: tuple[str | None, ...] = (tier,)
    else:  # what is asked for may not be to be had, and is served as standard
        tiers = (None, *_UNASKED.get(provider, ())) if tier is None else (tier, None)
    added = [more for more in ((), _PLACES.get(provider, ()), _HURRIED.get(provider, ())) if more not in ((), terms)]
    for one in tiers:
        for more in ((), *added):
            yield one, (*terms, *more)


def _known_before(call: Call, nothing: Reading, seen: bytes | None) -> Reading:
    """What of an exchange is known without its answer: where it is processed, and what is billed by the piece."""
    refine, exchange = call.route.endpoint.refine, call.exchange
    if refine is None:
        return nothing
    try:
        return refine(nothing, Facts(exchange.host, exchange.path, seen, call.asked, {}, b"", False))
    except Exception:
        health.note("limit_terms", "where a call is going to be processed could not be told beforehand", exc_info=True)
        return nothing
