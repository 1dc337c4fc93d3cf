"""Time as the rollups count it, in UTC, and ranges of time cut into it.

Hours and days are counted since the epoch, months since the year 0.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from .schema import DAY, HOUR, MONTH

__all__ = ["HOUR_NS", "Cut", "Span", "Windows", "cut", "day_of_month", "month_of_hour"]

HOUR_NS = 3_600_000_000_000
_EPOCH = datetime.date(1970, 1, 1).toordinal()

_A_DAY = 4
"""What a sum of a day costs to be read, in sums of an hour: with few keys as much as one, with very many as fourteen."""
_A_LONG_ONE = 2
"""What a sum of a month, or a running one, costs to be read, in sums of a day."""
_SHORT = 4
"""Days for which no running sum is looked at."""


class Span(NamedTuple):
    """Periods `first` up to, not including, `end`."""

    grain: int
    first: int
    end: int
    sign: int = 1
    """-1 for what is to be taken away."""


class Cut(NamedTuple):
    """A range of time as what the rollups have of it, and the edges (nanoseconds) for which there are only events."""

    spans: list[Span]
    edges: list[tuple[int, int]]


Days = Collection[int]
Windows = Mapping[int, Days]
"""Grain of a running sum -> the days in it."""


def month_of_hour(hour: int) -> int:
    """The month an hour is in."""
    day = datetime.date.fromordinal(_EPOCH + hour // 24)
    return day.year * 12 + day.month - 1


def day_of_month(month: int) -> int:
    """The first day of a month."""
    return datetime.date(month // 12, month % 12 + 1, 1).toordinal() - _EPOCH


def cut(since_ns: int, until_ns: int, windows: Windows | None = None, held: tuple[int, int] | None = None) -> Cut:
    """The range as the fewest sums, some of which may have to be taken away from others; they add up to it exactly.

    Args:
        since_ns: Its begin.
        until_ns: Its end, which is not in it.
        windows: The running sums.
        held: The first hour of which there are calls, and the one after the last.
    """
    first, end = -(-since_ns // HOUR_NS), until_ns // HOUR_NS
    if first > end or first * HOUR_NS >= until_ns:
        return Cut([], [(since_ns, until_ns)] if since_ns < until_ns else [])
    edges = [(since_ns, first * HOUR_NS), (end * HOUR_NS, until_ns)]
    return Cut(list(_spans(first, end, windows or {}, held)), [(low, high) for low, high in edges if low < high])


def _spans(first: int, end: int, windows: Windows, held: tuple[int, int] | None) -> Iterator[Span]:
    """Hours as days with what lies beside them, or is too much of them."""
    days = _whole_days(first, end)
    if days is None:
        yield from _span(HOUR, first, end)
        return
    yield from _span(HOUR, first, days[0] * 24)
    yield from _span(HOUR, days[0] * 24, first, -1)
    yield from _of_days(*days, windows, None if held is None else (held[0] // 24, -(-held[1] // 24)))
    yield from _span(HOUR, days[1] * 24, end)
    yield from _span(HOUR, end, days[1] * 24, -1)


def _span(grain: int, first: int, end: int, sign: int = 1) -> Iterator[Span]:
    if first < end:
        yield Span(grain, first, end, sign)


def _whole_days(first: int, end: int) -> tuple[int, int] | None:
    """The days that are nearest to a range of hours; None where its hours alone are nearer."""
    left, right = _nearest(first), _nearest(end)
    if left >= right:
        return None
    beside = abs(first - left * 24) + abs(end - right * 24)
    return (left, right) if beside + _A_DAY * (right - left) <= end - first else None


def _nearest(hour: int) -> int:
    """The day whose begin is nearest to an hour."""
    return (hour + 12) // 24


def _of_days(first: int, end: int, windows: Windows, held: tuple[int, int] | None) -> Iterator[Span]:
    """Days as months or running sums, with the days that these lack or have too many."""
    wanted = range(first, end) if held is None else range(max(first, held[0]), min(end, held[1]))
    best = _by_months(dict.fromkeys(wanted, 1), held)
    if len(wanted) >= _SHORT:
        for grain, days in windows.items():
            left = dict.fromkeys(wanted, 1)
            for day in days:
                if held is None or held[0] <= day < held[1]:
                    left[day] = left.get(day, 0) - 1
            plan = _by_months({day: n for day, n in left.items() if n}, held)
            plan = _Plan(plan.cost + _A_LONG_ONE, [Span(grain, 0, 1), *plan.spans])
            best = min(best, plan, key=lambda one: one.cost)
    return iter(best.spans)


class _Plan(NamedTuple):
    cost: int
    """In sums of a day."""
    spans: list[Span]


def _by_months(days: Mapping[int, int], held: tuple[int, int] | None) -> _Plan:
    """Days, each with how often it is to be added, as months and the days beside those."""
    by_month: dict[int, dict[int, int]] = {}
    for day in sorted(days):
        by_month.setdefault(month_of_hour(day * 24), {})[day] = days[day]
    cost = 0
    spans: list[Span] = []
    for month, wanted in by_month.items():
        whole = range(day_of_month(month), day_of_month(month + 1))
        lacking = [day for day in whole if day not in wanted and (held is None or held[0] <= day < held[1])]
        sign = next(iter(wanted.values()))
        if _A_LONG_ONE + len(lacking) < len(wanted) and all(n == sign for n in wanted.values()):
            cost += _A_LONG_ONE + len(lacking)
            spans += [Span(MONTH, month, month + 1, sign), *(Span(DAY, day, day + 1, -sign) for day in lacking)]
        else:
            cost += len(wanted)
            spans += [Span(DAY, day, day + 1, n) for day, n in wanted.items()]
    return _Plan(cost, _joined(spans))


def _joined(spans: Iterable[Span]) -> list[Span]:
    """Neighbouring periods as one span."""
    joined: list[Span] = []
    for span in spans:
        before = joined[-1] if joined else None
        if before is not None and (before.grain, before.end, before.sign) == (span.grain, span.first, span.sign):
            joined[-1] = before._replace(end=span.end)
        else:
            joined.append(span)
    return joined
