"""OpenAI, and the routes that every OpenAI-shaped host has in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from . import _chat, _messages, _responses
from ._openai_usage import OPENAI, Dialect
from ._regions import openai_costs_more, regional
from .base import Endpoint, Provider, Route
from .other import OTHER

__all__ = ["FREE", "OURS", "PROVIDER", "REGIONAL", "endpoints", "free", "host", "known", "routes"]

# The version of the API, behind whatever base a gateway puts before it.
_VERSION: Final = r"(?:/(?!v\d|openai/)[^/]+)*/(?:v\d\w*(?:/openai)?|openai(?:/v\d\w*)?)/"
_EVERYWHERE: Final = (
    "batch",
    "batches",
    "detokenize",
    "files",
    "fine[-_]tun(?:ing|es)",
    "messages/(?:batches|count_tokens)",
    "responses/input_tokens",
    "responses/[^/]+/cancel",
    "tokenize",
    "uploads",
)


def free(*more: str) -> re.Pattern[str]:
    """The paths of management and of calls that cost nothing, by what stands right behind the version.

    Batches cost, but their usage comes with a later GET. Any other path is an event: what is free here is paid there.
    """
    return re.compile(rf"{_VERSION}(?:{'|'.join((*_EVERYWHERE, *more))})(?:[/:]|$)")


FREE: Final = free()
"""Free at every host."""

OURS: Final = free(
    "assistants",
    "chat/completions/[^/]+",
    "containers/[^/]+",  # not the container itself
    "conversations",
    "evals",
    "models",
    "moderations",
    "organization",
    "realtime/(?:client_secrets|sessions|transcription_sessions)",
    "skills",
    "threads",  # runs cost, but their usage comes with a later GET
    "vector_stores(?!/[^/]+/search)",
)
"""Free at OpenAI, and at Azure, which hosts its API."""

_KNOWN: Final = re.compile(r"/(chat/completions|completions|embeddings|responses/compact|responses|v1/messages)$")


def endpoints(dialect: Dialect = OPENAI) -> dict[str, Endpoint]:
    """The endpoints of an OpenAI-shaped host, by the end of their path; Anthropic's too, as many hosts speak both."""
    return {
        "chat/completions": _chat.endpoint("/v1/chat/completions", dialect),
        "completions": _chat.endpoint("/v1/completions", dialect),
        "embeddings": _chat.embeddings(dialect),
        "responses": _responses.responses(dialect),
        "responses/compact": _responses.compact(dialect),
        "v1/messages": _messages.messages(),
    }


def known(path: str, ours: dict[str, Endpoint]) -> Route | None:
    """The route by the end of the path, whatever base a gateway puts before it."""
    found = _KNOWN.search(path)
    return Route(ours[found[1]]) if found else None


def routes(
    ours: dict[str, Endpoint], *, strict: bool = False, costs_nothing: re.Pattern[str] = FREE
) -> Callable[[str, str], Route | None]:
    """The look-up of an OpenAI-shaped host. `strict`: other paths of the host are none of our business."""

    def find_route(method: str, path: str) -> Route | None:
        if method != "POST":
            return None
        path = path.rstrip("/")
        route = known(path, ours)
        if route is not None or strict or costs_nothing.match(path):
            return route
        return Route(OTHER)

    return find_route


def host(
    id: str,
    *,
    category: str | None = None,
    dialect: Dialect = OPENAI,
    strict: bool = False,
    costs_nothing: re.Pattern[str] = FREE,
) -> Provider:
    """An OpenAI-shaped provider."""
    find_route = routes(endpoints(dialect), strict=strict, costs_nothing=costs_nothing)
    return Provider(id, category or f"system.{id}", find_route)


def _in_a_region() -> Provider:
    ours = {path: regional(endpoint, openai_costs_more) for path, endpoint in endpoints().items()}
    return Provider("openai", "system.openai", routes(ours, costs_nothing=OURS))


PROVIDER: Final = host("openai", costs_nothing=OURS)
REGIONAL: Final = _in_a_region()
"""The hosts that keep the processing in a region."""
