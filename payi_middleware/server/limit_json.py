"""Limits as they are told: Pay-i's members, and beside them ours under their own names.

Pay-i's totals are USD, also of a limit that counts calls or tokens; `max`, `spent`, `held` and `left` are in the limit's unit. Of a
limit that has an account for each user, say, `max` and `left` are each account's, and sums are over all that are running.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from ..limits.ledger import STATES, Past, Totals, state_of
from ..limits.limit import Definition, Limit, Unit, rolling_ns
from .moments import told
from .rows import money

__all__ = ["OURS", "account_json", "amount", "history_json", "limit_json"]

OURS = ("unit", "window", "timezone", "per", "match", "tags", "strict", "on_error", "unknown_price", "alerts")
"""The members of a limit that Pay-i does not have."""


def limit_json(definition: Definition, running: Sequence[Totals]) -> dict[str, Any]:
    """A limit with what is counted now."""
    limit = definition.limit
    return {
        "limit_id": definition.limit_id,
        "limit_name": limit.name,
        "limit_type": limit.type,
        "max": amount(limit.unit, limit.most),
        "threshold": limit.threshold,
        "limit_creation_timestamp": told(definition.created_ns),
        "limit_update_timestamp": told(definition.updated_ns),
        "properties": definition.properties,
        "totals": _totals(limit, [(one, limit.most) for one in running]),
        **{name: msgspec.to_builtins(getattr(limit, name), builtin_types=(Decimal,)) for name in OURS},
        "source": definition.source,
        "accounts": len(running),
        "spent": amount(limit.unit, sum(one.spent for one in running)),
        "held": amount(limit.unit, sum(one.held for one in running)),
        **_bounds(limit, running[0] if running else None),
    }


def account_json(limit: Limit, totals: Totals) -> dict[str, Any]:
    """One account of a limit; `key` has the values of `per` in their order, and is empty for the one that all share."""
    return {
        "key": msgspec.json.decode(totals.key) if totals.key else [],
        "state": state_of(totals.spent, limit.most, limit.threshold),
        "max": amount(limit.unit, limit.most),
        "spent": amount(limit.unit, totals.spent),
        "held": amount(limit.unit, totals.held),
        "left": amount(limit.unit, max(0, limit.most - totals.spent - totals.held)),
        **_bounds(limit, totals),
        "totals": _totals(limit, [(totals, limit.most)]),
    }


def history_json(definition: Definition, past: Sequence[Past], at_ns: int) -> dict[str, Any]:
    """What a limit had come to when it was reset."""
    limit = definition.limit
    return {
        "limit_id": definition.limit_id,
        "limit_name": limit.name,
        "limit_type": limit.type,
        "max": amount(limit.unit, limit.most),
        "limit_reset_timestamp": told(at_ns),
        "limit_tags": list(limit.tags),
        "totals": _totals(limit, [(one.totals, one.most) for one in past]),
    }


def amount(unit: Unit, counted: int) -> Decimal:
    """What is counted as it is told: USD, calls or tokens."""
    return money(counted) if unit == "usd" else Decimal(counted)


def _bounds(limit: Limit, totals: Totals | None) -> dict[str, Any]:
    """When the window began and when it ends; a rolling one ends never, as it goes along."""
    starts, ends = (None, None) if totals is None else (totals.starts_ns, totals.ends_ns)
    if rolling_ns(limit.window) is not None:
        ends = None
    return {"window_starts_at": told(starts), "window_ends_at": told(ends)}


def _totals(limit: Limit, rows: Sequence[tuple[Totals, int]]) -> dict[str, Any]:
    """The sums of some rows, each with the maximum that it had."""
    into = sum(row.input_ticks for row, _ in rows)
    out = sum(row.output_ticks for row, _ in rows)
    counts = {state: sum(row.requests.get(state, 0) for row, _ in rows) for state in STATES}
    over = sum(max(0, row.spent - most) for row, most in rows) if limit.unit == "usd" else None
    return {
        "cost": {
            "input": {"base": money(into)},
            "output": {"base": money(out)},
            "total": {"base": money(into + out), "overrun_base": None if over is None else money(over)},
        },
        "requests": {**counts, "total": sum(counts.values())},
    }
