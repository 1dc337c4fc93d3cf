"""What a web application answers where a limit refused a call and the endpoint did not catch it: Problem Details (RFC 9457).

It goes to the end user. So it tells what is spent only of limits that count that user or customer alone, and nothing else of
what the application knows.
"""

from __future__ import annotations

import datetime
from typing import Any, Final, NamedTuple

import msgspec

from .reached import LimitReached, ReachedLimit, shown

__all__ = ["Problem", "problem_of"]

_SOON_SECONDS: Final = 5
"""After which who was refused since the ledger was out of reach, or since other calls run, may try again."""
_TITLES: Final = {
    "reached": "Limit reached",
    "unavailable": "Limits cannot be checked",
    "unpriced": "Model without a known price",
}


class Problem(NamedTuple):
    """An answer, in no framework's class."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


def problem_of(error: BaseException | None) -> Problem | None:
    """The answer to a request that ended with an error; None if no limit is to blame."""
    found = LimitReached.of(error)
    return None if found is None else _problem(found, datetime.datetime.now(datetime.UTC))


def _problem(found: LimitReached, now: datetime.datetime) -> Problem:
    is_away = found.why == "unavailable"
    status, reason = (503, "Service Unavailable") if is_away else (429, "Too Many Requests")
    limit = found.limit
    told: dict[str, Any] = {
        "type": f"urn:payi-middleware:limit-{found.why}",
        "title": _TITLES[found.why],
        "status": status,
        "detail": "; ".join(_detail(found, one) for one in found.limits),
        "limit": limit.name,
        "limit_id": limit.limit_id,
        "unit": limit.unit,
    }
    if found.why == "reached":
        told["reason"] = limit.reason
    if limit.own:
        told |= {"spent": limit.spent, "held": limit.held, "max": limit.max, "wanted": limit.wanted}
    if limit.resets_at is not None:
        told["resets_at"] = limit.resets_at
    body = msgspec.json.encode({name: value for name, value in told.items() if value is not None})
    headers = {
        "content-type": "application/problem+json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
    }
    seconds = _SOON_SECONDS if is_away or found.passes else _seconds(found.resets_at, now)
    if seconds is not None:
        headers["retry-after"] = str(seconds)
    return Problem(status, reason, headers, body)


def _seconds(resets_at: datetime.datetime | None, now: datetime.datetime) -> int | None:
    """Whole seconds until then, rounded up; None if nobody can tell."""
    return None if resets_at is None else max(1, -int((now - resets_at).total_seconds() // 1))


def _detail(found: LimitReached, limit: ReachedLimit) -> str:
    if found.why == "unavailable":
        return f"limit {limit.name!r} cannot be checked now"
    if found.why == "unpriced":
        return f"limit {limit.name!r} lets no model through whose price is not known"
    return shown(limit, figures=limit.own)
