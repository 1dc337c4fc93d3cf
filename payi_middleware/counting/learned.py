"""What an owner's own calls teach about counting: calls that told their usage, counted as if they had not.

Of each model a few calls are counted by the draining thread, by the very rule of an estimate, and set beside what the
provider told. The median of told to counted corrects later estimates of that model, and the median of what is then still
off is the error that they state. All of it is in memory: a process learns anew, from its first calls. Texts are let go
as soon as they are counted.
"""

from __future__ import annotations

import threading
from collections import deque
from fractions import Fraction
from typing import Final, NamedTuple

from .tokens import Counted

__all__ = ["ENOUGH", "Correction", "Learned"]

ENOUGH: Final = 32
"""Calls of a model that are learned from."""
_LEAST: Final = 5
"""Calls before which the table's figures hold: one odd call must not set the rule."""
_MODELS: Final = 256
_WILD: Final = 4
"""A call that told so many times more or less than was counted holds something that was not seen: it teaches nothing."""


class Correction(NamedTuple):
    """What the owner's own calls say of a count."""

    prompt: Fraction
    answer: Fraction
    error: int
    """Per cent, in the median, that corrected counts of these calls were off."""
    most: int
    """Per cent that one of them was too high, at most."""
    calls: int


class _Pairs:
    """(counted, told) of the last calls, on both sides."""

    def __init__(self) -> None:
        self.prompt: deque[tuple[int, int]] = deque(maxlen=ENOUGH)
        self.answer: deque[tuple[int, int]] = deque(maxlen=ENOUGH)


class Learned:
    """Corrections by model and by what the count started from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pairs: dict[tuple[str, str], _Pairs] = {}

    def add(self, model: str, counted: Counted, told_in: int, told_out: int) -> int:
        """A call whose usage is known (0 for a side that is not to be compared). Returns how many are known of the model."""
        with self._lock:
            pairs = self._pairs.get((model, counted.mode))
            if pairs is None:
                if len(self._pairs) >= _MODELS:
                    del self._pairs[next(iter(self._pairs))]
                pairs = self._pairs[model, counted.mode] = _Pairs()
            for side, ours, theirs in (
                (pairs.prompt, counted.prompt, told_in),
                (pairs.answer, counted.answer, told_out),
            ):
                if ours > 0 and theirs > 0 and theirs <= ours * _WILD and ours <= theirs * _WILD:
                    side.append((ours, theirs))
            return max(len(pairs.prompt), len(pairs.answer))

    def of(self, model: str | None, mode: str) -> Correction | None:
        """The correction of a model's counts; None while too little is known."""
        with self._lock:
            pairs = self._pairs.get((model or "", mode))
            prompt, answer = (list(pairs.prompt), list(pairs.answer)) if pairs is not None else ([], [])
        if len(prompt) < _LEAST and len(answer) < _LEAST:
            return None
        times_in, *errors_in = _fit(prompt)
        times_out, *errors_out = _fit(answer)
        error, most = map(max, errors_in, errors_out)
        return Correction(times_in, times_out, error, most, max(len(prompt), len(answer)))


def _fit(pairs: list[tuple[int, int]]) -> tuple[Fraction, int, int]:
    """(factor, error in per cent), both medians, and how much too high one was at most; 1, 0 and 0 for too few."""
    if len(pairs) < _LEAST:
        return Fraction(1), 0, 0
    from statistics import median

    times = median(Fraction(told, counted) for counted, told in pairs)
    off = [(counted * times - told) / told for counted, told in pairs]
    return times, -(-median(map(abs, off)) * 100 // 1), max(0, -(-max(off) * 100 // 1))
