"""Histograms that add by being joined."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.store.histogram import letter, packed, quantiles

durations = st.lists(st.integers(0, 3_600_000_000_000), min_size=1, max_size=300)


@given(durations, durations)
def test_packing_keeps_the_sum_and_shortens(one: list[int], two: list[int]) -> None:
    """Two histograms joined and packed tell the same as all durations together, in no more bytes."""
    first, second = (b"".join(map(letter, ns)) for ns in (one, two))

    both = packed(packed(first) + second)

    assert packed(b"".join(map(letter, one + two))) == both
    assert len(both) <= len(first) + len(second)
    assert quantiles(both, 0.5, 0.95) == quantiles(first + second, 0.5, 0.95)


@given(durations)
def test_quantiles_are_within_a_bucket_of_the_truth(sample: list[int]) -> None:
    """The 50th and 95th percentile are off by one bucket's width at most, 9 %."""
    ordered = sorted(sample)

    for share, found in zip((0.5, 0.95), quantiles(b"".join(map(letter, sample)), 0.5, 0.95), strict=True):
        true_ms = ordered[math.ceil(share * len(ordered)) - 1] / 1e6
        assert found is not None
        low, high = (true_ms / 1.1, true_ms * 1.1) if true_ms > 0.25 else (0, 0.25)
        assert low - 0.001 <= found <= high + 0.001


def test_no_calls_have_no_quantiles() -> None:
    """Without durations there is nothing to tell, which is not zero."""
    assert quantiles(b"", 0.5, 0.95) == (None, None)


def test_durations_beyond_the_last_bucket_stay_in_it() -> None:
    """A call of a day counts as one of over an hour."""
    assert letter(86_400 * 10**9) == b"\xff"
    found = quantiles(letter(86_400 * 10**9), 0.5)[0]
    assert found is not None
    assert found > 3_600_000
