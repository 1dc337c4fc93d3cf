"""A `CallEvent` as an item of Pay-i's bulk ingest.

What Pay-i's schema has no place for goes into `properties`, as strings under `payi_middleware.`. Texts, headers and stack
traces are never in an event, and so not in here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from ..events import CallEvent, format_id, format_time
from .names import named, named_units
from .remote_errors import Unsendable

__all__ = ["NO_STATUS", "item", "response_id"]

NO_STATUS = 299
"""What Pay-i's client tells for a failure without an HTTP status: no connection, a timeout."""
_AHEAD_NS = 4 * 60 * 10**9
"""Pay-i refuses times that are more than 5 minutes ahead of its own clock."""
_LARGEST = (1 << 31) - 1
_PREFIX = "payi_middleware."


def item(event: CallEvent, limits: Collection[str], clock_ns: int) -> dict[str, Any]:
    """The item.

    Args:
        event: What to send.
        limits: The limit ids that may stand in `limit_ids`: there, and not of the type Block, which ingest refuses.
        clock_ns: The server's time, nanoseconds since the epoch.

    Raises:
        Unsendable: As it says.
    """
    who, (category, resource) = event.attribution, named(event)
    told: dict[str, Any] = {
        "category": category,
        "resource": resource,
        "units": _checked(named_units(event, resource)),
        "event_timestamp": format_time(_clamped(event.started_ns, clock_ns)),
        "end_to_end_latency_ms": min(event.latency_ms, _LARGEST),
        "time_to_first_token_ms": _first_token_ms(event),
        "http_status_code": _status(event),
        "provider_response_id": response_id(event),
        "user_id": who.user_id,
        "account_name": who.account_name,
        "request_tags": list(who.request_tags),
        "limit_ids": [limit for limit in who.limit_ids if limit in limits],
        "use_case_name": who.use_case_name,
        "use_case_id": who.use_case_id,
        "use_case_version": who.use_case_version,
        "use_case_step": who.use_case_step,
        "use_case_properties": dict(who.use_case_properties),
        "scope": _scope(event),
        "properties": _properties(event, limits, clock_ns, (category, resource)),
    }
    return {name: value for name, value in told.items() if value not in (None, [], {}) or name == "units"}


def response_id(event: CallEvent) -> str:
    """By which Pay-i knows an event again: the provider's id of the answer, else one made of the event's own."""
    return event.provider_response_id or f"payi_{format_id(event.event_id)}"


def _checked(units: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    for unit, sides in units.items():
        if not all(0 <= quantity <= _LARGEST for quantity in sides.values()):
            raise Unsendable(f"{unit[:64]}: a quantity is not in 0..{_LARGEST}")
    return units


def _clamped(started_ns: int, clock_ns: int) -> int:
    return clock_ns if started_ns > clock_ns + _AHEAD_NS else started_ns


def _first_token_ms(event: CallEvent) -> int | None:
    """Of streams only, as Pay-i means it."""
    if not event.streamed or event.first_byte_ns is None:
        return None
    return min(event.first_byte_ns // 1_000_000, _LARGEST)


def _failed_silently(event: CallEvent) -> bool:
    return event.http_status is None and event.outcome != "ok"


def _status(event: CallEvent) -> int | None:
    return NO_STATUS if _failed_silently(event) else event.http_status


def _scope(event: CallEvent) -> str | None:
    """Where the resource is, as somebody named it, else as the call told; Pay-i's client makes a data zone of Anthropic's geo."""
    if event.attribution.resource_scope:
        return event.attribution.resource_scope
    told = dict(term.split(":", 1) for term in event.terms if ":" in term)
    return f"datazone.{told['geo']}" if "geo" in told else told.get("scope")


def _properties(
    event: CallEvent, limits: Collection[str], clock_ns: int, names: tuple[str, str]
) -> dict[str, str | None]:
    """The caller's own properties, which win, beside ours."""
    who, where = event.attribution, event.inbound
    ours: dict[str, Any] = {
        "event_id": format_id(event.event_id),
        "origin": event.origin,
        "endpoint": event.endpoint,
        "category": event.category if event.category != names[0] else None,
        "resource": event.resource if event.resource != names[1] else None,
        "requested_resource": event.requested_resource if event.requested_resource != event.resource else None,
        "service_tier": event.service_tier,
        "outcome": event.outcome if event.outcome != "ok" else None,
        "error_type": event.error_type,
        "streamed": "true" if event.streamed else None,
        "attempt": str(event.attempt) if event.attempt > 1 else None,
        "call_group": format_id(event.call_group) if event.call_group != event.event_id else None,
        "cost": None if event.cost is None else event.cost.to_dict()["total"],
        "cost_source": event.cost_source,
        "reason": event.reason,
        "unpriced": _json(event.to_dict()["unpriced"]) if event.unpriced else None,
        "price_version": event.price_version,
        "terms": ",".join(event.terms),
        "limit_ids": ",".join(limit for limit in who.limit_ids if limit not in limits),
        "limit_tags": ",".join(who.limit_tags),
        "limits": _json(event.limits) if event.limits else None,
        "ledger": event.ledger,
        "started_at": format_time(event.started_ns)
        if _clamped(event.started_ns, clock_ns) != event.started_ns
        else None,
        "http_method": where.http_method,
        "http_route": where.http_route,
        "http_request_id": where.http_request_id,
        "trace_id": where.trace_id,
        "span_id": where.span_id,
    }
    told: dict[str, str | None] = {_PREFIX + name: value for name, value in ours.items() if value}
    if _failed_silently(event):
        told["system.failure"] = event.error_type or event.outcome
    return told | who.request_properties


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
