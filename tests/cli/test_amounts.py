"""Money, shares and durations as a person reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.cli.amounts import milliseconds, percent, size, usd_text


@pytest.mark.parametrize(
    ("ticks", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.0000000001"),
        (123_456, "$0.00001235"),
        (35_000_000, "$0.0035"),
        (5_000_000_000, "$0.50"),
        (9_999_999_999, "$1.00"),
        (12_345_600_000, "$1.23"),
        (12_345_678_900_000_000, "$1,234,567.89"),
        (-35_000_000, "-$0.0035"),
    ],
)
def test_money(ticks: int, shown: str) -> None:
    """From a dollar up to the cent, below to four significant digits."""
    assert usd_text(ticks) == shown


@given(st.integers(1, 2**62))
def test_money_is_never_rounded_to_zero(ticks: int) -> None:
    """Whatever was spent shows as more than nothing."""
    assert any(digit in "123456789" for digit in usd_text(ticks))


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 3, "33.3 %"),
        (1, 10**6, "under 0.1 %"),
        (999_999, 10**6, "99.9 %"),
        (1, 0, "0 %"),
    ],
)
def test_shares(part: int, whole: int, shown: str) -> None:
    """A share is never 0 % of something and never 100 % of less than all."""
    assert percent(part, whole) == shown


def test_durations_and_sizes() -> None:
    """Durations and bytes take the unit that suits."""
    assert [milliseconds(value) for value in (None, 0.25, 12.4, 999.4, 1234.0)] == [
        "-",
        "0.2 ms",
        "12 ms",
        "999 ms",
        "1.23 s",
    ]
    assert [size(n) for n in (0, 999, 1000, 25_000_000, 3 * 10**12)] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "25.0 MB",
        "3000.0 GB",
    ]
