"""When a limit's window began and when the next begins, in a time zone. Pure.

A day begins at local midnight; where the clocks skip midnight, at the first instant after it; where midnight comes twice, at the
first. An hour begins when the local clock comes to a full hour, and also where clocks are set in the middle of one.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

__all__ = ["Span", "span"]

_NS: Final = 10**9
_HOUR: Final = 3_600
_MONTHS: Final = {"month": 1, "quarter": 3, "year": 12}
_EPOCH: Final = datetime.datetime(1970, 1, 1)


class Span(NamedTuple):
    """A window, [starts, ends), nanoseconds of UTC."""

    starts_ns: int
    ends_ns: int


def span(window: str, timezone: str, at_ns: int) -> Span:
    """The calendar's window (`hour`, `day`, `week`, `month`, `quarter`, `year`) in which an instant lies."""
    seconds = at_ns // _NS
    found = _last.get((window, timezone))
    if found is None or not found[0] <= seconds < found[1]:
        zone = ZoneInfo(timezone)
        found = _hour(zone, seconds) if window == "hour" else _days(window, zone, seconds)
        _last[window, timezone] = found
    return Span(found[0] * _NS, found[1] * _NS)


_last: dict[tuple[str, str], tuple[int, int]] = {}
"""By window and zone the last that was asked for: it is nearly always the one that is asked for next."""


def _days(window: str, zone: ZoneInfo, seconds: int) -> tuple[int, int]:
    first, following = _period(window, _local(zone, seconds).date())
    start, end = _midnight(zone, first), _midnight(zone, following)
    if seconds < start:  # the clocks went back over midnight: the new day had begun already
        first, following = _period(window, first - datetime.timedelta(days=1))
        start, end = _midnight(zone, first), start
    return (start, end) if seconds < end else _days(window, zone, end)


def _period(window: str, day: datetime.date) -> tuple[datetime.date, datetime.date]:
    """The first day of the period, and of the next."""
    if window == "day":
        return day, day + datetime.timedelta(days=1)
    if window == "week":
        monday = day - datetime.timedelta(days=day.weekday())
        return monday, monday + datetime.timedelta(days=7)
    months = _MONTHS[window]
    first = day.replace(month=(day.month - 1) // months * months + 1, day=1)
    ahead = first.month - 1 + months
    return first, first.replace(year=first.year + ahead // 12, month=ahead % 12 + 1)


def _local(zone: ZoneInfo, seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, zone)


def _offset(zone: ZoneInfo, seconds: int) -> int:
    told = _local(zone, seconds).utcoffset()
    return 0 if told is None else int(told.total_seconds())


@lru_cache(maxsize=4096)
def _midnight(zone: ZoneInfo, day: datetime.date) -> int:
    """The first instant of a day."""
    wall = datetime.datetime.combine(day, datetime.time())
    naive = int((wall - _EPOCH).total_seconds())

    def instant(fold: int) -> int:
        told = wall.replace(tzinfo=zone, fold=fold).utcoffset()
        return naive - (0 if told is None else int(told.total_seconds()))

    first = instant(0)
    if _local(zone, first).replace(tzinfo=None) == wall:
        return first
    return _bisected(min(first, instant(1)) - 1, first, lambda at: _local(zone, at).date() >= day)


def _hour(zone: ZoneInfo, seconds: int) -> tuple[int, int]:
    offset = _offset(zone, seconds)
    start = seconds - (seconds + offset) % _HOUR
    end = start + _HOUR
    if _offset(zone, start) != offset:
        start = _bisected(start, seconds, lambda at: _offset(zone, at) == offset)
    if _offset(zone, end - 1) != offset:
        end = _bisected(seconds, end - 1, lambda at: _offset(zone, at) != offset)
    return start, end


def _bisected(low: int, high: int, is_after: Callable[[int], bool]) -> int:
    """The first second in (low, high] at which something holds; it does at `high` and not at `low`."""
    while high - low > 1:
        middle = (low + high) // 2
        if is_after(middle):
            high = middle
        else:
            low = middle
    return high
