"""What a request would cost, before it is sent: at least, likely, at most, and how each figure was found."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from . import answer_bound, providers
from .costing import Costed, conditions, cost_of
from .events import Attribution, Units, Unpriced
from .exceptions import RequestError
from .limits.beyond import beyond
from .limits.outline import MAX_READ, outline
from .limits.quoting import WRITES_UNASKED
from .providers._claude import costs_more_in_the_us
from .usual import Usual, usual_answer

if TYPE_CHECKING:
    from .counting.estimates import Estimates
    from .pricing import Prices
    from .providers.base import Route
    from .settings import Settings

__all__ = ["Figure", "RequestEstimate", "beforehand"]

_TEXT: Final = "text"
_FEE: Final = "a use of a tool that the provider runs may have a fee, and what it finds is input"
# Quotes inside strings are escaped: no match. Anthropic's, which others take over, and Bedrock's Converse.
_CACHED: Final = re.compile(rb'"cache_control"\s*:\s*\{|"cachePoint"\s*:\s*\{')
_FOR_AN_HOUR: Final = re.compile(rb'"ttl"\s*:\s*"1h"')
_NO_ANSWER: Final[tuple[int | None, str]] = (0, "there is no answer to pay for")


class Figure(msgspec.Struct, frozen=True):
    """One of the three figures."""

    cost: Decimal | None
    """US dollars; None where it cannot be told."""
    output_tokens: int | None
    how: str
    """How it was found, or why it was not."""


class RequestEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a request would cost. The input is counted as the provider would; what the answer will be is not known."""

    provider: str
    endpoint: str
    model: str | None
    units: Units
    """Of the input."""
    how: str
    """How the input was counted."""
    low: Figure
    """The input alone, by the plain rate: a cached prompt may cost less."""
    likely: Figure
    """With an answer as long as earlier ones."""
    most: Figure
    """With an answer as long as it may become, and by the rate of cache writes where the prompt may be written to one."""
    unpriced: tuple[Unpriced, ...]
    """What the figures leave out."""
    price_version: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: money as decimal strings."""
        figures = {"low": self.low, "likely": self.likely, "most": self.most}
        return {
            "provider": self.provider,
            "endpoint": self.endpoint,
            "model": self.model,
            "units": {name: {"input": sides[0], "output": sides[1]} for name, sides in self.units.items()},
            "how": self.how,
            **{
                name: {
                    "cost": None if figure.cost is None else format(figure.cost, "f"),
                    "output_tokens": figure.output_tokens,
                    "how": figure.how,
                }
                for name, figure in figures.items()
            },
            "unpriced": [{"unit": u.unit, "quantity": u.quantity, "reason": u.reason} for u in self.unpriced],
            "price_version": self.price_version,
        }


def beforehand(
    prices: Prices,
    estimates: Estimates,
    settings: Settings,
    request: Mapping[str, Any] | bytes,
    provider: str,
    endpoint: str,
    use_case: str | None,
    who: Attribution,
) -> RequestEstimate:
    """See `Meter.estimate`. Loads rates and tokenizers, reads the store: not for the application's path."""
    body = request if isinstance(request, bytes) else _encoded(request)
    asked = _parsed(body)
    maker, route = _route(provider, endpoint)
    model = route.model or route.endpoint.ask(body).model
    units, how, uncounted = estimates.of_request(route.endpoint, body, model)
    prices.load()
    tier, terms = answer_bound.tier(asked), conditions(prices, who, _places(asked, model))
    fees = _fees(body)
    counted = _Counted(prices, maker.id, model, units, uncounted + fees, time.time_ns(), tier, terms, who.price_as)
    most = likely = _NO_ANSWER
    prompts: tuple[str, ...] = (_TEXT,)
    if "embed" not in route.endpoint.template.lower():
        most = answer_bound.bound(prices.window(maker.id, model), asked, units)
        likely = _likely(usual_answer(settings, use_case, model), most[0])
        prompts = _prompts(maker.id, body)
    return RequestEstimate(
        provider=maker.id,
        endpoint=route.endpoint.template,
        model=model,
        units=units,
        how=how,
        low=counted.figure(0, "the input alone"),
        likely=counted.figure(*likely),
        most=counted.dearest(*most, prompts),
        unpriced=counted.priced(0).unpriced,
        price_version=prices.version,
    )


class _Counted(NamedTuple):
    """A request whose input is counted."""

    prices: Prices
    provider: str
    model: str | None
    units: Units
    unpriced: tuple[Unpriced, ...]
    at_ns: int
    tier: str | None
    terms: tuple[str, ...]
    price_as: str | None

    def priced(self, made: int, prompt: str = _TEXT) -> Costed:
        """With an answer of so many tokens, the text of the prompt being of a unit."""
        whole = {**self.units, _TEXT: (0, made)}
        whole[prompt] = (self.units.get(_TEXT, (0, 0))[0], whole.get(prompt, (0, 0))[1])
        return cost_of(
            self.prices,
            self.provider,
            self.model,
            whole,
            self.at_ns,
            self.tier,
            None,
            self.price_as,
            "estimate",
            self.unpriced,
            terms=self.terms,
        )

    def figure(self, made: int | None, how: str, prompt: str = _TEXT) -> Figure:
        costed = None if made is None else self.priced(made, prompt)
        if costed is None or costed.cost is None:
            return Figure(None, made, how if costed is None else costed.reason or how)
        return Figure(costed.cost.total, made, how)

    def dearest(self, made: int | None, how: str, prompts: tuple[str, ...]) -> Figure:
        """By the dearest of the units that the prompt's text may be charged as."""
        plain = self.figure(made, how)
        for prompt in prompts:
            written = self.figure(made, f"{how}, and all of the prompt written to a cache", prompt)
            if plain.cost is not None and written.cost is not None and written.cost > plain.cost:
                plain = written
        return plain


def _places(asked: Mapping[str, Any], model: str | None) -> tuple[str, ...]:
    """Where the request asks to be processed, if that changes the price (Anthropic)."""
    return ("geo:us",) if asked.get("inference_geo") == "us" and costs_more_in_the_us(model) else ()


def _prompts(provider: str, body: bytes) -> tuple[str, ...]:
    """As what units the prompt's text may be charged: written to a cache, if the request or the provider wants that."""
    if _CACHED.search(body) is None:
        return (_TEXT, "text_cache_write") if provider in WRITES_UNASKED else (_TEXT,)
    if _FOR_AN_HOUR.search(body) is None:
        return (_TEXT, "text_cache_write")
    return (_TEXT, "text_cache_write", "text_cache_write_1h")


def _fees(body: bytes) -> tuple[Unpriced, ...]:
    """The fees of tools that the provider runs, as often as the request lets it."""
    seen = body if len(body) <= MAX_READ else outline(body, MAX_READ)
    uses = beyond(seen).uses
    return (Unpriced("tool_use", uses, _FEE),) if uses else ()


def _encoded(request: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(dict(request)).encode()
    except (TypeError, ValueError) as error:
        raise RequestError(f"the request is no JSON object: {error}") from None


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError("the request is no JSON") from None
    if not isinstance(asked, dict):
        raise RequestError("the request is no JSON object")
    return asked


def _route(provider: str, endpoint: str) -> tuple[providers.Provider, Route]:
    """Where the request would go.

    Raises:
        RequestError: Nobody is named so, or nothing at the path takes text.
    """
    try:
        maker = providers.named(provider)
    except LookupError as error:
        raise RequestError(str(error.args[0])) from None
    route = maker.route("POST", endpoint)
    if route is None or route.endpoint.texts is None:
        raise RequestError(f"{endpoint[:128]} of {provider} is no endpoint whose cost could be told beforehand")
    return route.provider or maker, route


def _likely(usual: Usual | str, most: int | None) -> tuple[int | None, str]:
    """(tokens of the answer as they are usual, of which calls)."""
    if isinstance(usual, str):
        return None, usual
    tokens = round(usual.tokens)
    if most is not None and tokens > most:
        return most, f"{usual.how} is {tokens}, more than there may be"
    return tokens, usual.how
