"""Spans between the moments at which a price may change."""

from __future__ import annotations

import datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payi_middleware.pricing.plan import FOREVER
from payi_middleware.pricing.spans import moment_of, span_of

DAY = 86_400 * 10**9
HOUR = 3_600 * 10**9
START = 20_000 * DAY  # 2024-10-04


def test_without_edges_a_span_is_endless() -> None:
    """Where nothing ever changes, the span holds for ever."""
    assert span_of([], [], START) == (0, FOREVER)


def test_dates_are_midnights_in_utc() -> None:
    """A date begins a span at its midnight, and ends the one before."""
    dates = [datetime.date(2024, 10, 4), datetime.date(2024, 10, 6)]

    assert span_of(dates, [], START - 1) == (0, START)
    assert span_of(dates, [], START) == (START, START + 2 * DAY)
    assert span_of(dates, [], START + 2 * DAY) == (START + 2 * DAY, FOREVER)


def test_times_of_day_come_every_day_in_any_zone() -> None:
    """A time of day is an edge on each day, moved to UTC if it names a zone, and UTC if it names none."""
    plus_two = datetime.timezone(datetime.timedelta(hours=2))
    times = [datetime.time(1, 0, tzinfo=plus_two), datetime.time(16, 30, 0, 5)]  # 23:00 UTC the day before

    assert span_of([], times, START) == (START - HOUR, START + 16 * HOUR + 30 * 60 * 10**9 + 5_000)
    assert span_of([], times, START + 23 * HOUR) == (START + 23 * HOUR, START + DAY + 16 * HOUR + 1_800 * 10**9 + 5_000)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.dates(datetime.date(2020, 1, 1), datetime.date(2030, 1, 1)), max_size=4),
    st.lists(st.times(timezones=st.sampled_from([None, datetime.UTC])), max_size=4),
    st.integers(START - 900 * DAY, START + 900 * DAY),
)
def test_a_span_holds_its_moment(dates: list[datetime.date], times: list[datetime.time], at: int) -> None:
    """The moment lies within its span, and both ends of the span give spans that touch it."""
    start, end = span_of(dates, times, at)

    assert start <= at < end
    assert span_of(dates, times, start)[0] in (start, 0)
    if end != FOREVER:
        assert span_of(dates, times, end)[0] == end


def test_moments_are_cut_to_microseconds() -> None:
    """The nanoseconds below a microsecond are dropped, so a moment before an edge stays before it."""
    assert moment_of(START - 1) == datetime.datetime(2024, 10, 3, 23, 59, 59, 999999, tzinfo=datetime.UTC)
