"""How long answers usually are: from the calls that the store has of a use case and a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from .exceptions import StoreError
from .pricing.names import spellings
from .settings import Settings

if TYPE_CHECKING:
    from .store.sums import Sums

__all__ = ["Usual", "usual_answer"]

DAYS: Final = 30
LEAST: Final = 5
"""Calls of which a mean is worth telling."""

_DAY_NS: Final = 86_400 * 10**9


class Usual(NamedTuple):
    """The mean answer of earlier calls."""

    tokens: Fraction
    how: str
    """Of which calls."""


def usual_answer(settings: Settings, use_case: str | None, model: str | None) -> Usual | str:
    """The mean of the use case's calls of the model; else of all its calls, else of the model's. Reads the store.

    Returns:
        Why there is none, where there is none.
    """
    if settings.in_memory:
        return "a store in memory has no earlier calls to read"
    from .store import open_store

    try:
        store = open_store(settings, create=False)
        try:
            rows = store.report(("use-case", "model"), since_ns=time.time_ns() - DAYS * _DAY_NS).rows
        finally:
            store.close()
    except StoreError as error:
        return f"the store tells of no earlier calls: {error}"
    seen = [_Seen(row.key[0], row.key[1], _ended_well(row.sums), row.sums.output_tokens) for row in rows]
    for of_whom, belongs in _groups(use_case, model):
        calls = sum(row.calls for row in seen if belongs(row))
        if calls >= LEAST:
            tokens = Fraction(sum(row.tokens for row in seen if belongs(row)), calls)
            return Usual(tokens, f"the mean of {calls} calls of {of_whom} in {DAYS} days")
    return f"fewer than {LEAST} calls of {use_case or model or 'it'} in {DAYS} days"


class _Seen(NamedTuple):
    use_case: str | None
    model: str | None
    calls: int
    tokens: int


def _ended_well(sums: Sums) -> int:
    """Calls that were answered: what failed has no answer to learn from."""
    return sums.calls - sum(sums.failures.values())


def _groups(use_case: str | None, model: str | None) -> list[tuple[str, Callable[[_Seen], bool]]]:
    """(in words, which rows) from the closest to the widest."""

    def is_model(row: _Seen) -> bool:
        return model is not None and row.model is not None and model in (row.model, *spellings(row.model))

    groups: list[tuple[str, Callable[[_Seen], bool]]] = []
    if use_case is not None:
        groups.append((f"use case {use_case} with {model}", lambda row: row.use_case == use_case and is_model(row)))
        groups.append((f"use case {use_case}", lambda row: row.use_case == use_case))
    if model is not None:
        groups.append((model, is_model))
    return groups
