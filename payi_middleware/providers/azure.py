"""Azure: OpenAI's API under deployments of the customer's naming or under `/openai/v1`, and Anthropic's on Foundry."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from . import _chat, _messages
from ._openai_usage import Dialect
from .base import Provider, Route
from .openai import OURS, endpoints, known
from .other import OTHER

__all__ = ["ANTHROPIC", "HOSTS", "PROVIDER"]

HOSTS: Final = re.compile(
    r"[^.]+\.(?:openai\.azure\.(?:com|us|cn)|cognitiveservices\.azure\.com|services\.ai\.azure\.com|azure-api\.net)"
)
"""Sources: the endpoints that Azure's portal shows, and Azure API Management in front of them."""

_DIALECT: Final = Dialect(cached_may_be_extra=True)
_BASE: Final = "/openai/deployments/{deployment}"
_DEPLOYMENT: Final = re.compile(r"/openai/deployments/([^/]+)(?:/extensions)?/(.+)$")
_GENERATIVE: Final = re.compile(r"/(?:openai|anthropic|models|providers)/")

_ENDPOINTS: Final = endpoints(_DIALECT)
_DEPLOYED: Final = {
    "chat/completions": _chat.endpoint(f"{_BASE}/chat/completions", _DIALECT),
    "completions": _chat.endpoint(f"{_BASE}/completions", _DIALECT),
    "embeddings": _chat.embeddings(_DIALECT, f"{_BASE}/embeddings"),
}


def _find_route(method: str, path: str) -> Route | None:
    if method != "POST":
        return None
    path = path.rstrip("/")
    deployed = _DEPLOYMENT.search(path)
    if deployed is not None:
        # The name is the customer's, only better than nothing; the answer's model wins.
        return Route(_DEPLOYED.get(deployed[2], OTHER), unquote(deployed[1]))
    route = known(path, _ENDPOINTS)
    if route is not None:
        return Route(_ANTHROPIC, None, ANTHROPIC) if path.endswith("/v1/messages") else route
    # These hosts serve speech, vision and anybody's API besides; only the generative part is ours.
    if not _GENERATIVE.search(path) or OURS.match(path):
        return None
    return Route(OTHER)


_ANTHROPIC: Final = _messages.messages()

PROVIDER: Final = Provider("azure", "system.azureopenai", _find_route)
ANTHROPIC: Final = Provider("azure", "system.azure", _find_route)
"""Anthropic's models on Foundry: another category of Pay-i's, the same price list."""
