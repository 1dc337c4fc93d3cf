"""The fixture `payi_events` as type checkers see it; run nowhere."""

from __future__ import annotations

from decimal import Decimal
from typing import assert_type

from payi_middleware import CallEvent
from payi_middleware.testing import Events


def test_summary(payi_events: Events) -> None:
    event = payi_events.one(user_id="jane")
    assert_type(event, CallEvent)
    assert_type(event.use_case_name, str | None)
    assert_type(event.attribution.request_tags, tuple[str, ...])
    assert_type(payi_events.all(provider="openai"), list[CallEvent])
    assert_type(payi_events.cost, Decimal)
    assert_type(len(payi_events), int)
    for each in payi_events:
        assert_type(each, CallEvent)
    payi_events.one("jane")  # type: ignore[call-arg]
