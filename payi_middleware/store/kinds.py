"""The kind of a call: what decides how it is counted, as one small number.

Sums are kept by kind, so that calls, failures, estimates, retries and what is unpriced need no columns of their own.
"""

from __future__ import annotations

from ..events import COST_SOURCES, OUTCOMES, CallEvent, CostSource, Outcome

__all__ = [
    "NOBODY",
    "PARTLY",
    "PLAIN",
    "as_attributed",
    "is_retried",
    "is_unattributed",
    "is_unpriced",
    "kind_of",
    "outcome_of",
    "source_of",
]

_RETRIED = 1 << 5
PARTLY = 1 << 6
"""The bit of what is partly unpriced."""
NOBODY = 1 << 7
"""The bit of calls of no known user."""

_OUTCOME = {outcome: n for n, outcome in enumerate(OUTCOMES)}
_SOURCE = {source: n << 3 for n, source in enumerate(COST_SOURCES)}

PLAIN = frozenset((_OUTCOME["ok"] | _SOURCE["usage"], _OUTCOME["ok"] | _SOURCE["provider"]))
"""The kinds of which nothing is to be told but their sums: most calls."""


def kind_of(event: CallEvent) -> int:
    """Outcome, cost source, whether it is a second or later attempt, partly unpriced, or of no known user."""
    kind = _OUTCOME[event.outcome] | _SOURCE[event.cost_source]
    if event.attempt > 1:
        kind |= _RETRIED
    if event.unpriced:
        kind |= PARTLY
    if event.attribution.user_id is None:
        kind |= NOBODY
    return kind


def as_attributed(kind: int, recorded: int) -> int:
    """The kind of an event whose user may have been forgotten since: as to that, it is counted as it was recorded."""
    return kind & ~NOBODY | recorded & NOBODY


def outcome_of(kind: int) -> Outcome:
    """How the calls of this kind ended."""
    return OUTCOMES[kind & 7]


def source_of(kind: int) -> CostSource:
    """Where their cost is from."""
    return COST_SOURCES[kind >> 3 & 3]


def is_retried(kind: int) -> bool:
    """Whether they are a second or later attempt."""
    return bool(kind & _RETRIED)


def is_unpriced(kind: int) -> bool:
    """Whether they consumed something that their cost leaves out; a refused or failed call consumed nothing."""
    return bool(kind & PARTLY) or (source_of(kind) == "none" and outcome_of(kind) not in ("error", "blocked"))


def is_unattributed(kind: int) -> bool:
    """Whether nobody knows for whom they were made."""
    return bool(kind & NOBODY)
