"""Time as the rollups count it, in UTC, and ranges of time cut into it.

Hours and days are counted since the epoch, months since the year 0.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

from .schema import DAY, HOUR, MONTH

__all__ = ["HOUR_NS", "Cut", "Span", "cut", "day_of_month", "month_of_hour"]

HOUR_NS = 3_600_000_000_000
_EPOCH = datetime.date(1970, 1, 1).toordinal()


class Span(NamedTuple):
    """Periods `first` up to, not including, `end`."""

    grain: int
    first: int
    end: int


class Cut(NamedTuple):
    """A range of time as what the rollups have of it, and the edges (nanoseconds) for which there are only events."""

    spans: list[Span]
    edges: list[tuple[int, int]]


def month_of_hour(hour: int) -> int:
    """The month an hour is in."""
    day = datetime.date.fromordinal(_EPOCH + hour // 24)
    return day.year * 12 + day.month - 1


def day_of_month(month: int) -> int:
    """The first day of a month."""
    return datetime.date(month // 12, month % 12 + 1, 1).toordinal() - _EPOCH


def cut(since_ns: int, until_ns: int) -> Cut:
    """The range as whole months, the days beside them, the hours beside those, and edges that cut an hour."""
    spans: list[Span] = []
    first, end = -(-since_ns // HOUR_NS), until_ns // HOUR_NS
    if first > end or first * HOUR_NS >= until_ns:
        return Cut(spans, [(since_ns, until_ns)] if since_ns < until_ns else [])
    edges = [(since_ns, first * HOUR_NS), (end * HOUR_NS, until_ns)]
    first_day, end_day = -(-first // 24), end // 24
    if first_day >= end_day:
        _add(spans, HOUR, first, end)
    else:
        _add(spans, HOUR, first, first_day * 24)
        _add_days(spans, first_day, end_day)
        _add(spans, HOUR, end_day * 24, end)
    return Cut(spans, [(low, high) for low, high in edges if low < high])


def _add_days(spans: list[Span], first: int, end: int) -> None:
    first_month, end_month = month_of_hour((first - 1) * 24) + 1, month_of_hour(end * 24)
    if first_month >= end_month:
        _add(spans, DAY, first, end)
        return
    _add(spans, DAY, first, day_of_month(first_month))
    _add(spans, MONTH, first_month, end_month)
    _add(spans, DAY, day_of_month(end_month), end)


def _add(spans: list[Span], grain: int, first: int, end: int) -> None:
    if first < end:
        spans.append(Span(grain, first, end))
