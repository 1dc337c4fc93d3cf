"""The server's tables in a store, as `payi prune` and `payi forget` keep them; without the extra `server` they are left alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..server.housekeeping import Done
    from ..store import Store
    from ..store.forget import Person

__all__ = ["as_json", "forgotten", "pruned", "text_of"]


def pruned(store: Store, day: int, *, keep_sums: bool, dry_run: bool) -> Done | None:
    """Remove what is older than a day, or only look; None where the server is not installed.

    Raises:
        StoreError: As it says.
    """
    try:
        from ..server.housekeeping import prune, would_prune
    except ImportError:
        return None
    if dry_run:
        return would_prune(store, day, keep_sums=keep_sums)
    return _sum(prune(store, day, keep_sums=keep_sums))


def forgotten(store: Store, people: Iterable[Person], *, dry_run: bool) -> Done | None:
    """Forget persons, or only look; None where the server is not installed.

    Raises:
        StoreError: As it says.
    """
    try:
        from ..server.housekeeping import forget, would_forget
    except ImportError:
        return None
    return _sum(
        done for person in people for done in ([would_forget(store, person)] if dry_run else forget(store, person))
    )


def as_json(done: Done | None) -> dict[str, Any] | None:
    """As the commands' JSON has it."""
    return None if done is None else done._asdict()


def text_of(done: Done | None, verb: str) -> str | None:
    """A line about it; None if there was nothing."""
    if done is None or not any(done):
        return None
    counts = [f"{n:,} {name}" for name, n in zip(("instances", "scores"), done, strict=False) if n]
    if done.properties:
        counts.append(f"properties of {done.properties:,} requests")
    return f"Of the server: {', '.join(counts)} {verb}."


def _sum(steps: Iterable[Done]) -> Done:
    from ..server.housekeeping import Done

    found = Done()
    for step in steps:
        found = found.plus(step)
    return found
