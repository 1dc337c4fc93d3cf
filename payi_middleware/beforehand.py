"""What a request would cost, before it is sent: at least, likely, at most, and how each figure was found."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from . import answer_bound, providers
from .costing import Costed, conditions, cost_of
from .events import Attribution, Units, Unpriced
from .exceptions import RequestError
from .usual import Usual, usual_answer

if TYPE_CHECKING:
    from .counting.estimates import Estimates
    from .pricing import Prices
    from .providers.base import Route
    from .settings import Settings

__all__ = ["Figure", "RequestEstimate", "beforehand"]

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
    """With an answer as long as it may become."""
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
    now, tier, terms = time.time_ns(), answer_bound.tier(asked), conditions(prices, who, ())

    def priced(made: int) -> Costed:
        taken = units.get("text", (0, 0))[0]
        whole = {**units, "text": (taken, made)}
        return cost_of(
            prices, maker.id, model, whole, now, tier, None, who.price_as, "estimate", uncounted, terms=terms
        )

    def figure(made: int | None, how: str) -> Figure:
        costed = None if made is None else priced(made)
        if costed is None or costed.cost is None:
            return Figure(None, made, how if costed is None else costed.reason or how)
        return Figure(costed.cost.total, made, how)

    most = likely = _NO_ANSWER
    if "embed" not in route.endpoint.template.lower():
        most = answer_bound.bound(prices.window(maker.id, model), asked, units)
        likely = _likely(usual_answer(settings, use_case, model), most[0])
    return RequestEstimate(
        provider=maker.id,
        endpoint=route.endpoint.template,
        model=model,
        units=units,
        how=how,
        low=figure(0, "the input alone"),
        likely=figure(*likely),
        most=figure(*most),
        unpriced=priced(0).unpriced,
        price_version=prices.version,
    )


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
