"""400 users, each with five calls whose token counts tell whose they are, and what all of them cost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from payi_middleware.events import CallEvent

__all__ = ["CALLS", "CASES", "MODES", "TOTAL_TICKS", "USERS", "body", "check", "user"]

USERS = 400
CALLS = 5
CASES = ("Search", "Summary", "Chat.v2", "Mail")
MODES = ("header", "identify", "set")

TOTAL_TICKS = sum(
    (10 * (number + 1) + call) * 1_500 + (number % 7 + call + 1) * 6_000
    for number in range(USERS)
    for call in range(CALLS)
)
"""gpt-4o-mini: 0.15 and 0.60 USD a million tokens, in ticks of 10^-10 USD a token."""


def user(number: int) -> str:
    return f"user-{number:03}"


def body(number: int, call: int, *, stream: bool = False) -> dict[str, Any]:
    """The request of a user's call."""
    text = f"#input={10 * (number + 1) + call} #output={number % 7 + call + 1}"
    asked: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}
    return asked | {"stream": True, "stream_options": {"include_usage": True}} if stream else asked


def check(events: Iterable[CallEvent]) -> None:
    """Every call once, for its user and use case; in all, the sum to the last digit."""
    seen: dict[tuple[int, int], CallEvent] = {}
    wrong: list[str] = []
    ticks = 0
    for event in events:
        number, call = event.units["text"][0] // 10 - 1, event.units["text"][0] % 10
        assert (number, call) not in seen
        seen[number, call] = event
        told = (event.user_id, event.use_case_name, event.outcome, event.cost_source)
        if told != (user(number), CASES[number % len(CASES)], "ok", "usage"):
            wrong.append(f"call {call} of user {number}: {told}")
        assert event.cost is not None
        ticks += event.cost.total_ticks
    assert wrong == []
    assert len(seen) == USERS * CALLS
    assert ticks == TOTAL_TICKS
    instances = {json.dumps([event.user_id, event.attribution.use_case_id]) for event in seen.values()}
    assert len(instances) == USERS
