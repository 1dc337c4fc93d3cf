"""Events come back as they were."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made import START_NS, call, event_id

from payi_middleware import health
from payi_middleware.events import COST_SOURCES, OUTCOMES, Attribution, CallEvent, Cost, Inbound, Line, Part, Unpriced
from payi_middleware.store import open_store, pack

text = st.text(st.characters(codec="utf-8"), max_size=40)
maybe = st.none() | text
count = st.integers(0, 2**33)
tags = st.lists(text, max_size=4).map(tuple)
properties = st.dictionaries(text, text, max_size=3)
unit_names = st.sampled_from(["text", "text_cache_read", "reasoning", "audio", "web_search_request", "guardrail_topic"])
line = st.builds(
    Line,
    unit=unit_names,
    side=st.sampled_from(["input", "output"]),
    quantity=count,
    rate=st.sampled_from(["2.5", "10", "0.000001"]),
    per=st.sampled_from([1, 1000, 1_000_000]),
    source=text,
    valid_from=st.none() | st.just("2025-01-01"),
)
cost = st.builds(
    Cost, input_ticks=count, output_ticks=count, total_ticks=count, lines=st.lists(line, max_size=3).map(tuple)
)
units = st.dictionaries(unit_names, st.tuples(count, count), max_size=4)
part = st.builds(Part, model=maybe, units=units, service_tier=maybe, terms=tags)
hexadecimal = st.binary(max_size=16).map(bytes.hex)
spelt_uuid = st.uuids().map(str)
attribution = st.builds(
    Attribution,
    user_id=maybe,
    account_name=maybe,
    request_tags=tags,
    request_properties=properties,
    use_case_name=maybe,
    use_case_id=maybe | spelt_uuid | spelt_uuid.map(str.upper),
    use_case_version=st.none() | st.integers(0, 2**31),
    use_case_step=maybe,
    use_case_properties=properties,
    limit_ids=tags,
    limit_tags=tags,
    price_as=maybe,
    resource_scope=maybe,
)
inbound = st.builds(
    Inbound,
    http_method=maybe,
    http_route=maybe,
    http_request_id=maybe | spelt_uuid | st.text("0123456789abcdef- ", min_size=36, max_size=36),
    trace_id=maybe | hexadecimal | hexadecimal.map(str.upper),
    span_id=maybe | hexadecimal,
)


@st.composite
def events(draw: st.DrawFn) -> CallEvent:
    own = event_id()
    paid = draw(st.none() | cost)
    return CallEvent(
        event_id=own,
        application=draw(text),
        origin=draw(text),
        started_ns=draw(st.integers(0, 2**62)),
        duration_ns=draw(st.integers(0, 2**50)),
        first_byte_ns=draw(st.none() | st.integers(0, 2**50)),
        provider=draw(text),
        category=draw(text),
        resource=draw(maybe),
        requested_resource=draw(maybe),
        endpoint=draw(text),
        service_tier=draw(maybe),
        http_status=draw(st.none() | st.integers(100, 599)),
        outcome=draw(st.sampled_from(OUTCOMES)),
        error_type=draw(maybe),
        streamed=draw(st.booleans()),
        attempt=draw(st.integers(1, 5)),
        call_group=draw(st.just(own) | st.binary(min_size=16, max_size=16)),
        attribution=draw(attribution),
        inbound=draw(inbound),
        units=draw(units),
        cost=paid,
        cost_source="none" if paid is None else draw(st.sampled_from(COST_SOURCES[:3])),
        unpriced=draw(st.lists(st.builds(Unpriced, unit=text, quantity=count, reason=text), max_size=2).map(tuple)),
        reason=draw(maybe),
        price_version=draw(maybe),
        provider_response_id=draw(maybe),
        limits=draw(properties),
        terms=draw(tags),
        parts=draw(st.lists(part, max_size=3).map(tuple)),
        ledger=draw(maybe),
    )


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=40)
@given(st.lists(events(), min_size=1, max_size=3))
def test_events_come_back_as_they_were(given_events: list[CallEvent]) -> None:
    """Whatever an event holds, the store gives back an equal one."""
    with open_store("sqlite:///:memory:", create=True, fold_every=2) as store:
        assert store.write(given_events) == len(given_events)

        assert sorted(store.events(), key=lambda e: e.event_id) == sorted(given_events, key=lambda e: e.event_id)


def test_an_ordinary_event_takes_few_bytes(tmp_path: Path) -> None:
    """A thousand ordinary events, of two hundred users, take 450 bytes each at most."""
    path = tmp_path / "payi.db"
    with open_store(f"sqlite:///{path}", create=True, fold_every=500) as store:
        store.write([ordinary(n) for n in range(5000)])

    assert path.stat().st_size / 5000 <= 450


def ordinary(n: int) -> CallEvent:
    """A call with all that a web request usually tells."""
    return call(
        started_ns=START_NS + n * 10**9,
        user_id=f"user-{n % 200:04}@example.com",
        account_name=f"customer-{n % 9}",
        request_tags=("web", f"team-{n % 4}"),
        use_case_name="Summary",
        use_case_step="write",
        use_case_id=f"0197f3b2-{n % 65536:04x}-7c52-9d1e-{n:012x}",
        http_method="POST",
        http_route="/documents/{id}/summary",
        http_request_id=f"8a6b1c2d-{n % 65536:04x}-4e5f-8a9b-{n:012x}",
        trace_id=f"{n:032x}",
        span_id=f"{n:016x}",
        provider_response_id=f"chatcmpl-{n:029d}",
        units={"text": (1000 + n, 100 + n), "text_cache_read": (512, 0)},
    )


def test_more_kinds_of_events_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of ever new models and routes, that come again, are stored as they are when the memory of them is full."""
    monkeypatch.setattr(pack, "_MOST", 3)
    given_events = [call(resource=f"model-{n % 5}", http_route=f"/{n % 7}") for n in range(70)]
    with open_store("sqlite:///:memory:", create=True) as store:
        store.write(given_events)

        assert sorted(store.events(), key=lambda e: e.event_id) == given_events


@pytest.mark.parametrize(
    "odd", ["-" * 36, "0197f3b2-7c52-9d1e-0000-0000000000 1", "0197f3b2-7c52-9d1e-0000-00000000000A"]
)
def test_what_looks_like_a_uuid_stays_a_text(odd: str) -> None:
    """Spaces, other dashes and capitals are told back."""
    given_event = call(http_request_id=odd, use_case_id=odd)
    with open_store("sqlite:///:memory:", create=True) as store:
        store.write([given_event])

        assert store.latest(1) == [given_event]


UNSTORABLE: list[dict[str, Any]] = [
    {"units": {"text": (2**80, 0)}},
    {"ticks": 2**62},
    {"duration_ns": 2**70},
    {"user_id": "\ud800"},
    {"provider_response_id": "\udfff"},
    {"http_status": 2**70},
]


@pytest.mark.parametrize("odd", UNSTORABLE, ids=lambda odd: next(iter(odd)))
def test_an_event_that_cannot_be_true_is_left_out_alone(odd: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """One unstorable event among others is counted and logged, and holds up none of the others."""
    health.reset()
    good = [call() for _ in range(5)]
    with open_store("sqlite:///:memory:", create=True) as store:
        assert store.write([*good[:3], call(**odd), *good[3:]], {"process": "p", "seen_ns": 1}) == 5

        assert list(store.events()) == good
        assert [process.process for process in store.processes()] == ["p"]
    assert health.counters() == {"event_unstorable": 1}
    assert "cannot be stored" in caplog.text
    health.reset()


def test_a_ledger_makes_no_row_larger(tmp_path: Path) -> None:
    """Its name stands once for all calls of a kind, and a call without one is the kind that it always was."""
    path = tmp_path / "payi.db"
    with open_store(f"sqlite:///{path}", create=True) as store:
        store.write([call(), call(), call(ledger="sqlite:5f0c"), call(ledger="sqlite:5f0c")])

        assert [event.ledger for event in store.events()] == [None, None, "sqlite:5f0c", "sqlite:5f0c"]
    with sqlite3.connect(path) as connection:
        rests = {len(rest) for (rest,) in connection.execute("SELECT rest FROM events")}
        shapes = [len(msgspec.msgpack.decode(packed)) for (packed,) in connection.execute("SELECT packed FROM shapes")]
    connection.close()
    assert len(rests) == 1
    assert shapes == [12, 13]
