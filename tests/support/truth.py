"""What a report must say, worked out event by event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from payi_middleware.events import CallEvent, usd

__all__ = ["KEYS", "is_missing", "told", "truth"]

KEYS: dict[str, Callable[[CallEvent], Any]] = {
    "user": lambda e: e.user_id,
    "account": lambda e: e.account_name,
    "use-case": lambda e: e.use_case_name,
    "model": lambda e: e.resource,
    "provider": lambda e: e.provider,
    "route": lambda e: e.inbound.http_route,
    "application": lambda e: e.application,
}


def is_missing(event: CallEvent) -> bool:
    """Whether something was consumed that the cost leaves out; a failed call consumed nothing."""
    return bool(event.unpriced) or (event.cost_source == "none" and event.outcome not in ("error", "blocked"))


def truth(events: list[CallEvent]) -> dict[str, Any]:
    """The measures of a group, from its events; without durations."""
    failures: dict[str, int] = defaultdict(int)
    for event in events:
        if event.outcome != "ok":
            failures[event.outcome] += 1
    paid = [(e, e.cost.total_ticks if e.cost else 0) for e in events]
    return {
        "calls": len(events),
        "failures": dict(failures),
        "tokens": {"input": sum(e.units["text"][0] for e in events), "output": sum(e.units["text"][1] for e in events)},
        "cost": usd(sum(t for _, t in paid)),
        "estimated": usd(sum(t for e, t in paid if e.cost_source == "estimate")),
        "failed": usd(sum(t for e, t in paid if e.outcome != "ok")),
        "retried": usd(sum(t for e, t in paid if e.attempt > 1)),
        "retried_calls": sum(e.attempt > 1 for e in events),
        "unpriced_calls": sum(is_missing(e) for e in events),
        "unattributed_calls": sum(e.user_id is None for e in events),
    }


def told(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the report, money as numbers; without key and durations."""
    kept = {name: value for name, value in row.items() if name not in ("key", "latency_ms", "ttft_ms")}
    return kept | {name: Decimal(kept[name]) for name in ("cost", "estimated", "failed", "retried")}
