"""Makes finished calls for tests of what keeps and shows them."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

from payi_middleware.events import Attribution, CallEvent, Cost, Inbound, Line

__all__ = ["START_NS", "call", "event_id"]

START_NS = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z."""

_numbers = itertools.count(1)


def event_id(started_ns: int = START_NS) -> bytes:
    """A new UUIDv7."""
    number = next(_numbers)
    head = (started_ns // 1_000_000).to_bytes(6, "big")
    return head + (0x7000 | number & 0xFFF).to_bytes(2, "big") + (1 << 63 | number >> 12).to_bytes(8, "big")


def call(**given: Any) -> CallEvent:
    """A priced OpenAI call of 1,000 tokens in and 100 out for 0.0035 USD; keywords change its members or theirs."""
    started = given.get("started_ns", START_NS)
    own = event_id(started)
    who = {name: given.pop(name) for name in Attribution.__struct_fields__ if name in given}
    where = {name: given.pop(name) for name in Inbound.__struct_fields__ if name in given}
    units = given.pop("units", {"text": (1000, 100)})
    ticks = given.pop("ticks", None)
    values: dict[str, Any] = {
        "event_id": own,
        "application": "default",
        "origin": "request",
        "started_ns": started,
        "duration_ns": 800_000_000,
        "first_byte_ns": 300_000_000,
        "provider": "openai",
        "category": "system.openai",
        "resource": "gpt-4o",
        "requested_resource": "gpt-4o",
        "endpoint": "/v1/chat/completions",
        "service_tier": None,
        "http_status": 200,
        "outcome": "ok",
        "error_type": None,
        "streamed": False,
        "attempt": 1,
        "call_group": own,
        "attribution": Attribution(**who),
        "inbound": Inbound(**where),
        "units": units,
        "cost": _cost(units) if ticks is None else Cost(ticks, 0, ticks),
        "cost_source": "usage",
        "unpriced": (),
        "reason": None,
        "price_version": "genai-prices 0.2.3",
        "provider_response_id": None,
    } | given
    if values["cost_source"] == "none":
        values["cost"] = None
    return CallEvent(**values)


def _cost(units: dict[str, tuple[int, int]]) -> Cost:
    lines = tuple(
        Line(unit, side, quantity, rate, 1_000_000, "genai-prices", "2025-01-01")
        for unit, sides in units.items()
        for side, quantity, rate in (("input", sides[0], "2.5"), ("output", sides[1], "10"))
        if quantity
    )
    into, out = (
        int(sum((ln.amount for ln in lines if ln.side == side), Decimal(0)).scaleb(10)) for side in ("input", "output")
    )
    return Cost(into, out, into + out, lines)
