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
    r"(?:/(?!v\d)[^/]+)*/v\d+/"
    r"(?:messages/(?:count_tokens|batches)|files|models|organizations|skills|oauth|environments|agents(?!/[^/]+/sessions))"
    r"(?:/|$)"
)


def _find_route(method: str, path: str) -> Route | None:
    if method != "POST":
        return None
    path = path.rstrip("/")
    if path.endswith("/messages"):
        return Route(_MESSAGES)
    return None if _FREE.match(path) else Route(OTHER)


PROVIDER: Final = Provider("anthropic", "system.anthropic", _find_route)
