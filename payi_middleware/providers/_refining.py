"""Putting a host's own `refine` behind that of the shape it speaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from .base import Endpoint, Facts, Reading

__all__ = ["Refine", "refined"]

Refine: TypeAlias = Callable[[Reading, Facts], Reading]


def refined(endpoint: Endpoint, refine: Refine) -> Endpoint:
    """The endpoint whose readings `refine` completes, after what completes them already."""
    first = endpoint.refine
    if first is None:
        return replace(endpoint, refine=refine)

    def both(reading: Reading, facts: Facts) -> Reading:
        return refine(first(reading, facts), facts)

    return replace(endpoint, refine=both)
