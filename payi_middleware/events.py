"""The event of a call, frozen, and the values that it is made of: what travels.

An event is an array in msgpack (spool, store) and an object with the names of the contract in JSON.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from .values import (
    COST_SOURCES,
    NO_LEDGER,
    OUTCOMES,
    SCHEMA,
    TICK,
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
    format_id,
    format_time,
    moment,
    usd,
)

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


class CallEvent(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
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
    def request_tags(self) -> tuple[str, ...]:
        """The labels of the call."""
        return self.attribution.request_tags

    @property
    def request_properties(self) -> Mapping[str, str]:
        """Text by text, of the call."""
        return self.attribution.request_properties

    @property
    def use_case_name(self) -> str | None:
        """The use case of the call."""
        return self.attribution.use_case_name

    @property
    def use_case_id(self) -> str | None:
        """The instance of the use case."""
        return self.attribution.use_case_id

    @property
    def use_case_version(self) -> int | None:
        """The version of the use case's definition."""
        return self.attribution.use_case_version

    @property
    def use_case_step(self) -> str | None:
        """The step inside the instance."""
        return self.attribution.use_case_step

    @property
    def use_case_properties(self) -> Mapping[str, str]:
        """Text by text, of the instance."""
        return self.attribution.use_case_properties

    @property
    def limit_ids(self) -> tuple[str, ...]:
        """The limits that the call named."""
        return self.attribution.limit_ids

    @property
    def limit_tags(self) -> tuple[str, ...]:
        """The labels of limits that the call named."""
        return self.attribution.limit_tags

    @property
    def http_method(self) -> str | None:
        """How the web request asked."""
        return self.inbound.http_method

    @property
    def http_route(self) -> str | None:
        """The template of the web request's route."""
        return self.inbound.http_route

    @property
    def http_request_id(self) -> str | None:
        """The web request's id, as a proxy or the client named it."""
        return self.inbound.http_request_id

    @property
    def trace_id(self) -> str | None:
        """The trace that the web request belongs to."""
        return self.inbound.trace_id

    @property
    def span_id(self) -> str | None:
        """The span that the web request came from."""
        return self.inbound.span_id

    @property
    def latency_ms(self) -> int:
        """From sending to the end of the answer, milliseconds."""
        return self.duration_ns // 1_000_000

    @property
    def time_to_first_token_ms(self) -> int | None:
        """From sending to the first part of the answer's body, milliseconds."""
        return None if self.first_byte_ns is None else self.first_byte_ns // 1_000_000

    @property
    def started_at(self) -> datetime.datetime:
        """When the call began, UTC."""
        return moment(self.started_ns)

    @property
    def ended_at(self) -> datetime.datetime:
        """When the call ended, UTC."""
        return moment(self.started_ns + self.duration_ns)

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
            "time_to_first_token_ms": self.time_to_first_token_ms,
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
        from .event_json import fields_of_dict  # its decoders take a while to make

        return CallEvent(**fields_of_dict(told))

    @staticmethod
    def from_json(line: bytes) -> CallEvent:
        """The event of what `to_json` made.

        Raises:
            ValueError: It is none; the message names the member. msgspec's own errors are such.
        """
        from .event_json import fields_of_json

        return CallEvent(**fields_of_json(line))


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
