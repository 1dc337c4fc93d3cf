"""Replacing methods of foreign classes, so that it can be undone whoever patches them besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Patches"]

_MARK = "__payi_hook__"


class Patches:
    """What is patched now. What somebody patched over stays in place, so it has to ask whether it is wanted."""

    def __init__(self) -> None:
        self._done: list[tuple[type[Any], str, Any, Any]] = []

    def put(self, owner: type[Any], name: str, make: Callable[[Any], Any]) -> None:
        """Replace a method by what `make` makes of it, unless one of ours is in place or under somebody else's."""
        owner = next(kind for kind in owner.__mro__ if name in kind.__dict__)  # gevent's Thread inherits `start`
        found = owner.__dict__[name]
        ours = getattr(found, _MARK, None)  # functools.wraps and wrapt hand the mark on
        if ours is None:
            ours = make(found)
            setattr(ours, _MARK, ours)
            setattr(owner, name, ours)
            self._done.append((owner, name, ours, found))

    def undo(self) -> None:
        """Put back what is still ours."""
        kept = [done for done in self._done if done[0].__dict__.get(done[1]) is not done[2]]
        for owner, name, ours, original in reversed(self._done):
            if owner.__dict__.get(name) is ours:
                setattr(owner, name, original)
        self._done = kept
