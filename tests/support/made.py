"""Makes finished calls for tests of what keeps and shows them."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal
from typing import Any

from payi_middleware.events import Attribution, CallEvent, Cost, Inbound, Line, Unpriced

__all__ = ["DAY", "HOUR", "START_NS", "call", "event_id", "some_events"]

START_NS = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z."""
HOUR = 3_600 * 10**9
DAY = 24 * HOUR

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


def some_events(n: int = 1500, days: int = 75) -> list[CallEvent]:
    """Calls over some months, in random order of time: priced, estimated, unpriced, failed and retried."""
    chance = random.Random(7)
    made = []
    for number in range(n):
        outcome = chance.choice(["ok"] * 12 + ["error", "aborted", "timeout", "blocked", "unknown"])
        source = chance.choice(["usage"] * 6 + ["estimate", "provider", "none"])
        provider, model = chance.choice(
            [("openai", "gpt-4o"), ("openai", "o3"), ("anthropic", "claude"), ("groq", None)]
        )
        made.append(
            call(
                started_ns=START_NS - chance.randrange(days * DAY),
                duration_ns=chance.randrange(10**6, 10**11),
                first_byte_ns=chance.choice([None, 10**8]),
                application=chance.choice(["shop", "blog"]),
                provider=provider,
                resource=model,
                outcome=outcome,
                http_status=200 if outcome == "ok" else 429,
                error_type=None if outcome == "ok" else "rate_limit",
                attempt=chance.choice([1, 1, 1, 2, 3]),
                cost_source=source,
                ticks=chance.randrange(10**9),
                unpriced=(Unpriced("audio", 3, "no rate"),) if number % 11 == 0 else (),
                units={"text": (chance.randrange(5000), chance.randrange(500)), "web_search_request": (0, 7)},
                user_id=chance.choice([None, *(f"user-{n}" for n in range(9))]),
                account_name=chance.choice([None, "acme", "globex"]),
                use_case_name=chance.choice([None, "Summary", "Chat"]),
                http_route=chance.choice([None, "/a/{id}", "/b"]),
                request_tags=chance.choice([(), ("red",), ("red", "blue"), ("blue", "red", "green")]),
            )
        )
    return made
