"""Ninety days of calls as a busy application makes them, written by the store's own writer.

30 routes of 20 use cases, each with a few models that it prefers among 15 of 6 providers; 100,000 users, some busier than
others, in 1,000 accounts; 50 tags; retries, failures, streams, estimates and calls of nobody.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from payi_middleware.events import Attribution, CallEvent, Cost, Inbound, Line
from payi_middleware.store import open_store

__all__ = ["DAYS", "USERS", "written"]

DAYS = 90
USERS = 100_000
ACCOUNTS = 1_000
USE_CASES = 20
ROUTES = 30
TAGS = tuple(f"tag-{n:02}" for n in range(50))
AT_ONCE = 10_000

_DAY_NS = 86_400 * 10**9
_MILLION = 1_000_000


class Model(NamedTuple):
    """A model, with what a million tokens cost, in USD."""

    provider: str
    name: str
    rates: tuple[str, str]


MODELS = (
    Model("openai", "gpt-4o", ("2.5", "10")),
    Model("openai", "gpt-4o-mini", ("0.15", "0.6")),
    Model("openai", "o3", ("2", "8")),
    Model("openai", "gpt-4.1", ("2", "8")),
    Model("openai", "text-embedding-3-small", ("0.02", "0")),
    Model("anthropic", "claude-sonnet-4", ("3", "15")),
    Model("anthropic", "claude-haiku-4-5", ("1", "5")),
    Model("anthropic", "claude-opus-4", ("15", "75")),
    Model("google", "gemini-2.5-pro", ("1.25", "10")),
    Model("google", "gemini-2.5-flash", ("0.3", "2.5")),
    Model("mistral", "mistral-large", ("2", "6")),
    Model("mistral", "mistral-small", ("0.1", "0.3")),
    Model("groq", "llama-3.3-70b", ("0.59", "0.79")),
    Model("groq", "llama-3.1-8b", ("0.05", "0.08")),
    Model("cohere", "command-r", ("0.15", "0.6")),
)


def written(path: Path, events: int) -> float:
    """Make the store at `path`, of `events` calls until now; seconds of processor time that writing took an event."""
    chance = random.Random(1)
    spent = 0.0
    until = time.time_ns()
    with open_store(f"sqlite:///{path}", create=True, timeout=60) as store:
        made = _calls(events, until - DAYS * _DAY_NS, until, chance)
        done = 0
        while batch := list(itertools.islice(made, AT_ONCE)):
            began = time.process_time()
            store.write(batch)
            spent += time.process_time() - began
            done += len(batch)
            if done % (100 * AT_ONCE) == 0:
                print(f"{done:,} calls written", file=sys.stderr, flush=True)
    return spent / events


def _calls(events: int, since: int, until: int, chance: random.Random) -> Iterator[CallEvent]:
    step = (until - since) / events
    for number in range(events):
        yield _call(since + int(number * step), chance)


def _call(started_ns: int, chance: random.Random) -> CallEvent:
    route = int(ROUTES * chance.random() ** 1.5)
    use_case = route % USE_CASES
    # Every model is tried everywhere once in a while, so every combination occurs.
    preferred = (use_case * 4 + int(3 * chance.random() ** 2)) % len(MODELS)
    model = MODELS[preferred if chance.random() < 0.9 else chance.randrange(len(MODELS))]
    user = int(USERS * chance.random() ** 1.3)
    sort = chance.random()
    outcome, source = "ok", "usage"
    if sort < 0.02:
        outcome, source = ("error", "none") if sort < 0.015 else ("timeout", "none")
    elif sort < 0.04:
        source = "estimate"
    elif sort < 0.05:
        outcome = "aborted"
    event_id = _id(started_ns, chance)
    units = {"text": (int(chance.expovariate(1 / 900)) + 20, int(chance.expovariate(1 / 250)) + 1)}
    return CallEvent(
        event_id=event_id,
        application="default",
        origin="request",
        started_ns=started_ns,
        duration_ns=int(chance.lognormvariate(0, 0.7) * 1.2e9),
        first_byte_ns=None if outcome == "timeout" else int(chance.lognormvariate(-1, 0.5) * 1e9),
        provider=model.provider,
        category=f"system.{model.provider}",
        resource=model.name,
        requested_resource=model.name,
        endpoint="/v1/chat/completions",
        service_tier=None,
        http_status={"ok": 200, "aborted": 200, "error": 429}.get(outcome),
        outcome=outcome,  # type: ignore[arg-type]
        error_type="rate_limit_exceeded" if outcome == "error" else None,
        streamed=route % 3 == 0,
        attempt=2 if chance.random() < 0.01 else 1,
        call_group=event_id,
        attribution=Attribution(
            user_id=None if chance.random() < 0.03 else f"user-{user:06}@example.com",
            account_name=f"account-{user % ACCOUNTS:04}",
            request_tags=(TAGS[use_case], TAGS[20 + user % 30]) if route % 5 else (TAGS[use_case],),
            use_case_name=f"UseCase.{use_case:02}",
            use_case_id=_uuid(chance),
            use_case_version=1,
        ),
        inbound=Inbound(
            "POST",
            f"/api/v1/things/{{id}}/{route:02}",
            _uuid(chance),
            *((f"{chance.getrandbits(128):032x}", f"{chance.getrandbits(64):016x}") if route % 3 == 1 else ()),
        ),
        units=units if source != "none" else {},
        cost=_cost(units["text"], model) if source != "none" else None,
        cost_source=source,  # type: ignore[arg-type]
        unpriced=(),
        reason=None if source == "usage" else "no usage was reported",
        price_version="genai-prices 0.2.3",
        provider_response_id=None if outcome != "ok" else f"chatcmpl-{chance.getrandbits(128):029x}"[:38],
    )


def _id(started_ns: int, chance: random.Random) -> bytes:
    """A UUIDv7."""
    head = (started_ns // 1_000_000 << 16) | 0x7000 | chance.getrandbits(12)
    return head.to_bytes(8, "big") + (1 << 63 | chance.getrandbits(62)).to_bytes(8, "big")


def _uuid(chance: random.Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _cost(sides: tuple[int, int], model: Model) -> Cost:
    lines = tuple(
        Line("text", side, quantity, rate, _MILLION, "genai-prices", "2025-01-01")  # type: ignore[arg-type]
        for side, quantity, rate in zip(("input", "output"), sides, model.rates, strict=True)
    )
    into, out = (_TICKS[line.rate] * line.quantity for line in lines)
    return Cost(into, out, into + out, lines)


_TICKS = {rate: round(float(rate) * 10**10) // _MILLION for model in MODELS for rate in model.rates}
"""Ticks of a token; exact, as no rate here has more than four decimals."""
