"""Ranges of time cut into what the rollups have."""

from __future__ import annotations

import datetime
from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from payi_middleware.store.periods import HOUR_NS, Cut, Span, Windows, cut, day_of_month, month_of_hour
from payi_middleware.store.schema import DAY, HOUR, LAST_7, LAST_30, MONTH

NS = 10**9


def at(text: str) -> int:
    """Nanoseconds of an ISO time, UTC."""
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()) * NS


def day(text: str) -> int:
    """A date as days since the epoch."""
    return at(text) // (24 * HOUR_NS)


def hours(span: Span, windows: Windows) -> list[int]:
    """The hours of a span."""
    if span.grain == HOUR:
        return [*range(span.first, span.end)]
    if span.grain == DAY:
        days = [*range(span.first, span.end)]
    elif span.grain == MONTH:
        days = [*range(day_of_month(span.first), day_of_month(span.end))]
    else:
        assert (span.first, span.end) == (0, 1)
        days = [*windows[span.grain]]
    return [hour for one in days for hour in range(one * 24, one * 24 + 24)]


def covered(found: Cut, windows: Windows) -> Counter[int]:
    """How often each hour is in it."""
    counts: Counter[int] = Counter()
    for span in found.spans:
        for hour in hours(span, windows):
            counts[hour] += span.sign
    return Counter({hour: n for hour, n in counts.items() if n})


moments = st.integers(at("2023-11-01"), at("2026-03-31"))
days_of_windows = st.sets(st.integers(day("2025-01-01"), day("2025-03-31")), max_size=60)


@given(moments, moments, st.dictionaries(st.sampled_from([LAST_7, LAST_30]), days_of_windows), st.booleans())
@example(at("2025-01-01"), at("2025-03-01"), {LAST_30: {*range(day("2025-01-03"), day("2025-02-27"))}}, False)
@example(
    at("2025-01-02T01:00"), at("2025-02-27T23:59"), {LAST_30: {*range(day("2025-01-03"), day("2025-02-27"))}}, True
)
def test_the_pieces_are_the_range(one: int, other: int, windows: Windows, is_bounded: bool) -> None:
    """What is added and taken away is each hour of the range once, with edges of less than an hour."""
    since, until = min(one, other), max(one, other)
    held = (at("2025-01-05T03:00") // HOUR_NS, at("2025-03-20T17:00") // HOUR_NS) if is_bounded else None

    found = cut(since, until, windows, held)

    first, end = -(-since // HOUR_NS), until // HOUR_NS
    wanted = Counter(range(first, end))
    counts = covered(found, windows)
    if held is not None:  # of hours without calls there is nothing to add
        wanted = Counter(hour for hour in wanted if held[0] <= hour < held[1])
        counts = Counter({hour: n for hour, n in counts.items() if held[0] <= hour < held[1]})
    assert counts == wanted
    assert all(begin < end and end - begin <= HOUR_NS for begin, end in found.edges)
    if first > end:
        assert found == ([], [(since, until)] if since < until else [])
    else:
        assert sum(end - begin for begin, end in found.edges) + (end - first) * HOUR_NS == until - since


def test_the_largest_periods_are_taken() -> None:
    """A range of over a year is months in the middle, days beside them, hours beside those, and two edges."""
    spans, edges = cut(at("2024-12-30T22:30"), at("2026-02-02T01:15"))

    assert [span.grain for span in spans] == [HOUR, DAY, MONTH, DAY, HOUR]
    assert spans[2] == Span(MONTH, 2025 * 12, 2026 * 12 + 1)
    assert edges == [(at("2024-12-30T22:30"), at("2024-12-30T23:00")), (at("2026-02-02T01:00"), at("2026-02-02T01:15"))]


def test_what_is_too_much_is_taken_away_where_that_is_less() -> None:
    """All but a day of a month is the month without it, a local day the day beside its hours."""
    month, first = 2025 * 12 + 9, day("2025-10-01")

    assert cut(at("2025-10-02"), at("2025-11-01")).spans == [
        Span(MONTH, month, month + 1),
        Span(DAY, first, first + 1, -1),
    ]
    assert cut(at("2025-10-01T04:00"), at("2025-10-02T04:00")).spans == [
        Span(HOUR, first * 24, first * 24 + 4, -1),
        Span(DAY, first, first + 1),
        Span(HOUR, first * 24 + 24, first * 24 + 28),
    ]


def test_a_running_sum_is_taken_where_it_is_near() -> None:
    """Thirty days until now are the running sum, without the hours before, and with today."""
    today = day("2025-10-20")
    windows = {LAST_30: {*range(today - 30, today)}, LAST_7: {*range(today - 7, today)}}

    spans, _ = cut(at("2025-09-20T05:00"), at("2025-11-01"), windows, (0, today * 24 + 9))

    assert sorted(spans) == sorted(
        [
            Span(LAST_30, 0, 1),
            Span(DAY, today, today + 1),
            Span(HOUR, (today - 30) * 24, (today - 30) * 24 + 5, -1),
        ]
    )
    assert cut(at("2025-06-01"), at("2025-06-30"), windows).spans == cut(at("2025-06-01"), at("2025-06-30")).spans


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
