"""The providers that are known, by host and by name. The file of one is imported when its first request asks for a route."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

from .. import forks
from .base import FindRoute, Provider, Route
from .places import ROWS, Row

__all__ = ["BY_CATEGORY", "BY_ID", "PROVIDERS", "find", "load", "named"]


def _imported(file: str) -> ModuleType:
    """A file of this folder. A fork waits for it: of a file half imported by another thread, the child would wait forever."""
    with forks.at_work():
        return import_module(f".{file}", __package__)


class _Late:
    """What finds the routes of a row, from a file that is imported with the first call."""

    __slots__ = ("_found", "_row")

    def __init__(self, row: Row) -> None:
        self._row = row
        self._found: FindRoute | None = None

    def __call__(self, method: str, path: str) -> Route | None:
        found = self._found
        if found is None:
            found = self._found = self._load()
        return found(method, path)

    def _load(self) -> FindRoute:
        finds = getattr(_imported(self._row.file), self._row.finds)
        found: FindRoute = finds(self._row.id) if self._row.by_id else finds
        return found


def _provider(row: Row) -> Provider:
    return Provider(row.id, row.category or f"system.{row.id}", _Late(row))


PROVIDERS: Final = tuple(_provider(row) for row in ROWS)

BY_ID: Final = {provider.id: provider for provider in reversed(PROVIDERS)}
"""The first of each id."""

BY_CATEGORY: Final = {provider.category: provider for provider in reversed(PROVIDERS)}

_HOSTS: Final = {host: provider for row, provider in zip(ROWS, PROVIDERS, strict=True) for host in row.hosts}


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Provider], ...]:
    """Compiled when they are needed, which takes milliseconds."""
    rows = zip(ROWS, PROVIDERS, strict=True)
    return tuple((re.compile(row.pattern), provider) for row, provider in rows if row.pattern)


def find(host: str) -> Provider | None:
    """The provider behind a host name (a port is passed over), or None. Pure: remember the answer."""
    found = _HOSTS.get(host)
    if found is not None:
        return found
    name = host.lower().partition(":")[0].rstrip(".")
    found = _HOSTS.get(name)
    if found is not None:
        return found
    return next((provider for pattern, provider in _patterns() if pattern.fullmatch(name)), None)


def named(name: str) -> Provider:
    """The provider of a name in the setting `hosts`; LookupError, with the names there are, for any other."""
    try:
        return BY_ID[name]
    except KeyError:
        raise LookupError(f"no provider is named {name!r}; use one of: {', '.join(sorted(BY_ID))}") from None


def load(pause: Callable[[], None] = lambda: None) -> None:
    """Import the files of all providers, those with the most calls first; there is a pause between two."""
    for file in dict.fromkeys(row.file for row in ROWS):
        _imported(file)
        pause()
