"""How long the answers of a use case and a model were of late, so that a hold can be sized before the next one."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from typing import Final, TypeAlias

__all__ = ["LEAST", "Recent"]

LEAST: Final = 5
"""Answers of which a percentile is worth anything."""
_KEPT: Final = 64
_MOST: Final = 4096
"""Use cases and models that are remembered; beyond, all begin anew."""
_SHARE: Final = 0.95

Key: TypeAlias = tuple[str | None, str | None]
"""Use case and model."""


class _Lengths:
    """The last answers of one key, in the order in which they came and by length."""

    __slots__ = ("by_length", "last")

    def __init__(self) -> None:
        self.last: deque[int] = deque()
        self.by_length: list[int] = []

    def add(self, tokens: int) -> None:
        if len(self.last) >= _KEPT:
            del self.by_length[bisect_left(self.by_length, self.last.popleft())]
        self.last.append(tokens)
        insort(self.by_length, tokens)


class Recent:
    """The lengths of recent answers."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # the garbage collector may end a call while this thread is in here
        self._lengths: dict[Key, _Lengths] = {}

    def add(self, use_case: str | None, model: str | None, tokens: int) -> None:
        """An answer ended well."""
        with self._lock:
            lengths = self._lengths.get((use_case, model))
            if lengths is None:
                if len(self._lengths) >= _MOST:
                    self._lengths.clear()
                lengths = self._lengths[use_case, model] = _Lengths()
            lengths.add(tokens)

    def take(self, answers: Iterable[tuple[str | None, str | None, int]]) -> None:
        """Answers of earlier processes, the oldest first."""
        for use_case, model, tokens in answers:
            self.add(use_case, model, tokens)

    def percentile(self, use_case: str | None, model: str | None) -> int | None:
        """The tokens that 95 of 100 answers did not pass; None if too few are known."""
        lengths = self._lengths.get((use_case, model))
        if lengths is None:
            return None
        with self._lock:
            known = lengths.by_length
            return known[min(int(len(known) * _SHARE), len(known) - 1)] if len(known) >= LEAST else None
