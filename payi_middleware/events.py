"""The frozen values that travel: for whom a call is made, what it consumed, what that cost.

Money is counted in ticks of 10^-10 USD (integers) and shown as `Decimal`; times are integer nanoseconds since the epoch, UTC,
and shown as RFC 3339. The structs are arrays in msgpack (spool, store) and objects with the names of the contract in JSON.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = [
    "COST_SOURCES",
    "NO_LEDGER",
    "OUTCOMES",
    "SCHEMA",
    "TICK",
    "TICKS_PER_USD",
    "Attribution",
    "CallEvent",
    "Cost",
    "CostSource",
    "Inbound",
    "Line",
    "Outcome",
    "Part",
    "Side",
    "Units",
    "Unpriced",
    "format_id",
    "format_time",
    "usd",
]

SCHEMA = 1
"""Version of the JSON form of a `CallEvent`."""

TICKS_PER_USD = 10**10
NO_LEDGER = "none"
"""In place of a ledger's name in an event that is to be counted to no limit: it never went out."""
TICK = Decimal(1).scaleb(-10)

Outcome: TypeAlias = Literal["ok", "error", "aborted", "timeout", "blocked", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "error", "aborted", "timeout", "blocked", "unknown")
"""How a call ended; the order is part of the store's format."""

CostSource: TypeAlias = Literal["provider", "usage", "estimate", "none"]
COST_SOURCES: tuple[CostSource, ...] = ("provider", "usage", "estimate", "none")
"""Where a cost is from: stated by the provider, computed from reported usage, from counted tokens, or nowhere."""

Side: TypeAlias = Literal["input", "output"]

Units: TypeAlias = dict[str, tuple[int, int]]
"""What was consumed, by Pay-i unit name: (input, output). Units never overlap: `text` is without cached and reasoning tokens."""


def usd(ticks: int) -> Decimal:
    """Ticks as exact US dollars."""
    return Decimal(ticks).scaleb(-10)


def format_time(ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, with microseconds."""
    return _moment(ns).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(ns: int) -> datetime.datetime:
    """The same as a time; a float of seconds would lose microseconds."""
    whole, rest = divmod(ns, 1_000_000_000)
    return datetime.datetime.fromtimestamp(whole, datetime.UTC).replace(microsecond=rest // 1000)


def _money(value: Decimal) -> str:
    """A plain decimal string, never with an exponent."""
    text = format(value.normalize(), "f")
    return "0" if text == "-0" else text


class Attribution(msgspec.Struct, frozen=True, array_like=True):
    """For whom and for what a call is made."""

    user_id: str | None = None
    account_name: str | None = None
    request_tags: tuple[str, ...] = ()
    request_properties: dict[str, str] = {}
    use_case_name: str | None = None
    use_case_id: str | None = None
    use_case_version: int | None = None
    use_case_step: str | None = None
    use_case_properties: dict[str, str] = {}
    limit_ids: tuple[str, ...] = ()
    limit_tags: tuple[str, ...] = ()
    price_as: str | None = None
    """`category/resource` or a resource alone, by which to price instead of the model that answered."""
    resource_scope: str | None = None


class Inbound(msgspec.Struct, frozen=True, array_like=True):
    """The web request during which a call is made."""

    http_method: str | None = None
    http_route: str | None = None
    """The route's template, never the raw path."""
    http_request_id: str | None = None
    trace_id: str | None = None
    """32 hexadecimal digits of W3C `traceparent`."""
    span_id: str | None = None


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One priced unit of a call."""

    unit: str
    side: Side
    quantity: int
    rate: str
    """USD for `per` units, a decimal string."""
    per: int
    source: str
    """Where the rate is from, for example `genai-prices`."""
    valid_from: str | None = None
    """ISO date since which the rate holds; None where the source does not tell."""

    @property
    def amount(self) -> Decimal:
        """USD, exact, unrounded."""
        return Decimal(self.rate) * self.quantity / self.per


class Cost(msgspec.Struct, frozen=True, array_like=True):
    """What a call cost, in ticks; `input_ticks + output_ticks == total_ticks`."""

    input_ticks: int
    output_ticks: int
    total_ticks: int
    """The exact sum of the lines, rounded once, half to even."""
    lines: tuple[Line, ...] = ()

    @property
    def input(self) -> Decimal:
        """USD of the input side."""
        return usd(self.input_ticks)

    @property
    def output(self) -> Decimal:
        """USD of the output side."""
        return usd(self.output_ticks)

    @property
    def total(self) -> Decimal:
        """USD in all."""
        return usd(self.total_ticks)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: money as decimal strings."""
        return {
            "currency": "usd",
            "input": _money(self.input),
            "output": _money(self.output),
            "total": _money(self.total),
            "lines": [
                {
                    "unit": line.unit,
                    "side": line.side,
                    "quantity": line.quantity,
                    "rate": line.rate,
                    "per": line.per,
                    "amount": _money(line.amount),
                    "source": line.source,
                    "valid_from": line.valid_from,
                }
                for line in self.lines
            ],
        }


class Unpriced(msgspec.Struct, frozen=True, array_like=True):
    """Something that was consumed and that the cost leaves out, and why."""

    unit: str
    quantity: int
    reason: str


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What one model consumed of a call that several served: an advisor, a tool's own model, a line of a batch."""

    model: str | None
    units: Units
    service_tier: str | None = None
    terms: tuple[str, ...] = ()
    provider: str | None = None
    """Set if it is another one than the call's: a gateway tells who answered."""
    once: str | None = None
    """Set if it is charged once, with the first call that tells of it: 32 hexadecimal digits, the same wherever it is told."""


class CallEvent(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One finished call, as stored and sent."""

    event_id: bytes
    """A UUIDv7, 16 bytes, made once; every sink deduplicates by it."""
    application: str
    origin: str
    """`request`, `track`, `record`, `proxy` or `ingest`: by which door the event came in."""
    started_ns: int
    duration_ns: int
    first_byte_ns: int | None
    """From the start to the first part of the answer's body."""
    provider: str
    category: str
    resource: str | None
    """The model that answered."""
    requested_resource: str | None
    endpoint: str
    service_tier: str | None
    http_status: int | None
    outcome: Outcome
    error_type: str | None
    streamed: bool
    attempt: int
    call_group: bytes
    """The `event_id` of the first attempt of the same SDK call."""
    attribution: Attribution
    inbound: Inbound
    units: Units
    cost: Cost | None
    """None exactly when `cost_source` is `none`."""
    cost_source: CostSource
    unpriced: tuple[Unpriced, ...]
    reason: str | None
    """Why the cost is missing, partial or an estimate."""
    price_version: str | None
    provider_response_id: str | None
    limits: dict[str, str] = {}
    terms: tuple[str, ...] = ()
    """What else the rates depend on: `region:eu`, `size:1024x1024`. See `pricing/rows.py`."""
    parts: tuple[Part, ...] = ()
    """Of a call that several models served, what each consumed; `units` is the sum of them."""
    ledger: str | None = None
    """The ledger that counted it to its limits (`sqlite:5f0c...`), so that no other counts it again; None if none did yet, and
    `NO_LEDGER` if none is to."""

    @property
    def user_id(self) -> str | None:
        """The user of the call."""
        return self.attribution.user_id

    @property
    def account_name(self) -> str | None:
        """The customer of the call."""
        return self.attribution.account_name

    @property
    def use_case_name(self) -> str | None:
        """The use case of the call."""
        return self.attribution.use_case_name

    @property
    def latency_ms(self) -> int:
        """From sending to the end of the answer, milliseconds."""
        return self.duration_ns // 1_000_000

    @property
    def started_at(self) -> datetime.datetime:
        """When the call began, UTC."""
        return _moment(self.started_ns)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of the contract: flat, money as decimal strings, times as RFC 3339 in UTC."""
        who, where = self.attribution, self.inbound
        return {
            "schema": SCHEMA,
            "event_id": format_id(self.event_id),
            "application": self.application,
            "origin": self.origin,
            "started_at": format_time(self.started_ns),
            "ended_at": format_time(self.started_ns + self.duration_ns),
            "latency_ms": self.latency_ms,
            "time_to_first_token_ms": None if self.first_byte_ns is None else self.first_byte_ns // 1_000_000,
            "time_to_first_completion_token_ms": None,
            "provider": self.provider,
            "category": self.category,
            "resource": self.resource,
            "requested_resource": self.requested_resource,
            "endpoint": self.endpoint,
            "service_tier": self.service_tier,
            "http_status": self.http_status,
            "outcome": self.outcome,
            "error_type": self.error_type,
            "streamed": self.streamed,
            "attempt": self.attempt,
            "call_group": format_id(self.call_group),
            "user_id": who.user_id,
            "account_name": who.account_name,
            "request_tags": list(who.request_tags),
            "request_properties": dict(who.request_properties),
            "use_case_name": who.use_case_name,
            "use_case_id": who.use_case_id,
            "use_case_version": who.use_case_version,
            "use_case_step": who.use_case_step,
            "use_case_properties": dict(who.use_case_properties),
            "limit_ids": list(who.limit_ids),
            "limit_tags": list(who.limit_tags),
            "limits": dict(self.limits),
            "ledger": self.ledger,
            "units": _units(self.units),
            "cost": None if self.cost is None else self.cost.to_dict(),
            "cost_source": self.cost_source,
            "unpriced": [{"unit": u.unit, "quantity": u.quantity, "reason": u.reason} for u in self.unpriced],
            "reason": self.reason,
            "price_version": self.price_version,
            "provider_response_id": self.provider_response_id,
            "terms": list(self.terms),
            "parts": [_part(part) for part in self.parts],
            "http_method": where.http_method,
            "http_route": where.http_route,
            "http_request_id": where.http_request_id,
            "trace_id": where.trace_id,
            "span_id": where.span_id,
        }

    def to_json(self) -> str:
        """One line of JSON."""
        return msgspec.json.encode(self.to_dict()).decode()

    @staticmethod
    def from_dict(told: Mapping[str, Any]) -> CallEvent:
        """The event of what `to_dict` made; see `event_json` for what that leaves out.

        Raises:
            ValueError: It is none; the message names the member.
        """
        from .event_json import event_of_dict

        return event_of_dict(told)


def _units(units: Units) -> dict[str, dict[str, int]]:
    return {name: {"input": sides[0], "output": sides[1]} for name, sides in units.items()}


def _part(part: Part) -> dict[str, Any]:
    told: dict[str, Any] = {
        "model": part.model,
        "units": _units(part.units),
        "service_tier": part.service_tier,
        "terms": list(part.terms),
        "provider": part.provider,
    }
    return told if part.once is None else {**told, "once": part.once}


def format_id(value: bytes) -> str:
    """The usual text form of a UUID's 16 bytes."""
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
