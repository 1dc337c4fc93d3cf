"""Anthropic."""

from __future__ import annotations

import re
from typing import Final

from ._messages import messages
from .base import Provider, Route
from .other import OTHER

__all__ = ["PROVIDER"]

_MESSAGES: Final = messages()
# Batches cost, but their usage comes with a later GET of the results.
_FREE: Final = re.compile(
    r"/(?:count_tokens|batches|files|models|organizations|skills|oauth|environments|agents)(?:/|$)"
)


def _find_route(method: str, path: str) -> Route | None:
    if method != "POST":
        return None
    path = path.rstrip("/")
    if path.endswith("/messages"):
        return Route(_MESSAGES)
    return None if _FREE.search(path) else Route(OTHER)


PROVIDER: Final = Provider("anthropic", "system.anthropic", _find_route)
