"""Times as the wire has them."""

from __future__ import annotations

from ..values import format_time, ns_of

__all__ = ["DAY_NS", "midnight", "ns_of", "told"]

DAY_NS = 86_400 * 10**9


def midnight(ns: int) -> int:
    """The beginning of the day in UTC, at which Pay-i's prices change."""
    return ns // DAY_NS * DAY_NS


def told(ns: int | None) -> str | None:
    """RFC 3339, or nothing."""
    return None if ns is None else format_time(ns)
