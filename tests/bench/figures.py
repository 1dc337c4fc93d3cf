"""A measured row."""

from __future__ import annotations

import statistics
from typing import NamedTuple

__all__ = ["Figure", "quartiles", "ratio"]


class Figure(NamedTuple):
    """What was measured, the figure, and what it is held against."""

    what: str
    figure: str
    bound: str


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """(first, median, third)"""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(what: str, ours: list[float], plain: list[float], bound: str) -> Figure:
    """The median of the ratios within rounds, with their quartiles."""
    low, middle, high = quartiles([a / b for a, b in zip(ours, plain, strict=True)])
    return Figure(what, f"{middle:.3f} x [{low:.3f}-{high:.3f}]", bound)
