"""Gateways in front of several providers: the path names one, or a header, or the model's name.

What a gateway answers from its own cache costs nothing, and it says so in a header. Where the provider is known only by
the model's name (`anthropic/claude-…`), the rates find it: see `pricing/makers.py`. Sources: docs.litellm.ai/docs/proxy/
response_headers, portkey.ai/docs/api-reference/response-schema, developers.cloudflare.com/ai-gateway,
docs.helicone.ai, vercel.com/docs/ai-gateway, ai.pydantic.dev/gateway; all looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final
from urllib.parse import urlsplit

from ..events import Part
from ..pricing.makers import maker_of, provider_named
from . import openai
from ._json import last_object
from ._openai_usage import Dialect
from ._plain import dollars
from .base import Facts, FindRoute, Provider, Reading, Refine, Route, refined_by
from .known import BY_ID, find
from .other import OTHER

__all__ = ["find_route_of"]

_CACHED: Final = ("cf-aig-cache-status", "helicone-cache", "x-portkey-cache-status")
_HIT: Final = re.compile(r"(?:semantic )?hit", re.IGNORECASE)
_FROM_CACHE: Final = "answered from the gateway's cache"

# What stands before the provider's name in a path.
_BASES: Final = {
    "cloudflare-gateway": re.compile(r"/v1/[^/]+/[^/]+/"),
    "litellm": re.compile(r"/"),
    "portkey": re.compile(r"/v1/proxy/"),
    "pydantic-gateway": re.compile(r"/(?:proxy/)?"),
}


_PASSED_ON: Final = Dialect(rest_is_reasoning=True)
"""Whatever answers, a gateway passes it on: of Gemini's thoughts only the total tells."""
_DIALECTS: Final = {"vercel": Dialect(thoughts_are_extra=True)}


def cached(reading: Reading, facts: Facts) -> Reading:
    """Nothing was consumed for an answer that a gateway had kept."""
    for name in _CACHED:
        status = facts.headers.get(name)
        if status is not None and _HIT.fullmatch(status):
            return reading._replace(stated_ticks=0, reason=_FROM_CACHE, pending=False)
    return reading


def _litellm(reading: Reading, facts: Facts) -> Reading:
    """The proxy states a cost, as 0 also where it knows none; and it tells whom it asked."""
    stated = _amount(facts.headers.get("x-litellm-response-cost"))
    if stated or (stated == 0 and facts.headers.get("x-litellm-cache-key") is not None):
        return reading._replace(stated_ticks=stated)
    base = facts.headers.get("x-litellm-model-api-base")
    return _answered_by(reading, facts, find(_host(base)) if base else None)


def _portkey(reading: Reading, facts: Facts) -> Reading:
    """The header names the provider, where Portkey tells it."""
    id = provider_named(facts.headers.get("x-portkey-provider") or "")
    return _answered_by(cached(reading, facts), facts, BY_ID.get(id) if id else None)


def _vercel(reading: Reading, facts: Facts) -> Reading:
    """The answer's metadata state the cost."""
    told = last_object(facts.answer, b'"gateway"') if b'"gateway"' in facts.answer else None
    cost = told.get("cost") if told else None
    stated = _amount(cost) if isinstance(cost, str) else dollars(cost)
    return reading if stated is None else reading._replace(stated_ticks=stated)


def _answered_by(reading: Reading, facts: Facts, provider: Provider | None) -> Reading:
    """A reading that is priced by the rates of the provider that answered."""
    if provider is None or reading.units is None or reading.stated_ticks is not None or reading.parts:
        return reading
    model = reading.model or facts.asked.model
    maker = maker_of("litellm", model) if model and "/" in model else None
    part = Part(maker[1] if maker else model, reading.units, reading.service_tier, reading.terms, provider.id)
    return reading._replace(parts=(part,))


def _amount(text: str | None) -> int | None:
    """Dollars, written as a decimal or with an exponent, in ticks."""
    try:
        return None if text is None or len(text) > 64 else dollars(Decimal(text.strip()))
    except InvalidOperation:
        return None


def _host(base: str) -> str:
    try:
        return urlsplit(base if "//" in base else f"//{base}").hostname or ""
    except ValueError:
        return ""


def _routed(base: re.Pattern[str] | None, shared: FindRoute, refine: Refine) -> FindRoute:
    """The route by the provider that the path names, else by the shape that its end names."""

    def find_route(method: str, path: str) -> Route | None:
        found = base.match(path) if base is not None else None
        if found is not None:
            name, _, rest = path[found.end() :].partition("/")
            id = provider_named(name)
            provider = BY_ID.get(id) if id is not None else None
            if provider is not None:
                route = provider.find_route(method, _own_path(provider.id, rest))
                if route is None:
                    return None
                return Route(refined_by(route.endpoint, refine), route.model, route.provider or provider)
        return shared(method, path)

    return find_route


def _shared(refine: Refine, dialect: Dialect) -> FindRoute:
    """The shapes that a gateway speaks whoever answers: OpenAI's, all of them, and Anthropic's."""
    ours = {end: refined_by(endpoint, refine) for end, endpoint in openai.endpoints(dialect).items()}
    routes = openai.routes(ours, dialect=dialect)
    own = openai.by_end({end: refined_by(endpoint, refine) for end, endpoint in openai.own_endpoints().items()})
    other = Route(refined_by(OTHER, refine))  # what nobody here reads may state its cost all the same

    def find_route(method: str, path: str) -> Route | None:
        route = routes(method, path)
        if route is None or route.endpoint is not OTHER:
            return route
        found = own(path.rstrip("/"))
        return other if found is None else Route(found)

    return find_route


def _own_path(id: str, rest: str) -> str:
    """The provider's own path, of which some gateways leave the beginning out."""
    if id == "openai" and not rest.startswith("v1/"):
        return f"/v1/{rest}"
    if id == "cloudflare":
        return f"/ai/run/{rest}" if rest.startswith(("@", "%40")) else f"/ai/{rest}"
    return f"/{rest}"


_REFINES: Final[dict[str, Refine]] = {
    "cloudflare-gateway": cached,
    "helicone": cached,
    "litellm": _litellm,
    "portkey": _portkey,
    "pydantic-gateway": cached,
    "vercel": _vercel,
}


def find_route_of(id: str) -> FindRoute:
    """What finds the routes of a gateway."""
    refine = _REFINES[id]
    return _routed(_BASES.get(id), _shared(refine, _DIALECTS.get(id, _PASSED_ON)), refine)
