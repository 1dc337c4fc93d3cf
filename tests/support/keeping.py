"""Stores to keep house in, and what stands in their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from made import some_events
from stores import url

from payi_middleware.events import CallEvent
from payi_middleware.store import Store, open_store
from payi_middleware.store.check import Problem, check
from payi_middleware.store.fold import MOST_KEYS

__all__ = ["EVENTS", "files_with", "made", "problems", "url"]

EVENTS = some_events(600)


def made(folder: Path, events: Sequence[CallEvent] = EVENTS, *, most_keys: int = MOST_KEYS) -> Store:
    """A store of these events, most of them in its rollups."""
    store = open_store(url(folder), create=True, fold_every=150, most_keys=most_keys)
    for start in range(0, len(events), 100):
        store.write(events[start : start + 100])
    return store


def problems(store: Store) -> list[Problem]:
    """What is wrong with a store."""
    return [problem for problem in check(store) if problem is not None]


def files_with(folder: Path, text: str) -> list[str]:
    """The files under a folder in which a text stands, as it is."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes())
