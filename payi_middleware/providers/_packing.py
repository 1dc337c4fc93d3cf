"""Many readings of one answer, the lines of a batch, as few parts: a batch can have 100,000 lines, and an event has bounds.

Lines of one model, tier and terms are added up as long as their prompts together are no long one, because the size of each
prompt decides its rate.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..events import Part
from .base import Reading, summed

__all__ = ["packed", "parts_of_line"]

_LOWEST_MARK: Final = 100_000
"""Tokens of a prompt; no listed model has another rate for shorter ones."""


def parts_of_line(reading: Reading, model: str | None, tier: str | None) -> tuple[Part, ...]:
    """What one line consumed, at the tier of the whole batch."""
    if reading.units is None:
        return ()
    parts = reading.parts or (Part(None, reading.units, None, reading.terms),)
    return tuple(
        Part(part.model or reading.model or model, part.units, tier or part.service_tier, part.terms) for part in parts
    )


def packed(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The same consumption in as few parts as have the same price."""
    done: list[Part] = []
    open_: dict[tuple[str | None, str | None, tuple[str, ...]], tuple[list[Part], int]] = {}
    for part in parts:
        prompt = sum(taken for taken, _ in part.units.values())
        if prompt > _LOWEST_MARK:
            done.append(part)
            continue
        key = part.model, part.service_tier, part.terms
        gathered, size = open_.get(key, ([], 0))
        if size + prompt > _LOWEST_MARK:
            done.append(_joined(gathered))
            gathered, size = [], 0
        gathered.append(part)
        open_[key] = gathered, size + prompt
    return (*done, *(_joined(gathered) for gathered, _ in open_.values()))


def _joined(parts: list[Part]) -> Part:
    first = parts[0]
    return Part(first.model, summed(parts), first.service_tier, first.terms)
