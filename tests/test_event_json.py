"""A `CallEvent` from its JSON form."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from made import call, some_events

from payi_middleware.events import CallEvent, Cost, Line, Part, Unpriced


def test_what_is_told_comes_back() -> None:
    """Of any event, with everything that the form tells; from text as from a mapping."""
    full = call(
        cost=Cost(25, 10, 35, (Line("text", "input", 1, "0.0000000025", 1, "genai-prices", "2026-01-01"),)),
        unpriced=(Unpriced("smell", 3, "no rate"),),
        terms=("region:eu",),
        parts=(Part("a", {"text": (1, 2)}, "flex", ("x:y",), "groq"), Part(None, {})),
        limits={"a": "ok"},
        ledger="sqlite:5f0c",
        limit_ids=("a",),
        limit_tags=("premium",),
        request_tags=("t",),
        request_properties={"a": "b"},
        use_case_name="Chat",
        use_case_version=3,
        first_byte_ns=None,
        http_route="/a/{b}",
        trace_id="0" * 31 + "1",
    )
    for event in [full, call(ticks=7), call(cost=None, cost_source="none", reason="why"), *some_events(200)]:
        event = msgspec.structs.replace(event, duration_ns=event.duration_ns // 1000 * 1000)  # what times tell
        assert CallEvent.from_dict(event.to_dict()).to_dict() == event.to_dict()
        assert CallEvent.from_json(event.to_json().encode()).to_dict() == event.to_dict()
    assert CallEvent.from_dict(full.to_dict()) == full


COST = call().to_dict()["cost"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ended_at": "2020-01-01T00:00:00Z"}, "not in their order"),
        ({"cost": None}, "null exactly when"),
        ({"cost": COST | {"total": "9"}}, "are not the total"),
        ({"cost": COST | {"input": "0.00000000001"}}, "finer than"),
        ({"cost": COST | {"input": "NaN"}}, "out of range"),
        ({"cost": COST | {"lines": [COST["lines"][0] | {"rate": "-1"}]}}, "rate: out of range"),
        ({"cost": COST | {"lines": [COST["lines"][0] | {"rate": "1e-999"}]}}, "rate: out of range"),
        ({"attempt": 0}, "attempt"),
    ],
)
def test_what_is_no_event_is_refused(change: dict[str, Any], message: str) -> None:
    """With the member named."""
    with pytest.raises(ValueError, match=message):
        CallEvent.from_dict(call().to_dict() | change)
    with pytest.raises(msgspec.DecodeError):
        CallEvent.from_json(b"{")


def test_every_member_is_an_attribute() -> None:
    """What stands in the JSON form can be asked of the event by the same name, attribution and request facts too."""
    event = call(
        request_tags=("t",), use_case_name="Chat", use_case_step="ask", use_case_version=3, http_route="/a/{b}"
    )
    told = event.to_dict()
    for name in ("schema", "time_to_first_completion_token_ms"):  # the form's own; what no call tells yet
        del told[name]

    as_told = {name: _as_json(getattr(event, name)) for name in told}
    for name in ("event_id", "call_group", "started_at", "ended_at", "cost", "unpriced", "parts", "units"):
        assert as_told.pop(name) is not None  # in types of their own
        del told[name]
    assert as_told == told
    assert (event.ended_at - event.started_at).total_seconds() == pytest.approx(event.duration_ns / 1e9, abs=1e-6)


def _as_json(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_a_time_without_a_zone_is_utc() -> None:
    """As is everything here."""
    told = call().to_dict()
    naive = {name: told[name].removesuffix("Z") for name in ("started_at", "ended_at")}
    assert CallEvent.from_dict(told | naive).to_dict() == told
