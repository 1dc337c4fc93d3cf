"""Sessions of Anthropic's managed agents."""

from __future__ import annotations

from typing import Any

from answers import body, endpoint

from payi_middleware.providers import Reading, find

USAGE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "cache_read_input_tokens": 7,
    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 3},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    "active_seconds": 61.2,
}


def session(status: str = "terminated", usage: Any = USAGE, **more: Any) -> bytes:
    told = {"id": "sess_1", "agent": {"model": {"id": "claude-opus-5"}}, "status": status, "usage": usage} | more
    return body(told)


def read(raw: bytes) -> Reading:
    provider = find("api.anthropic.com")
    assert provider is not None
    route = provider.route("GET", "/v1/sessions/sess_1")
    assert route is not None
    assert route.endpoint.repeats
    return route.endpoint.read(raw)


def test_a_session_that_is_over() -> None:
    """Its sums are those of its model, counted once; its running time has a fee of its own."""
    reading = read(session())

    assert reading.units == {
        "text": (100, 20),
        "text_cache_read": (7, 0),
        "text_cache_write": (5, 0),
        "text_cache_write_1h": (3, 0),
        "web_search_request": (0, 2),
    }
    assert (reading.model, reading.once, reading.untold) == ("claude-opus-5", "sess_1", False)
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("session_second", 62)]
    assert read(session("idle", archived_at="2026-11-25T00:00:00Z")).once == "sess_1"


def test_the_sums_of_a_long_session() -> None:
    """It may read a large cache for weeks: its sums are believed where those of one answer are not."""
    many = 1 << 34
    cached = {"ephemeral_5m_input_tokens": many, "ephemeral_1h_input_tokens": 2 * many}
    usage = {"input_tokens": many, "output_tokens": many, "cache_read_input_tokens": 9 * many, "cache_creation": cached}

    reading = read(session(usage=usage))

    assert reading.units == {
        "text": (many, many),
        "text_cache_read": (9 * many, 0),
        "text_cache_write": (many, 0),
        "text_cache_write_1h": (2 * many, 0),
    }


def test_a_session_that_goes_on() -> None:
    """Its sums change, so nothing is counted yet."""
    for status in ("running", "idle", "rescheduling"):
        reading = read(session(status))
        assert (reading.untold, reading.units, reading.once) == (True, None, None)


def test_the_stated_cost() -> None:
    """The list cost of a session holds, where it comes to a cent."""
    cost = {"list_cost": {"amount": "250", "currency": "USD"}}

    assert read(session(usage=USAGE | cost)).stated_ticks == 25_000_000_000
    for money in ({"amount": "0"}, {"amount": "2.5"}, {"amount": None}, {"amount": "9", "currency": "EUR"}, None):
        assert read(session(usage=USAGE | {"list_cost": money})).stated_ticks is None


def test_what_cannot_be_read() -> None:
    """A broken session is one event with a reason at most, never an exception."""
    assert read(b"<html>").complete is False
    assert read(session(usage=None)).reason == "usage is missing"
    assert read(session(usage={"input_tokens": 0})).reason == "usage counts nothing"
    assert read(session(usage=USAGE | {"active_seconds": -1})).units is None
    assert read(session(agent="claude")).model is None
    for end in range(len(session())):
        assert read(session()[:end]).units is None


def test_what_is_sent_tells_nothing() -> None:
    """A message to a session is an event without a cost, which says when the cost comes."""
    sent = endpoint("api.anthropic.com", "/v1/sessions/sess_1/events")

    for reading in (sent.read(b"{}"), sent.read_stream(b"", b"", 0), sent.read_cut(b"", b"")):
        assert (reading.units, reading.pending) == (None, True)
        assert "once it is over" in (reading.reason or "")
    archive = endpoint("api.anthropic.com", "/v1/sessions/sess_1/archive")
    assert archive.read_stream(session()).once == "sess_1"
    assert archive.read_cut(session(), session()).untold
    assert archive.read_stream(session(), session()).untold
