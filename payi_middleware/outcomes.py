"""How a call ended, and why one that ended has no cost."""

from __future__ import annotations

from .events import Outcome
from .providers._errors import headers_error
from .providers.base import Endpoint, Headers, Reading

__all__ = ["outcome_of", "outcome_read", "why_nothing"]


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


def outcome_read(
    endpoint: Endpoint,
    status: int | None,
    headers: Headers,
    reading: Reading,
    came: bool,
    is_cut: bool,
    outcome: Outcome | None,
    error_type: str | None,
) -> tuple[Outcome, str | None]:
    """How a call ended, by what was read of its answer, and the type of its error.

    Args:
        endpoint: Which the answer is of.
        status: None if no answer came.
        headers: The answer's.
        reading: What it tells.
        came: Whether there were any bytes.
        is_cut: Whether a bound kept some of them from being looked at.
        outcome: How it ended for whoever read it; None if it was exhausted.
        error_type: The type of the error it broke off with.
    """
    if status is not None and not 200 <= status < 300:  # a redirect is an answer of its own, and no help either
        return "error", reading.error_type or headers_error(headers) or f"http_{status}"
    if reading.error_type:
        return "error", reading.error_type
    if came and reading.complete and (reading.units is not None or endpoint.texts is not None):
        return "ok", None  # the provider had said everything, even if the reader stopped or it broke off after that
    if outcome is None and (endpoint.texts is None or is_cut):
        return "ok", None  # exhausted, and we cannot read whether the end is one
    return outcome or "aborted", error_type
