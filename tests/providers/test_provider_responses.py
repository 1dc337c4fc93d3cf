"""OpenAI's Responses."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, events, named_events

from payi_middleware.providers import Reading

RESPONSES = endpoint("api.openai.com", "/v1/responses")
USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 130,
}
UNITS = {"text": (60, 20), "text_cache_read": (40, 0), "reasoning": (0, 10)}


def response(**more: Any) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "model": "gpt-5",
        "status": "completed",
        "output": [],
        "usage": USAGE,
        "service_tier": "default",
    } | more


def test_body() -> None:
    """Input, cached, output and reasoning by their Responses names."""
    assert RESPONSES.read(body(response())) == Reading(
        model="gpt-5", response_id="resp_1", units=UNITS, service_tier="default"
    )


def test_stream() -> None:
    """The last event repeats the response with its usage."""
    data = named_events(
        {"type": "response.created", "response": response(usage=None, status="in_progress")},
        {"type": "response.output_text.delta", "delta": '"usage": {"input_tokens": 7}'},
        {"type": "response.completed", "response": response()},
    )

    assert RESPONSES.read_stream(data) == RESPONSES.read(body(response()))


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_terminal_events(kind: str) -> None:
    """Each terminal event completes the stream."""
    data = named_events({"type": f"response.{kind}", "response": response(status=None)})

    assert RESPONSES.read_stream(data).complete


def test_failed_stream() -> None:
    """A failed response tells the kind of its error, and no units."""
    failed = response(status="failed", usage=None, error={"code": "server_error", "message": "secret"})

    reading = RESPONSES.read_stream(named_events({"type": "response.failed", "response": failed}))

    assert (reading.error_type, reading.units, reading.complete) == ("server_error", None, True)
    assert "secret" not in repr(reading)


def test_error_event() -> None:
    """A bare error event tells its code."""
    data = named_events({"type": "error", "code": "rate_limit_exceeded", "message": "secret"})

    assert RESPONSES.read_stream(data).error_type == "rate_limit_exceeded"


def test_broken_off_stream() -> None:
    """A stream that ended early names its model and has no usage."""
    data = named_events(
        {"type": "response.created", "response": response(usage=None, status="in_progress")},
        {"type": "response.output_text.delta", "delta": "a"},
    )

    reading = RESPONSES.read_stream(data)

    assert (reading.model, reading.units, reading.complete, reading.reason) == (
        "gpt-5",
        None,
        False,
        "usage is missing",
    )


def test_last_event_cut() -> None:
    """A last event whose beginning was left out still tells its usage; the tools in it were not seen."""
    whole = named_events({"type": "response.completed", "response": response()})

    reading = RESPONSES.read_stream(
        named_events({"type": "response.created", "response": response(usage=None)}), whole[90:], 9
    )

    assert (reading.model, reading.units, reading.complete) == ("gpt-5", UNITS, True)
    assert reading.reason is not None
    assert "hosted tools" in reading.reason
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("hosted_tool", 1)]


def test_an_answer_without_tools_has_none_unseen() -> None:
    """Where an end shows that no tool was offered, nothing is missing, however large the answer."""
    whole = body(response(output=[{"type": "message", "content": "x" * 5000}], tools=[]) | {"usage": USAGE})

    assert RESPONSES.read_cut(whole[:100], whole[-300:]).unpriced == ()


def test_a_malformed_last_event_names_the_fault() -> None:
    """A last event with a malformed member is still the last, and what it tells is not an estimate."""
    data = named_events({"type": "response.completed", "response": response(output=[{"type": 7}])})

    reading = RESPONSES.read_stream(data)

    assert (reading.units, reading.complete, reading.estimated) == (UNITS, True, False)
    assert reading.reason == "response.output[0].type: expected str, got int"


def test_hosted_tools() -> None:
    """Searches have a unit, opening a page is free, other hosted tools are listed with their count."""
    output = [
        {"type": "web_search_call", "action": {"type": "search", "query": "q"}},
        {"type": "web_search_call", "action": {"type": "open_page"}},
        {"type": "web_search_call"},
        {"type": "file_search_call"},
        {"type": "file_search_call"},
        {"type": "code_interpreter_call"},
        {"type": "function_call", "arguments": "{}"},
        {"type": "message", "content": []},
    ]

    reading = RESPONSES.read(body(response(output=output)))

    assert reading.units == UNITS | {"web_search_request": (0, 2)}
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("file_search_call", 2), ("code_interpreter_call", 1)]


def test_tool_usage_beats_the_items() -> None:
    """Where the provider counts its billable searches and image tokens, its count holds."""
    output = [{"type": "web_search_call", "action": {"type": "search"}}, {"type": "image_generation_call"}]
    told = {"web_search": {"num_requests": 3}, "image_gen": {"total_tokens": 1056}}

    reading = RESPONSES.read(body(response(output=output, tool_usage=told)))

    assert reading.units == UNITS | {"web_search_request": (0, 3)}
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("image_generation_token", 1056)]


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_background_response(status: str) -> None:
    """A response made in the background has its usage later."""
    reading = RESPONSES.read(body(response(usage=None, status=status)))

    assert (reading.units, reading.pending) == (None, True)
    assert reading.reason == f"the response is {status.replace('_', ' ')}, its usage comes with a later poll"


@pytest.mark.parametrize("background", [True, False])
def test_a_stream_that_breaks_off_is_pending_only_in_the_background(background: bool) -> None:
    """A response made in the background goes on without its reader; any other has ended."""
    created = response(usage=None, status="in_progress", background=background)

    reading = RESPONSES.read_stream(named_events({"type": "response.created", "response": created}))

    assert (reading.units, reading.pending, reading.complete) == (None, background, False)


SEARCH = [{"type": "web_search_call", "action": {"type": "search", "query": "q"}}]


@pytest.mark.parametrize(
    ("model", "tool", "priced"),
    [
        ("gpt-4.1", "web_search", True),
        ("gpt-4.1", "web_search_preview", False),
        ("gpt-4o-mini", "web_search_preview_2025_03_11", False),
        ("gpt-5-chat-latest", "web_search_preview", False),
        ("my-deployment", "web_search_preview", False),
        ("gpt-5.2", "web_search_preview", True),
        ("o4-mini-2025-04-16", "web_search_preview", True),
    ],
)
def test_the_old_search_has_another_fee(model: str, tool: str, priced: bool) -> None:
    """`web_search_preview` costs more on models that do not reason; there the searches have no rate of ours."""
    told = response(model=model, output=SEARCH, tools=[{"type": tool}])

    for reading in (
        RESPONSES.read(body(told)),
        RESPONSES.read_stream(named_events({"type": "response.completed", "response": told})),
    ):
        assert ((reading.units or {}).get("web_search_request") == (0, 1)) is priced
        assert [u.unit for u in reading.unpriced] == ([] if priced else ["web_search_request"])


def test_counts_that_are_all_zero_are_none() -> None:
    """A response that counts nothing is no free one."""
    reading = RESPONSES.read(body(response(usage={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})))

    assert (reading.units, reading.reason) == (None, "usage counts nothing")


def test_text_before_an_error_is_worth_counting() -> None:
    """A stream that ends in an error after its text has no usage, and says that text came."""
    data = named_events(
        {"type": "response.output_text.delta", "delta": "much"}, {"type": "error", "code": "server_error"}
    )

    reading = RESPONSES.read_stream(data)

    assert (reading.units, reading.estimated, reading.error_type) == (None, True, "server_error")


def test_malformed_members_do_not_cost_the_usage() -> None:
    """An item of an unknown shape is passed over alone."""
    output = [{"type": 7}, {"type": "shell_call", "action": "odd"}, {"type": "file_search_call"}]

    reading = RESPONSES.read(body(response(output=output)))

    assert reading.units == UNITS
    assert {(u.unit, u.quantity) for u in reading.unpriced} == {("shell_call", 1), ("file_search_call", 1)}
    assert reading.reason == "output[0].type: expected str, got int"


def test_cut_body() -> None:
    """Of a large body the ends tell model and usage, and that tools were not looked for."""
    raw = body(response(output=[{"type": "message", "content": "x" * 5000}]))

    reading = RESPONSES.read_cut(raw[:100], raw[-300:])

    assert (reading.model, reading.units, reading.complete) == ("gpt-5", UNITS, True)
    assert reading.reason is not None
    assert "hosted tools" in reading.reason
    assert RESPONSES.read_cut(raw[:100], b"x").reason == "usage is missing"


def test_body_and_stream_in_each_other_s_place() -> None:
    """A stream answered by a JSON body, and the other way round, are both read."""
    data = events({"type": "response.completed", "response": response()}, done=False)

    assert RESPONSES.read(data).units == RESPONSES.read_stream(body(response())).units == UNITS


def test_stated_cost() -> None:
    """A host that states its cost states it here too."""
    stated = endpoint("api.x.ai", "/v1/responses").read(body(response(usage=USAGE | {"cost_in_usd_ticks": 5})))

    assert stated.stated_ticks == 5
