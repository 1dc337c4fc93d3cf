"""`xproxy_result`: what Pay-i tells of a request, from its event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..events import CallEvent, format_id
from ..limits.instances import told_id
from ..manual.pricing import OWN_RESOURCE, unknown_units
from .rows import money

__all__ = ["result_of"]


def result_of(event: CallEvent, *, duplicate: bool = False, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The members that are known, all of them optional to Pay-i's clients."""
    who = event.attribution
    unknown = unknown_units(event)
    result: dict[str, Any] = {
        "request_id": format_id(event.event_id),
        "limits": {told_id(limit_id, who): {"state": state} for limit_id, state in event.limits.items()},
        "cost": _cost(event),
        "duplicate_request": duplicate,
    }
    optional = {
        "blocked_limit_ids": [limit_id for limit_id, state in event.limits.items() if state == "blocked"],
        "request_tags": list(who.request_tags),
        "use_case_name": who.use_case_name,
        "use_case_id": who.use_case_id,
        "use_case_step": who.use_case_step,
        "user_id": who.user_id,
        "account_name": who.account_name,
        "resource_id": _resource_id(event),
        "unknown_units": {unit: {"input": sides[0], "output": sides[1]} for unit, sides in unknown.items()},
        "warnings": [*warnings, *_doubts(event)],
    }
    return result | {name: value for name, value in optional.items() if value}


def _cost(event: CallEvent) -> dict[str, Any]:
    cost = event.cost
    into, out, total = (cost.input_ticks, cost.output_ticks, cost.total_ticks) if cost else (0, 0, 0)
    return {
        "currency": "usd",
        "input": {"base": money(into)},
        "output": {"base": money(out)},
        "total": {"base": money(total)},
    }


def _resource_id(event: CallEvent) -> str | None:
    """The version of the application's own resource that priced it, if one did."""
    lines = event.cost.lines if event.cost else ()
    return event.price_version if lines and lines[0].source == OWN_RESOURCE else None


def _doubts(event: CallEvent) -> list[str]:
    """Why a cost is missing or not whole: it is never left out in silence."""
    if event.outcome != "ok":
        return []
    told = [event.reason] if event.cost is None and event.reason else []
    return [*told, *[f"{one.unit}: {one.reason}" for one in event.unpriced]]
