"""Whose calls a store has: a limit made for an application that has none there is most likely meant for another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["others_only"]

_MOST = 20


def others_only(settings: Settings, application: str) -> list[str]:
    """The applications that the store has calls of, dearest first; none if this one is among them, or there is no store."""
    from ..exceptions import PayiError
    from ..store import open_store

    try:
        with open_store(settings, create=False) as store:
            found = [row.key[0] for row in store.report(("application",)).rows]
    except PayiError:  # the limit is made all the same
        return []
    return [] if application in found else [str(name) for name in found[:_MOST]]
