"""How a call ended, and why one that ended has no cost."""

from __future__ import annotations

from .events import Outcome

__all__ = ["outcome_of", "why_nothing"]


def why_nothing(outcome: Outcome, status: int | None, reason: str | None) -> str:
    """Why nothing is priced: what the provider answered, the reason that its reader gave, or how the call ended."""
    if status is not None and not 200 <= status < 300:
        return f"the provider answered {status}"
    if reason:
        return reason
    return "no usage was told" if outcome == "ok" else f"the call ended as {outcome} without usage"


def outcome_of(error: BaseException) -> Outcome:
    """How a call ended that broke off with an error, by the error's name: each library has types of its own."""
    name = type(error).__name__
    if "Timeout" in name:
        return "timeout"
    if "Cancelled" in name or isinstance(error, (GeneratorExit, KeyboardInterrupt, SystemExit)):
        return "aborted"
    return "error"
