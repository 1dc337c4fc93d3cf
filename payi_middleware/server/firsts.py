"""What is charged with the first event that tells of it: each process counts it once, and the server once for all of them. Pure.

A container in which code runs is such a thing: every answer that comes of it names it, and its session is charged with
the first. Of the others, here, that part is taken off: their units, and their cost if it was computed of units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from ..events import CallEvent, Cost, Line, Part, Units, Unpriced
from ..pricing import cost_of_lines

__all__ = ["counted_once"]

_MOST = 128  # parts of an event that are looked at; one answer names a few containers at most

Counted = TypeVar("Counted", Line, Unpriced)


def counted_once(event: CallEvent, is_first: Callable[[bytes], bool]) -> CallEvent:
    """The event, without the parts that others told of first.

    Args:
        event: As it came.
        is_first: Whether nobody told of this before; asked once for each.
    """
    once = [part for part in event.parts if part.once is not None][:_MOST]
    for part in [part for part in once if not is_first(bytes.fromhex(part.once or ""))]:
        event = _without(event, part)
    return event


def _without(event: CallEvent, part: Part) -> CallEvent:
    units: Units = dict(event.units)
    cost, unpriced = event.cost, event.unpriced
    for unit, (taken, made) in part.units.items():
        before = units.get(unit, (0, 0))
        units[unit] = max(0, before[0] - taken), max(0, before[1] - made)
        if not any(units[unit]):
            del units[unit]
        place = [one for one in event.parts if unit in one.units].index(part)
        if cost is not None and event.cost_source != "provider":
            cost = _less(cost, unit, taken + made, place)
        unpriced = tuple(_taken_off(unpriced, unit, taken + made, place))
    parts = tuple(one for one in event.parts if one is not part)
    return msgspec.structs.replace(event, units=units, cost=cost, unpriced=unpriced, parts=parts)


def _less(cost: Cost, unit: str, quantity: int, place: int) -> Cost:
    return cost_of_lines(_taken_off(cost.lines, unit, quantity, place))


def _taken_off(counted: Sequence[Counted], unit: str, quantity: int, place: int) -> list[Counted]:
    """Lines without so much of a unit: that at its place among those of the unit, else the first that has enough."""
    of_unit = [n for n, one in enumerate(counted) if one.unit == unit and one.quantity >= quantity]
    if not of_unit:
        return list(counted)
    at = of_unit[place] if place < len(of_unit) else of_unit[0]
    left = counted[at].quantity - quantity
    rest = list(counted)
    rest[at : at + 1] = [msgspec.structs.replace(counted[at], quantity=left)] if left else []
    return rest
