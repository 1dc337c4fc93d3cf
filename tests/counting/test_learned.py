"""What calls that told their usage teach about those that did not."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_middleware.counting.learned import ENOUGH, Learned
from payi_middleware.counting.tokens import Counted


def counted(prompt: int, answer: int, mode: str = "o200k_base") -> Counted:
    return Counted(prompt, answer, "counted", 8, mode)


def test_the_median_of_what_was_told() -> None:
    """Counts are corrected by the middle of what was told, and the error is the middle of what is then off."""
    learned = Learned()
    for told in (110, 120, 120, 120, 130):
        learned.add("m", counted(100, 10), told, 5)

    found = learned.of("m", "o200k_base")

    assert found is not None
    assert (found.prompt, found.answer, found.calls) == (Fraction(6, 5), Fraction(1, 2), 5)
    assert found.error == 0  # three of five are told exactly
    assert found.most == 10  # 120 for 110, rounded up
    assert learned.of("m", "bytes") is None
    assert learned.of("other", "o200k_base") is None
    assert learned.of(None, "o200k_base") is None


def test_a_few_calls_teach_nothing() -> None:
    """One odd call must not set the rule."""
    learned = Learned()
    for _ in range(4):
        learned.add("m", counted(100, 10), 200, 20)

    assert learned.of("m", "o200k_base") is None


@pytest.mark.parametrize(("prompt", "told"), [(100, 500), (500, 100), (0, 100), (100, 0)])
def test_what_was_not_seen_teaches_nothing(prompt: int, told: int) -> None:
    """Many times more or less was told: the provider counted something that is not in the request."""
    learned = Learned()

    assert [learned.add("m", counted(prompt, 0), told, 0) for _ in range(9)] == [0] * 9
    assert learned.of("m", "o200k_base") is None


def test_one_side_alone() -> None:
    """Of a model that hides what it thinks only the prompt can be compared."""
    learned = Learned()
    for _ in range(5):
        learned.add("m", counted(100, 10), 150, 0)

    found = learned.of("m", "o200k_base")

    assert found is not None
    assert (found.prompt, found.answer) == (Fraction(3, 2), 1)


def test_memory_is_bounded() -> None:
    """The oldest calls and models make room."""
    learned = Learned()
    for told in (100, 200):
        for _ in range(ENOUGH):
            known = learned.add("m", counted(100, 0), told, 0)
    found = learned.of("m", "o200k_base")
    assert found is not None
    assert (known, found.prompt) == (ENOUGH, 2)

    for number in range(300):
        learned.add(f"m{number}", counted(100, 0), 100, 0)
    assert learned.of("m", "o200k_base") is None


@given(pairs=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=50))
def test_a_correction_is_within_bounds(pairs: list[tuple[int, int]]) -> None:
    """Whatever was told, a count is never multiplied by more than four."""
    learned = Learned()
    for ours, theirs in pairs:
        learned.add("m", counted(ours, theirs), theirs, ours)

    found = learned.of("m", "o200k_base")

    if found is not None:
        assert Fraction(1, 4) <= found.prompt <= 4
        assert Fraction(1, 4) <= found.answer <= 4
        assert found.error >= 0
