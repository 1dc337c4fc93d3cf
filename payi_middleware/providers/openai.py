"""OpenAI, and the routes that every OpenAI-shaped host has in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from . import _chat, _messages, _responses
from ._openai_usage import OPENAI, Dialect
from .base import Endpoint, Provider, Route
from .other import OTHER

__all__ = ["FREE", "PROVIDER", "endpoints", "host", "known", "routes"]

FREE: Final = re.compile(
    r"/(?:assistants|auth|batches|batch|cancel|chat/completions/[^/]+|containers|conversations|count_tokens|credits|detokenize|evals|files"
    r"|fine[-_]tuning|input_tokens|keys|models|moderations|organization|realtime/(?:client_secrets|sessions|transcription_sessions)"
    r"|skills|threads|tokenize|uploads|vector_stores)(?:[/:]|$)"
)
"""Management, and calls that cost nothing. (Runs and batches cost, but their usage comes with a later GET.)"""

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


def routes(ours: dict[str, Endpoint], *, strict: bool = False) -> Callable[[str, str], Route | None]:
    """The look-up of an OpenAI-shaped host. `strict`: other paths of the host are none of our business."""

    def find_route(method: str, path: str) -> Route | None:
        if method != "POST":
            return None
        path = path.rstrip("/")
        route = known(path, ours)
        if route is not None or strict or FREE.search(path):
            return route
        return Route(OTHER)

    return find_route


def host(id: str, *, category: str | None = None, dialect: Dialect = OPENAI, strict: bool = False) -> Provider:
    """An OpenAI-shaped provider."""
    return Provider(id, category or f"system.{id}", routes(endpoints(dialect), strict=strict))


PROVIDER: Final = host("openai")
