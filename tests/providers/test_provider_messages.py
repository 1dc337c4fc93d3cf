"""Anthropic's messages."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, exchanged, named_events

from payi_middleware.events import Part
from payi_middleware.providers import Reading
from payi_middleware.providers.base import First

MESSAGES = endpoint("api.anthropic.com", "/v1/messages")


def message(usage: Any, **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": '"usage": {"input_tokens": 9}'}]
    return {"id": "msg_1", "type": "message", "model": "claude-sonnet-4-6", "content": content, "usage": usage} | more


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": message(usage, content=[])}


def delta(stop: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": usage}


TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "eight ch"}}
STOP = {"type": "message_stop"}


def test_cache_figures_stand_beside_the_input() -> None:
    """Input is what was not cached; reads and both kinds of writes come on top, thinking is a part of the output."""
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 70,
        "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 15},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 4},
        "service_tier": "standard",
    }

    assert MESSAGES.read(body(message(usage))) == Reading(
        model="claude-sonnet-4-6",
        response_id="msg_1",
        units={
            "text": (10, 35),
            "reasoning": (0, 15),
            "text_cache_read": (20, 0),
            "text_cache_write": (30, 0),
            "text_cache_write_1h": (40, 0),
            "web_search_request": (0, 2),
        },
        service_tier="standard",
    )


@pytest.mark.parametrize(
    ("usage", "units"),
    [
        ({"cache_creation_input_tokens": 7}, {"text_cache_write": (7, 0)}),
        ({"cache_creation_input_tokens": 7, "cache_creation": None}, {"text_cache_write": (7, 0)}),
        ({"cache_creation_input_tokens": 7, "cache_creation": {}}, {"text_cache_write": (7, 0)}),
        (
            {"cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 3}},
            {"text_cache_write": (4, 0), "text_cache_write_1h": (3, 0)},
        ),
        ({"cache_creation_input_tokens": None, "cache_read_input_tokens": None, "server_tool_use": None}, {}),
    ],
)
def test_cache_writes_without_a_split(usage: dict[str, Any], units: dict[str, Any]) -> None:
    """Writes that no split explains were for five minutes; null says nothing."""
    reading = MESSAGES.read(body(message({"input_tokens": 1, "output_tokens": 2} | usage)))

    assert reading.units == {"text": (1, 2)} | units
    assert reading.reason is None


def test_contradictions_are_said() -> None:
    """More thinking than output, and a split larger than its sum, are cut and said."""
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "output_tokens_details": {"thinking_tokens": 9},
        "cache_creation_input_tokens": 3,
        "cache_creation": {"ephemeral_5m_input_tokens": 5},
    }

    reading = MESSAGES.read(body(message(usage)))

    assert reading.units == {"text": (1, 0), "reasoning": (0, 2), "text_cache_write": (5, 0)}
    assert reading.reason is not None
    assert "9 thinking of 2" in reading.reason
    assert "3 written tokens and splits 5" in reading.reason


CONTAINER = First("c_1", Part("code-execution-container", {"container_session_request": (0, 1)}))
RAN = body(message({"input_tokens": 1, "output_tokens": 2}, container={"id": "c_1"}))


@pytest.mark.parametrize(
    ("request_", "firsts", "reason"),
    [
        (None, (CONTAINER,), None),
        ({"tools": [{"type": "code_execution_20260120"}, {"type": "web_search_20250305"}]}, (CONTAINER,), None),
        ({"tools": [{"type": "code_execution_20260120"}, {"type": "web_search_20260209"}]}, (), None),
        ({"tools": [{"type": "web_fetch_20260318"}, {"type": "code_execution_20260120"}]}, (), None),
        ({"container": "c_1"}, (), "code ran in a container that an earlier call made, and tells of"),
        (
            {"container": {"id": "c_1", "skills": []}},
            (),
            "code ran in a container that an earlier call made, and tells of",
        ),
        ({"container": {"skills": [{"skill_id": "c"}]}}, (CONTAINER,), None),
    ],
)
def test_a_container_of_code_execution(request_: Any, firsts: tuple[First, ...], reason: str | None) -> None:
    """It counts with the call that makes it, unless the request offers the newer web tools, beside which it is free."""
    reading = exchanged("api.anthropic.com", "/v1/messages", RAN, request_)

    assert (reading.firsts, reading.reason, reading.unpriced) == (firsts, reason, ())


def test_a_container_that_was_there_beside_another_reason() -> None:
    """Both are told."""
    odd = body(
        message(
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 9}},
            container={"id": "c_1"},
        )
    )
    reading = exchanged("api.anthropic.com", "/v1/messages", odd, {"container": "c_1"})

    assert reading.reason is not None
    assert "9 thinking of 2" in reading.reason
    assert reading.reason.endswith("; code ran in a container that an earlier call made, and tells of")


def test_a_container_without_a_name_is_listed() -> None:
    """Nobody could count it once. Where no code ran, it is a blank that an SDK wrote."""
    usage = {"input_tokens": 1, "output_tokens": 2}
    ran = {"type": "server_tool_use", "id": "t", "name": "code_execution", "input": {}}

    listed = MESSAGES.read(body(message(usage, content=[ran], container={"id": None})))
    blank = MESSAGES.read(body(message(usage, container={"id": "", "expires_at": "0001-01-01T00:00:00Z"})))

    assert [(u.unit, u.quantity) for u in listed.unpriced] == [("container_session_request", 1)]
    assert listed.firsts == ()
    assert (blank.units, blank.unpriced, blank.firsts) == ({"text": (1, 2)}, (), ())


def test_fast_mode_is_a_tier() -> None:
    """Fast mode has rates of its own, so it is the tier as served."""
    usage = {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard", "speed": "fast"}

    assert MESSAGES.read(body(message(usage))).service_tier == "fast"


def test_stream_replaces_cumulative_figures() -> None:
    """The last delta replaces what the start told, member by member; nulls leave it."""
    data = named_events(
        start(input_tokens=10, cache_read_input_tokens=5, output_tokens=1, service_tier="standard"),
        TEXT,
        delta(None, output_tokens=4),
        delta(
            input_tokens=12, output_tokens=90, cache_read_input_tokens=None, server_tool_use={"web_search_requests": 1}
        ),
        STOP,
    )

    assert MESSAGES.read_stream(data) == Reading(
        model="claude-sonnet-4-6",
        response_id="msg_1",
        units={"text": (12, 90), "text_cache_read": (5, 0), "web_search_request": (0, 1)},
        service_tier="standard",
    )


@pytest.mark.parametrize(
    ("first", "last", "units"),
    [
        ({"input_tokens": 1000}, {"input_tokens": 0}, {"text": (1000, 50)}),
        ({"input_tokens": 0}, {"input_tokens": 1000}, {"text": (1000, 50)}),
        ({"input_tokens": 900}, {"input_tokens": 1000}, {"text": (1000, 50)}),
        ({"input_tokens": 1000}, {"input_tokens": 900}, {"text": (900, 50)}),
        ({"input_tokens": 0}, {"input_tokens": 0, "output_tokens": 7}, {"text": (0, 7)}),
        (
            {"input_tokens": 1000, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 20},
            {"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
            {"text": (1000, 50), "text_cache_read": (30, 0), "text_cache_write": (20, 0)},
        ),
        (
            {"input_tokens": 1000},
            {"input_tokens": 0, "cache_read_input_tokens": 1000},
            {"text": (0, 50), "text_cache_read": (1000, 0)},
        ),
        (
            {"input_tokens": 1000, "cache_read_input_tokens": 30},
            {"input_tokens": 0, "cache_read_input_tokens": 30},
            {"text": (1000, 50), "text_cache_read": (30, 0)},
        ),
        ({"cache_read_input_tokens": 30}, {"input_tokens": 0}, {"text": (0, 50), "text_cache_read": (30, 0)}),
    ],
)
def test_a_zero_takes_no_input_back(first: dict[str, Any], last: dict[str, Any], units: dict[str, Any]) -> None:
    """Figures are cumulative: 0 at the end is no input that was not told there, save where it is told as cached instead."""
    data = named_events(start(**first, output_tokens=1), TEXT, delta(**{"output_tokens": 50, **last}), STOP)

    reading = MESSAGES.read_stream(data)

    assert (reading.units, reading.reason) == (units, None)


@pytest.mark.parametrize(
    ("split", "written", "said"),
    [
        ((0, 10_000), (0, 110_000), False),
        ((10_000, 0), (110_000, 0), False),
        ((4_000, 6_000), (104_000, 6_000), True),
        ((0, 0), (110_000, 0), True),
    ],
)
def test_cache_writes_that_grow_in_a_stream(split: tuple[int, int], written: tuple[int, int], said: bool) -> None:
    """What tools of the server add is kept as the first pass's is; where that tells no one answer, it is said."""
    kept = {"ephemeral_5m_input_tokens": split[0], "ephemeral_1h_input_tokens": split[1]}
    data = named_events(
        start(input_tokens=50, cache_creation_input_tokens=sum(split), cache_creation=kept, output_tokens=1),
        TEXT,
        delta(input_tokens=120, cache_creation_input_tokens=110_000, output_tokens=500),
        STOP,
    )

    reading = MESSAGES.read_stream(data)

    assert reading.units is not None
    short, hour = (reading.units.get(unit, (0, 0))[0] for unit in ("text_cache_write", "text_cache_write_1h"))
    assert (short, hour) == written
    why = f"how long {110_000 - sum(split)} tokens written to the cache are kept is not told: counted as 5 minutes"
    assert reading.reason == (why if said else None)


def test_a_split_at_the_end_is_the_one_that_holds() -> None:
    """Nothing is guessed of what the last event tells itself, or each of its passes."""
    first = start(input_tokens=5, cache_creation={"ephemeral_5m_input_tokens": 0}, output_tokens=1)
    last = {"input_tokens": 5, "output_tokens": 7, "cache_creation_input_tokens": 9}
    passes = [{"type": "message", **last, "cache_creation": {"ephemeral_1h_input_tokens": 9}}] * 2

    for more in ({"cache_creation": {"ephemeral_1h_input_tokens": 9}}, {"iterations": passes}):
        reading = MESSAGES.read_stream(named_events(first, TEXT, delta(**last, **more), STOP))

        assert reading.units is not None
        assert (reading.units["text_cache_write_1h"][0] % 9, reading.reason) == (0, None)
        assert "text_cache_write" not in reading.units


def test_stream_with_a_container() -> None:
    """A container shows in the last delta."""
    last = delta(output_tokens=3)
    last["delta"]["container"] = {"id": "c_1"}

    reading = MESSAGES.read_stream(named_events(start(input_tokens=1, output_tokens=1), last, STOP))

    assert reading.firsts == (CONTAINER,)


def test_stream_closed_before_its_stop() -> None:
    """A delta with a stop reason completes the answer, even if `message_stop` was never read."""
    assert MESSAGES.read_stream(named_events(start(input_tokens=1, output_tokens=1), delta(output_tokens=2))).complete


def test_broken_off_stream() -> None:
    """A stream without its last delta keeps the exact input, counts what was received, and says it is an estimate."""
    tool = {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a\\":'}}

    reading = MESSAGES.read_stream(
        named_events(start(input_tokens=10, cache_read_input_tokens=5, output_tokens=1), TEXT, TEXT, tool)
    )

    assert reading.units is not None
    assert reading.units["text_cache_read"] == (5, 0)
    assert reading.units["text"] == (10, 7)
    assert (reading.complete, reading.estimated) == (False, True)
    assert reading.reason is not None
    assert "broke off" in reading.reason


def test_error_event() -> None:
    """An error in mid-stream tells its type; the input is billed all the same."""
    data = named_events(
        start(input_tokens=10, output_tokens=1),
        {"type": "error", "error": {"type": "overloaded_error", "message": "secret"}},
    )

    reading = MESSAGES.read_stream(data)

    assert (reading.error_type, reading.complete) == ("overloaded_error", False)
    assert "secret" not in repr(reading)


def test_stream_without_its_head() -> None:
    """A stream whose first event was lost tells what its last delta tells."""
    reading = MESSAGES.read_stream(b"x\n\n" + named_events(delta(input_tokens=3, output_tokens=9), STOP))

    assert (reading.units, reading.model) == ({"text": (3, 9)}, None)


def test_stream_of_cut_events() -> None:
    """Events that are cut on both sides still tell what is whole in them."""
    data = b'e":{"id":"msg_1","model":"claude-x","usage":{"input_tokens":3,"output_tokens":9}'

    reading = MESSAGES.read_stream(b"data: {" + data)

    assert (reading.model, reading.units, reading.complete) == ("claude-x", {"text": (3, 9)}, False)


def test_stream_that_told_nothing() -> None:
    """A first event without usage, and nothing after it, tells none."""
    reading = MESSAGES.read_stream(named_events({"type": "message_start", "message": {"id": "msg_1"}}))

    assert (reading.units, reading.reason, reading.response_id) == (None, "usage is missing", "msg_1")


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"type":"message_start","message":{"usage":\n\n',
        b"",
        named_events({"type": "message_start", "message": message(None)}),
        named_events(start(input_tokens="10", output_tokens=1)),
        named_events(start(input_tokens=-10, cache_read_input_tokens=90, output_tokens=1)),
        named_events(start(input_tokens=None, cache_read_input_tokens=90, output_tokens=1)),
    ],
)
def test_an_input_that_was_not_told_is_not_zero(event: bytes) -> None:
    """A last event that tells the output alone is no usage without the first: there is none, and a reason."""
    reading = MESSAGES.read_stream(event + named_events(TEXT, delta(output_tokens=9), STOP))

    assert (reading.units, reading.complete) == (None, True)
    assert reading.reason


@pytest.mark.parametrize("output", ["9", -9])
def test_a_malformed_last_event_is_an_estimate(output: Any) -> None:
    """Where the last figures cannot be read, the output is counted from what was received."""
    reading = MESSAGES.read_stream(named_events(start(input_tokens=10), TEXT, delta(output_tokens=output), STOP))

    assert (reading.units, reading.complete, reading.estimated) == ({"text": (10, 3)}, True, True)


@pytest.mark.parametrize(
    "prefix", [b"", b"\xef\xbb\xbf", b": keep-alive\n\n" * 2000], ids=["plain", "byte order mark", "30 kB of comments"]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "split"])
def test_the_first_event_is_searched_patiently(prefix: bytes, newline: str) -> None:
    """However a stream is framed, its first event tells the input."""
    data = prefix + named_events(start(input_tokens=10, cache_read_input_tokens=5), TEXT, delta(output_tokens=9), STOP)
    if newline == "split":
        data = data.replace(b'"message_start", ', b'"message_start",\ndata: ')
    else:
        data = data.replace(b"\n", newline.encode())

    assert MESSAGES.read_stream(data).units == {"text": (10, 9), "text_cache_read": (5, 0)}


def test_counts_that_are_all_zero_are_none() -> None:
    """An answer that counts nothing is no free answer; in a stream the last figures may still come."""
    zero = {"input_tokens": 0, "output_tokens": 0, "server_tool_use": {"web_search_requests": 0}}

    assert (MESSAGES.read(body(message(zero))).units, MESSAGES.read(body(message(zero))).reason) == (
        None,
        "usage counts nothing",
    )
    assert MESSAGES.read_stream(named_events(start(**zero), TEXT)).units is None
    assert MESSAGES.read_stream(
        named_events(start(**zero), TEXT, delta(input_tokens=3, output_tokens=2), STOP)
    ).units == {"text": (3, 2)}


def test_an_early_delta_is_not_the_last() -> None:
    """A stream that broke off between two deltas is counted from what was received."""
    reading = MESSAGES.read_stream(
        named_events(start(input_tokens=10, output_tokens=1), *[TEXT] * 50, delta(None, output_tokens=4), *[TEXT] * 50)
    )

    assert (reading.units, reading.complete, reading.estimated) == ({"text": (10, 211)}, False, True)


def test_cut_body() -> None:
    """Of a large body the ends tell model and usage."""
    raw = body(message({"input_tokens": 4, "output_tokens": 5}))

    reading = MESSAGES.read_cut(raw[:70], raw[-60:])

    assert (reading.model, reading.response_id, reading.units) == ("claude-sonnet-4-6", "msg_1", {"text": (4, 5)})


@pytest.mark.parametrize("cut", [70, 120])
def test_a_container_of_a_large_answer(cut: int) -> None:
    """It stands behind the content, or before it."""
    usage = {"input_tokens": 4, "output_tokens": 5}
    raw = body(message(usage, container={"id": "c_1"}))
    assert MESSAGES.read_cut(raw[:cut], raw[-cut:]).firsts == MESSAGES.read(raw).firsts == (CONTAINER,)
    free = body(message(usage, container={"id": ""}))
    assert MESSAGES.read_cut(free[:cut], free[-cut:]).firsts == ()


def test_body_and_stream_in_each_other_s_place() -> None:
    """A stream answered by a JSON body, and the other way round, are both read."""
    data = named_events(start(input_tokens=1, output_tokens=1), delta(output_tokens=2), STOP)

    assert MESSAGES.read(data).units == {"text": (1, 2)}
    assert (
        MESSAGES.read_stream(body({"type": "error", "error": {"type": "not_found_error"}})).error_type
        == "not_found_error"
    )


@pytest.mark.parametrize(
    ("name", "caller", "noted"),
    [
        ("web_fetch", {"type": "code_execution_20260120", "tool_id": "t"}, False),
        ("web_search", {"tool_id": "t", "type": "code_execution_20260120"}, False),
        ("web_search", {"type": "direct"}, True),
        ("web_search", None, True),
        ("bash_code_execution", {"type": "code_execution_20260120", "tool_id": "t"}, True),
    ],
)
def test_containers_of_the_newer_web_tools_are_free(name: str, caller: Any, noted: bool) -> None:
    """The web tools of 2026 are called by code, in a container that costs nothing."""
    block = {"type": "server_tool_use", "id": "t2", "name": name, "input": {}, "caller": caller}
    usage = {"input_tokens": 1, "output_tokens": 2}
    whole = body(message(usage, content=[block], container={"id": "c"}))
    last = delta(**usage)
    last["delta"]["container"] = {"id": "c"}
    begun = {"type": "content_block_start", "index": 0, "content_block": block}

    for reading in (MESSAGES.read(whole), MESSAGES.read_stream(named_events(start(**usage), begun, last, STOP))):
        assert [first.id for first in reading.firsts] == ["c"] * noted


@pytest.mark.parametrize(
    ("model", "geo", "terms"),
    [
        ("claude-opus-4-6", "us", ("geo:us",)),
        ("claude-haiku-5-5", "us", ("geo:us",)),
        ("claude-sonnet-4-5-20250929", "us", ()),
        ("claude-haiku-4-5", "us", ()),
        ("claude-opus-4-6", "global", ()),
        ("claude-opus-4-6", "not_available", ()),
    ],
)
def test_inference_in_the_us_is_a_term(model: str, geo: str, terms: tuple[str, ...]) -> None:
    """Where it ran changes the price of newer models."""
    usage = {"input_tokens": 1, "output_tokens": 2, "inference_geo": geo}

    assert MESSAGES.read(body(message(usage, model=model))).terms == terms


def test_a_fallback_s_credit_is_listed() -> None:
    """A credit that was redeemed makes the call cheaper by what nobody tells."""
    usage = {"input_tokens": 1, "output_tokens": 2, "fallback_credit": {"status": {"type": "redeemed"}}}
    not_applied = usage | {"fallback_credit": {"status": {"type": "not_applied", "reason": "expired"}}}

    assert [u.unit for u in MESSAGES.read(body(message(usage))).unpriced] == ["fallback_credit"]
    assert MESSAGES.read(body(message(not_applied))).unpriced == ()


@pytest.mark.parametrize(
    ("category", "output", "billed"),
    [("cyber", 0, False), (None, 0, False), ("reasoning_extraction", 0, True), ("cyber", 4, True)],
)
def test_a_refusal_without_output_is_free(category: str | None, output: int, billed: bool) -> None:
    """A request that is refused before any output is not billed, but for categories of which nobody says so."""
    details = {"type": "refusal", "category": category}
    usage = {"input_tokens": 50, "output_tokens": output}
    last = delta("refusal", **usage)
    last["delta"]["stop_details"] = details
    stream = named_events(start(input_tokens=50, output_tokens=0), last, STOP)
    whole = body(message(usage, stop_reason="refusal", stop_details=details))

    for reading in (MESSAGES.read(whole), MESSAGES.read_stream(stream)):
        assert reading.units == {"text": (50, output) if billed else (0, 0)}
        assert (reading.reason is None) is bool(output)
