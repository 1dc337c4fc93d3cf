"""Google: Gemini on its own API and on Vertex, Claude on Vertex, and the OpenAI-shaped endpoints of both."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from ._asking import ask, ask_stream
from ._gemini import METHODS, gemini
from ._messages import messages
from ._openai_usage import Dialect
from ._regions import claude_costs_more, regional
from .base import Endpoint, Provider, Route
from .openai import endpoints, routes
from .other import OTHER

__all__ = ["HOSTS", "PROVIDER"]

HOSTS: Final = re.compile(
    r"(?:[a-z0-9-]+-)?(?:generativelanguage|aiplatform)\.googleapis\.com|aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com"
)
"""Sources: the service endpoints of the Gemini API and of Vertex AI, regional ones included."""

_VERTEX: Final = "/v1/projects/{project}/locations/{location}/publishers/{publisher}"
_GEMINI: Final = {method: gemini(method, "/v1beta") for method in METHODS}
_ON_VERTEX: Final = {("google", method): gemini(method, _VERTEX) for method in METHODS} | {
    ("anthropic", "rawPredict"): messages(f"{_VERTEX}/models/{{model}}:rawPredict", ask),
    ("anthropic", "streamRawPredict"): messages(f"{_VERTEX}/models/{{model}}:streamRawPredict", ask_stream),
}
_CLAUDE_IN_A_REGION: Final = {
    method: regional(endpoint, claude_costs_more)
    for (publisher, method), endpoint in _ON_VERTEX.items()
    if publisher == "anthropic"
}
_openai_route: Final = routes(endpoints(Dialect(rest_is_reasoning=True)))

_METHOD: Final = re.compile(
    r"(?:(?:/locations/([^/]+))?/publishers/([^/]+))?/(?:models|tunedModels|endpoints)/([^/:]+):(\w+)$"
)
_COMPATIBLE: Final = re.compile(r"/(?:openai|endpoints/[^/:]+)/")
_PAID: Final = re.compile(r"/interactions$")
# Batches cost, but their usage comes with a later GET.
_FREE_METHODS: Final = frozenset({"asyncBatchEmbedContent", "batchGenerateContent", "computeTokens", "countTokens"})


def _find_route(method: str, path: str) -> Route | None:
    if method != "POST":
        return None
    path = path.rstrip("/").replace("%3A", ":")
    if _COMPATIBLE.search(path):
        return _openai_route(method, path)
    found = _METHOD.search(path)
    if found is not None:
        return _of_model(found[1], found[2], unquote(found[3]), found[4])
    # What is left creates, lists and uploads; both APIs name every call that generates after its model.
    return Route(OTHER) if _PAID.search(path) else None


def _of_model(location: str | None, publisher: str | None, model: str, method: str) -> Route | None:
    if method in _FREE_METHODS or model.startswith("count-tokens"):
        return None
    endpoint: Endpoint | None = _GEMINI.get(method) if publisher is None else _ON_VERTEX.get((publisher, method))
    if publisher == "anthropic" and location not in (None, "global"):
        endpoint = _CLAUDE_IN_A_REGION.get(method)
    return Route(endpoint or OTHER, model)


PROVIDER: Final = Provider("google", "system.google.vertex", _find_route)
