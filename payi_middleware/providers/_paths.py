"""Looking up a route by the end of a path, for providers whose APIs are not OpenAI's alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import unquote

from .base import Endpoint, FindRoute, Route

__all__ = ["Paths", "by_path"]

Paths: TypeAlias = Mapping[str, Endpoint | None]
"""`METHOD pattern` -> the endpoint, or None where the call is free. A group `model` in the pattern names the model."""

_POST: Final = "POST"


def by_path(paths: Paths, otherwise: FindRoute) -> FindRoute:
    """A look-up by the first pattern that the end of the path matches, whatever base a gateway puts before it."""
    rows: list[tuple[str, re.Pattern[str], Endpoint | None]] = []
    for row, endpoint in paths.items():
        method, space, pattern = row.partition(" ")
        if not space:
            method, pattern = _POST, row
        rows.append((method, re.compile(rf"(?:.*)/{pattern}"), endpoint))

    def find_route(method: str, path: str) -> Route | None:
        stripped = path.rstrip("/")
        for wanted, pattern, endpoint in rows:
            if wanted == method and (found := pattern.fullmatch(stripped)) is not None:
                model = found.groupdict().get("model")
                return None if endpoint is None else Route(endpoint, unquote(model) if model else None)
        return otherwise(method, path)

    return find_route
