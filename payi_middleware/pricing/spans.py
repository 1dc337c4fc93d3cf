"""Between which two moments a choice made by dates and times of day stays the same."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from .plan import FOREVER

__all__ = ["moment_of", "span_of"]

_DAY = 86_400_000_000_000
_EPOCH = datetime.date(1970, 1, 1)


def moment_of(at_ns: int) -> datetime.datetime:
    """Nanoseconds since the epoch as a time in UTC, cut to microseconds."""
    whole, rest = divmod(at_ns, 1_000_000_000)
    return datetime.datetime.fromtimestamp(whole, datetime.UTC).replace(microsecond=rest // 1000)


def span_of(dates: Iterable[datetime.date], times: Iterable[datetime.time], at_ns: int) -> tuple[int, int]:
    """The widest span around `at_ns`, (start, end) in nanoseconds, with no edge inside it.

    Args:
        dates: Days at whose UTC midnight something changes.
        times: Times of day at which something changes every day; UTC where they name no zone.
        at_ns: The moment, nanoseconds since the epoch.
    """
    edges = [(date - _EPOCH).days * _DAY for date in dates]
    today = at_ns // _DAY
    edges += [(day * _DAY) + offset for offset in map(_offset, times) for day in (today - 1, today, today + 1)]
    start = max((edge for edge in edges if edge <= at_ns), default=0)
    end = min((edge for edge in edges if edge > at_ns), default=FOREVER)
    return start, end


def _offset(time: datetime.time) -> int:
    """Nanoseconds from UTC midnight."""
    zoned = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    moment = datetime.datetime.combine(_EPOCH, zoned).astimezone(datetime.UTC)
    return ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1_000_000_000 + moment.microsecond * 1000
