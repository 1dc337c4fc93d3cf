"""Anthropic."""

from __future__ import annotations

import re
from typing import Final

from . import _chat
from ._complete import COMPLETE
from ._messages import messages
from ._messages_batches import RESULTS
from ._sessions import SENT, SESSION
from .base import Route
from .other import OTHER

__all__ = ["find_route"]

_MESSAGES: Final = messages()
_CHAT: Final = _chat.endpoint("/v1/chat/completions")
_RESULTS: Final = re.compile(r"/messages/batches/[^/]+/results$")
_SESSION: Final = re.compile(r"/v\d+/sessions/[^/]+$")
_ARCHIVED: Final = re.compile(r"/v\d+/sessions/[^/]+/archive$")
_SENT: Final = re.compile(r"/v\d+/sessions/[^/]+/events$")
# Batches and sessions cost, but their usage comes with a later GET.
_FREE: Final = re.compile(
    r"/v\d+/(?:messages/(?:count_tokens|batches)|files|models|organizations|skills|oauth|environments|agents(?!/[^/]+/sessions)|sessions"
    r"|vaults|memory_stores|user_profiles|tunnels)(?:/|$)"
)


def find_route(method: str, path: str) -> Route | None:
    """The route of a request."""
    path = path.rstrip("/")
    if method == "GET":
        if _RESULTS.search(path):
            return Route(RESULTS)
        return Route(SESSION) if _SESSION.search(path) else None
    if method != "POST":
        return None
    if path.endswith("/messages"):
        return Route(_MESSAGES)
    if path.endswith("/chat/completions"):  # OpenAI's shape, its usage too
        return Route(_CHAT)
    if path.endswith("/complete"):
        return Route(COMPLETE)
    if _ARCHIVED.search(path):
        return Route(SESSION)
    if _SENT.search(path):
        return Route(SENT)
    return None if _FREE.search(path) else Route(OTHER)
