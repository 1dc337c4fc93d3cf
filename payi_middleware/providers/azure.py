"""Azure: OpenAI's API under deployments of the customer's naming or under `/openai/v1`, and other makers' on Foundry.

The name of a deployment is the customer's; the model that answers is told by the answer. Models of other makers speak
their maker's shape: Anthropic's messages under `/anthropic`, most others chat completions, at hosts of their own too.
Sources: the endpoints that Azure's portal shows; Azure OpenAI's API reference; Foundry's guide to priority processing.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from . import _chat, _messages
from ._openai_usage import Dialect
from ._rest import REST
from .base import Endpoint, Facts, Reading, Route, refined_by
from .known import BY_CATEGORY
from .openai import OURS, asked_again, by_end, endpoints, known, own_endpoints

__all__ = ["find_route"]

_DIALECT: Final = Dialect(cached_may_be_extra=True)
_BASE: Final = "/openai/deployments/{deployment}"
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/([^/]+)(?:/extensions)?(/.+)$")
_GENERATIVE: Final = re.compile(r"/(?:openai|anthropic|models|providers(?!/(?i:microsoft)\.))/")
"""Azure's resource management has `providers` in its paths too, Microsoft's own."""
_PROJECT: Final = re.compile(r"/(?:api/projects|agents/v[\d.]+)/")
"""Where Foundry has its agents, between whatever else belongs to a project."""
_TIER: Final = "azureai-processed-tier"


def _served(reading: Reading, facts: Facts) -> Reading:
    """The tier as a header tells it: what was asked for may have been served as another."""
    tier = facts.headers.get(_TIER)
    if not tier or len(tier) > 64 or reading.units is None:
        return reading
    parts = tuple(part if part.model else type(part)(None, part.units, tier, part.terms) for part in reading.parts)
    return reading._replace(service_tier=tier, parts=parts)


def _tiered(ours: dict[str, Endpoint]) -> dict[str, Endpoint]:
    return {end: refined_by(endpoint, _served) for end, endpoint in ours.items()}


_EVERYWHERE: Final = _tiered(endpoints(_DIALECT))
_OWN: Final = by_end(_tiered(own_endpoints(_DIALECT)))
_AGAIN: Final = by_end(_tiered(asked_again(_DIALECT)))
_DEPLOYED: Final = by_end(
    _tiered(
        {
            "chat/completions": _chat.endpoint(f"{_BASE}/chat/completions", _DIALECT),
            "completions": _chat.endpoint(f"{_BASE}/completions", _DIALECT),
            "embeddings": _chat.embeddings(_DIALECT, f"{_BASE}/embeddings"),
        }
        | own_endpoints(_DIALECT, _BASE)
    )
)
_MESSAGES: Final = _messages.messages()
_ANTHROPIC: Final = BY_CATEGORY["system.azure"]


def find_route(method: str, path: str) -> Route | None:
    """The route of a request."""
    path = path.rstrip("/")
    if method == "GET":
        ours = _GENERATIVE.search(path) or _PROJECT.search(path)
        found = _AGAIN(path) if ours else None
        return None if found is None else Route(found)
    if method != "POST":
        return None
    deployed = _DEPLOYMENT.search(path)
    if deployed is not None:
        # The name is the customer's, only better than nothing; the answer's model wins.
        return Route(_DEPLOYED(deployed[2]) or REST, unquote(deployed[1]))
    route = known(path, _EVERYWHERE)
    if route is not None:
        return Route(_MESSAGES, None, _ANTHROPIC) if path.endswith("/v1/messages") else route
    # These hosts serve speech, vision and anybody's API besides; only the generative part is ours.
    if not _GENERATIVE.search(path):
        found = _OWN(path) if _PROJECT.search(path) else None
        return None if found is None else Route(found)
    found = _OWN(path)
    if found is None and OURS.match(path):
        return None
    return Route(found or REST)
