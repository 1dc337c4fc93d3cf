"""Google: Gemini on its own API and on Vertex, Claude on Vertex, and the OpenAI-shaped endpoints of both."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from msgspec.structs import replace

from ._asking import ask, ask_stream
from ._claude import costs_more_in_a_region as claude_costs_more
from ._gemini import METHODS, gemini, refine
from ._gemini_batches import BATCH, RESULTS
from ._gemini_caches import CACHED_CONTENTS
from ._gemini_compatible import compatible
from ._gemini_models import costs_more_in_a_region as gemini_costs_more
from ._interactions import INTERACTION, INTERACTIONS
from ._messages import messages
from ._openai_usage import Dialect
from ._predict import predict
from ._veo import veo
from ._vertex import in_a_region
from .base import Endpoint, Route
from .openai import endpoints, routes
from .other import OTHER

__all__ = ["find_route"]

_V1BETA: Final = "/v1beta"
_VERTEX: Final = "/v1/projects/{project}/locations/{location}/publishers/{publisher}"
_GEMINI: Final = {method: gemini(method, _V1BETA) for method in METHODS} | {
    "predict": predict(_V1BETA),
    "predictLongRunning": veo(_V1BETA),
}

_raw, _stream = f"{_VERTEX}/models/{{model}}:rawPredict", f"{_VERTEX}/models/{{model}}:streamRawPredict"
_ON_VERTEX: Final = {("google", method): gemini(method, _VERTEX) for method in METHODS} | {
    ("google", "predict"): predict(_VERTEX),
    ("google", "predictLongRunning"): veo(_VERTEX),
    ("anthropic", "rawPredict"): messages(_raw, ask),
    ("anthropic", "streamRawPredict"): messages(_stream, ask_stream),
}
_gemini_there, _claude_there = in_a_region(gemini_costs_more, refine), in_a_region(claude_costs_more)
_IN_A_REGION: Final = {("google", method): gemini(method, _VERTEX, _gemini_there) for method in METHODS} | {
    ("anthropic", "rawPredict"): messages(_raw, ask, _claude_there),
    ("anthropic", "streamRawPredict"): messages(_stream, ask_stream, _claude_there),
}
_openai_route: Final = routes(endpoints(Dialect(rest_is_reasoning=True)))

_LOCATION: Final = re.compile(r"/locations/([^/]+)/")
_METHOD: Final = re.compile(r"(?:/publishers/([^/]+))?/(models|tunedModels|endpoints)/([^/:]+):(\w+)$")
_COMPATIBLE: Final = re.compile(r"/(?:openai|endpoints/[^/:]+)/")
# What is no method of a model, by the end of its path. All else creates, lists and uploads.
_ENDS: Final = (
    ("POST", re.compile(r"/interactions$"), INTERACTIONS),
    ("GET", re.compile(r"/interactions/[^/]+$"), INTERACTION),
    ("GET", re.compile(r"/v1[a-z]*/batches/[^/:]+$"), BATCH),
    ("GET", re.compile(r"/files/batch-[^/:]+:download$"), RESULTS),
    ("POST", re.compile(r"/cachedContents$"), CACHED_CONTENTS),
)
# Batches cost, but their usage comes with a later GET; so do videos, which are counted as they are asked for.
_FREE_METHODS: Final = frozenset(
    {"asyncBatchEmbedContent", "batchGenerateContent", "computeTokens", "countTokens", "fetchPredictOperation"}
)
_RAW: Final = frozenset({"rawPredict", "streamRawPredict"})


def find_route(method: str, path: str) -> Route | None:
    """The route of a request."""
    path = path.rstrip("/").replace("%3A", ":")
    if _COMPATIBLE.search(path):
        return _compatible(method, path)
    found = _METHOD.search(path) if method == "POST" else None
    if found is not None:
        tuned = "tunedModels/" if found[2] == "tunedModels" else ""
        there = _LOCATION.search(path)
        publisher = found[1] or ("google" if there is not None else None)  # a tuned model is an endpoint of one's own
        return _of_model(there[1] if there is not None else None, publisher, tuned + unquote(found[3]), found[4])
    return next((Route(endpoint) for of, end, endpoint in _ENDS if of == method and end.search(path)), None)


def _of_model(location: str | None, publisher: str | None, model: str, method: str) -> Route | None:
    if method in _FREE_METHODS or model.startswith("count-tokens"):
        return None
    if publisher is None:
        return Route(_GEMINI.get(method, OTHER), model)
    endpoint: Endpoint | None = None
    if location not in (None, "global"):
        endpoint = _IN_A_REGION.get((publisher, method))
    endpoint = endpoint or _ON_VERTEX.get((publisher, method))
    if endpoint is None and method in _RAW:  # models of others, in the shape that OpenAI made
        return _others(model)
    return Route(endpoint or OTHER, model)


def _compatible(method: str, path: str) -> Route | None:
    """An endpoint in OpenAI's shape, with what only Google tells."""
    route = _openai_route(method, path)
    if route is None:
        return None
    there = _LOCATION.search(path)
    completed = compatible(route.endpoint.refine, there is not None and there[1] != "global")
    return route._replace(endpoint=replace(route.endpoint, refine=completed))


def _others(model: str) -> Route:
    route = _openai_route("POST", "/v1/chat/completions")
    assert route is not None
    return Route(route.endpoint, model)
