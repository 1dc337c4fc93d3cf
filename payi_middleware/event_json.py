"""The fields of a `CallEvent` from its JSON form, the inverse of `CallEvent.to_dict`.

What that form leaves out (`price_as`, the scope) is not there again, and times are as it tells them: to the
microsecond, first bytes to the millisecond.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from .values import (
    MONEY,
    SCHEMA,
    TICKS_PER_USD,
    Attribution,
    Cost,
    CostSource,
    Inbound,
    Line,
    Outcome,
    Part,
    Side,
    Units,
    Unpriced,
    ns_of,
)

__all__ = ["fields_of_dict", "fields_of_json"]

_Text: TypeAlias = Annotated[str, Meta(max_length=4096)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 62)]
_Texts: TypeAlias = Annotated[list[_Text], Meta(max_length=256)]
_Map: TypeAlias = Annotated[dict[_Text, _Text], Meta(max_length=256)]

_EARLIEST, _LATEST = 946_684_800 * 10**9, 7_258_118_400 * 10**9  # the years 2000 and 2200


class _Sides(msgspec.Struct, forbid_unknown_fields=True):
    input: _Count
    output: _Count


_Units: TypeAlias = Annotated[dict[_Text, _Sides], Meta(max_length=256)]


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    unit: _Text
    side: Side
    quantity: _Count
    rate: Decimal
    per: Annotated[int, Meta(ge=1, lt=1 << 62)]
    source: _Text
    amount: Decimal | None = None
    """Passed over: the quantity and the rate tell it."""
    valid_from: _Text | None = None


class _Cost(msgspec.Struct, forbid_unknown_fields=True):
    currency: Literal["usd"]
    input: Decimal
    output: Decimal
    total: Decimal
    lines: Annotated[list[_Line], Meta(max_length=4096)]


class _Unpriced(msgspec.Struct, forbid_unknown_fields=True):
    unit: _Text
    quantity: _Count
    reason: _Text


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    model: _Text | None
    units: _Units
    service_tier: _Text | None = None
    terms: _Texts = []
    provider: _Text | None = None
    once: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")] | None = None


class _Told(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    schema: Annotated[int, Meta(ge=1, le=SCHEMA)]
    event_id: uuid.UUID
    application: _Text
    origin: Literal["request", "track", "record", "proxy", "ingest"]
    started_at: datetime.datetime
    ended_at: datetime.datetime
    latency_ms: int | None = None
    """Passed over: the times tell it."""
    time_to_first_token_ms: _Count | None = None
    time_to_first_completion_token_ms: _Count | None = None
    provider: _Text
    category: _Text
    resource: _Text | None = None
    requested_resource: _Text | None = None
    endpoint: _Text = ""
    service_tier: _Text | None = None
    http_status: _Count | None = None
    outcome: Outcome
    error_type: _Text | None = None
    streamed: bool = False
    attempt: Annotated[int, Meta(ge=1, lt=1 << 31)] = 1
    call_group: uuid.UUID | None = None
    user_id: _Text | None = None
    account_name: _Text | None = None
    request_tags: _Texts = []
    request_properties: _Map = {}
    use_case_name: _Text | None = None
    use_case_id: _Text | None = None
    use_case_version: _Count | None = None
    use_case_step: _Text | None = None
    use_case_properties: _Map = {}
    limit_ids: _Texts = []
    limit_tags: _Texts = []
    limits: _Map = {}
    ledger: _Text | None = None
    units: _Units = {}
    cost: _Cost | None = None
    cost_source: CostSource
    unpriced: Annotated[list[_Unpriced], Meta(max_length=4096)] = []
    reason: _Text | None = None
    price_version: _Text | None = None
    provider_response_id: _Text | None = None
    terms: _Texts = []
    parts: Annotated[list[_Part], Meta(max_length=4096)] = []
    http_method: _Text | None = None
    http_route: _Text | None = None
    http_request_id: _Text | None = None
    trace_id: _Text | None = None
    span_id: _Text | None = None


_decode = msgspec.json.Decoder(_Told).decode


def fields_of_json(line: bytes) -> dict[str, Any]:
    """The fields of the event of one JSON object.

    Raises:
        ValueError: It is none; the message names the member. msgspec's own errors are such.
    """
    return _fields(_decode(line))


def fields_of_dict(told: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the event of what `CallEvent.to_dict` made.

    Raises:
        ValueError: As `fields_of_json`.
    """
    return _fields(msgspec.convert(told, _Told))


def _fields(told: _Told) -> dict[str, Any]:
    started, ended = ns_of(told.started_at), ns_of(told.ended_at)
    if not _EARLIEST <= started <= ended < _LATEST:
        raise ValueError("started_at, ended_at: not in their order, or out of range")
    if (told.cost is None) != (told.cost_source == "none"):
        raise ValueError("cost: is null exactly when cost_source is `none`")
    first = told.time_to_first_token_ms
    return {
        "event_id": told.event_id.bytes,
        "application": told.application,
        "origin": told.origin,
        "started_ns": started,
        "duration_ns": ended - started,
        "first_byte_ns": None if first is None else first * 1_000_000,
        "provider": told.provider,
        "category": told.category,
        "resource": told.resource,
        "requested_resource": told.requested_resource,
        "endpoint": told.endpoint,
        "service_tier": told.service_tier,
        "http_status": told.http_status,
        "outcome": told.outcome,
        "error_type": told.error_type,
        "streamed": told.streamed,
        "attempt": told.attempt,
        "call_group": (told.call_group or told.event_id).bytes,
        "attribution": _attribution(told),
        "inbound": Inbound(told.http_method, told.http_route, told.http_request_id, told.trace_id, told.span_id),
        "units": _units(told.units),
        "cost": None if told.cost is None else _cost(told.cost),
        "cost_source": told.cost_source,
        "unpriced": tuple([Unpriced(one.unit, one.quantity, one.reason) for one in told.unpriced]),
        "reason": told.reason,
        "price_version": told.price_version,
        "provider_response_id": told.provider_response_id,
        "limits": told.limits,
        "terms": tuple(told.terms),
        "parts": tuple(map(_part, told.parts)),
        "ledger": told.ledger,
    }


def _part(told: _Part) -> Part:
    return Part(told.model, _units(told.units), told.service_tier, tuple(told.terms), told.provider, told.once)


def _attribution(told: _Told) -> Attribution:
    return Attribution(
        user_id=told.user_id,
        account_name=told.account_name,
        request_tags=tuple(told.request_tags),
        request_properties=told.request_properties,
        use_case_name=told.use_case_name,
        use_case_id=told.use_case_id,
        use_case_version=told.use_case_version,
        use_case_step=told.use_case_step,
        use_case_properties=told.use_case_properties,
        limit_ids=tuple(told.limit_ids),
        limit_tags=tuple(told.limit_tags),
    )


def _units(told: dict[str, _Sides]) -> Units:
    return {name: (sides.input, sides.output) for name, sides in told.items()}


def _cost(told: _Cost) -> Cost:
    given, made, total = _ticks("input", told.input), _ticks("output", told.output), _ticks("total", told.total)
    if given + made != total:
        raise ValueError("cost: input and output are not the total")
    lines = [
        Line(one.unit, one.side, one.quantity, _rate(one.rate), one.per, one.source, one.valid_from)
        for one in told.lines
    ]
    return Cost(given, made, total, tuple(lines))


def _ticks(name: str, amount: Decimal) -> int:
    """USD as ticks; what is no whole number of them was not made by `to_dict`."""
    if not amount.is_finite() or amount.copy_abs() > 10**9:
        raise ValueError(f"cost.{name}: out of range")
    ticks = MONEY.multiply(amount, TICKS_PER_USD)
    if ticks != int(ticks):
        raise ValueError(f"cost.{name}: finer than 10^-10 USD")
    return int(ticks)


def _rate(rate: Decimal) -> str:
    if not rate.is_finite() or not 0 <= rate <= 10**9 or rate.adjusted() < -40:
        raise ValueError("cost.lines.rate: out of range")
    return format(rate, "f")
