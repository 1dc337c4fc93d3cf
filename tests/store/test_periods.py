"""Ranges of time cut into what the rollups have."""

from __future__ import annotations

import datetime

from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.store.periods import HOUR_NS, Span, cut, day_of_month, month_of_hour
from payi_middleware.store.schema import DAY, HOUR, MONTH

NS = 10**9


def at(text: str) -> int:
    """Nanoseconds of an ISO time, UTC."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()) * NS


def bounds(span: Span) -> tuple[int, int]:
    """A span as nanoseconds."""
    if span.grain == HOUR:
        return span.first * HOUR_NS, span.end * HOUR_NS
    if span.grain == DAY:
        return span.first * 24 * HOUR_NS, span.end * 24 * HOUR_NS
    return day_of_month(span.first) * 24 * HOUR_NS, day_of_month(span.end) * 24 * HOUR_NS


moments = st.integers(at("2023-11-01"), at("2026-03-31"))


@given(moments, moments)
def test_the_pieces_are_the_range(one: int, other: int) -> None:
    """Months, days, hours and edges lie end to end from the range's begin to its end, none twice."""
    since, until = min(one, other), max(one, other)
    spans, edges = cut(since, until)

    pieces = sorted([bounds(span) for span in spans] + edges)

    ends = [since] + [end for _, end in pieces]
    assert ends == [begin for begin, _ in pieces] + [until]
    assert all(begin < end and end - begin <= HOUR_NS for begin, end in edges)


def test_the_largest_periods_are_taken() -> None:
    """A range of over a year is months in the middle, days beside them, hours beside those, and two edges."""
    spans, edges = cut(at("2024-12-30T22:30"), at("2026-02-02T01:15"))

    assert [span.grain for span in spans] == [HOUR, DAY, MONTH, DAY, HOUR]
    assert spans[2] == Span(MONTH, 2025 * 12, 2026 * 12 + 1)
    assert edges == [(at("2024-12-30T22:30"), at("2024-12-30T23:00")), (at("2026-02-02T01:00"), at("2026-02-02T01:15"))]


def test_a_range_within_an_hour_is_one_edge() -> None:
    """Ten minutes have no rollup."""
    assert cut(at("2025-01-01T10:10"), at("2025-01-01T10:20")) == (
        [],
        [(at("2025-01-01T10:10"), at("2025-01-01T10:20"))],
    )


def test_an_empty_range_has_no_pieces() -> None:
    """Nothing lies between a moment and itself, wherever it is in its hour."""
    assert cut(at("2025-01-01T10:10"), at("2025-01-01T10:10")) == ([], [])
    assert cut(at("2025-01-01"), at("2025-01-01")) == ([], [])


@given(st.integers(490_000, 500_000))
def test_months_and_days_agree(hour: int) -> None:
    """An hour lies between the first day of its month and the next's."""
    month = month_of_hour(hour)

    assert day_of_month(month) <= hour // 24 < day_of_month(month + 1)
