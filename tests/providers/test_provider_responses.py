"""OpenAI's Responses."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, events, named_events

from payi_middleware.events import Part
from payi_middleware.providers import Reading
from payi_middleware.providers.base import summed

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
    """Searches and files have units, opening a page is free, and code runs in a container that is not told here."""
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

    assert reading.units == UNITS | {"web_search_request": (0, 2), "file_search_request": (0, 2)}
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("container_session_request", 1)]


IMAGE_TOOL = {"type": "image_generation", "model": "gpt-image-1.5", "size": "auto"}
IMAGE_GEN = {
    "input_tokens": 60,
    "input_tokens_details": {"text_tokens": 20, "image_tokens": 40},
    "cached_tokens": 15,
    "cached_tokens_details": {"cached_text_tokens": 5, "cached_image_tokens": 10},
    "output_tokens": 1056,
    "output_tokens_details": {"image_tokens": 1050, "text_tokens": 6},
    "total_tokens": 1116,
}
DRAWN = {
    "text": (15, 6),
    "text_cache_read": (5, 0),
    "vision": (30, 0),
    "vision_cache_read": (10, 0),
    "image": (0, 1050),
}


def test_tool_usage_beats_the_items() -> None:
    """Where the provider counts its billable searches and image tokens, its count holds."""
    output = [{"type": "web_search_call", "action": {"type": "search"}}, {"type": "image_generation_call"}]
    told = {"web_search": {"num_requests": 3}, "image_gen": IMAGE_GEN}

    reading = RESPONSES.read(body(response(output=output, tools=[IMAGE_TOOL], tool_usage=told)))

    answered = UNITS | {"web_search_request": (0, 3)}
    assert reading.parts == (Part(None, answered, "default"), Part("gpt-image-1.5", DRAWN))
    assert reading.units == summed(reading.parts)
    assert (reading.unpriced, reading.estimated) == ((), False)


def test_an_image_tool_of_unknown_model() -> None:
    """Tokens of a model that nobody names have no rate, and that is said."""
    reading = RESPONSES.read(body(response(tool_usage={"image_gen": IMAGE_GEN})))

    assert (reading.units, reading.parts) == (UNITS, ())
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("image_generation_token", 1116)]


@pytest.mark.parametrize("told", [None, {"image_gen": {"total_tokens": 0}}])
@pytest.mark.parametrize(("quality", "tokens", "guessed"), [("high", 4160, False), ("auto", 1056, True)])
def test_pictures_without_tokens(told: Any, quality: str, tokens: int, guessed: bool) -> None:
    """Pictures whose tokens are told nowhere are counted by size and quality, which is a guess where one is not told."""
    output = [
        {"type": "image_generation_call", "size": "1024x1536", "quality": "low", "action": "generate"},
        {"type": "image_generation_call", "size": "1024x1024", "quality": quality},
    ]

    reading = RESPONSES.read(body(response(output=output, tools=[IMAGE_TOOL], tool_usage=told)))

    assert reading.parts[1:] == (Part("gpt-image-1.5", {"image": (0, 408 + tokens)}),)
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("image_generation_call", 2)]
    assert reading.reason == "the tokens of pictures are counted by size and quality"
    assert reading.estimated is guessed


def test_a_picture_of_the_first_model() -> None:
    """The tool is repeated without a model where there was but one."""
    output = [{"type": "image_generation_call", "size": "1024x1024", "quality": "medium"}]

    reading = RESPONSES.read(body(response(output=output, tools=[{"type": "image_generation", "size": "auto"}])))

    others = RESPONSES.read(body(response(model="grok-9", output=output, tools=[{"type": "image_generation"}])))

    assert reading.parts[1:] == (Part("gpt-image-1", {"image": (0, 1056)}),)
    assert others.parts == ()


def test_pictures_of_an_unknown_size() -> None:
    """Pictures of which nothing is told are left out of the cost, and that is said."""
    output = [{"type": "image_generation_call", "size": "7x7"}]

    reading = RESPONSES.read(body(response(output=output, tools=[IMAGE_TOOL])))

    assert (reading.parts, reading.estimated) == ((), False)
    assert [(u.unit, u.quantity) for u in reading.unpriced] == [("generated_image", 1)]


def test_a_vector_graphic() -> None:
    """The model that writes a vector graphic is a part of its own."""
    svg = {"model": "gpt-5.6-sol", "input_tokens": 9, "output_tokens": 30, "reasoning_tokens": 10, "total_tokens": 39}
    output = [{"type": "image_generation_call", "svg_usage": svg}]

    reading = RESPONSES.read(body(response(output=output, tools=[IMAGE_TOOL], tool_usage={"image_gen": IMAGE_GEN})))

    assert [(part.model, part.units) for part in reading.parts[1:]] == [
        ("gpt-5.6-sol", {"text": (9, 20), "reasoning": (0, 10)}),
        ("gpt-image-1.5", DRAWN),
    ]


def ran(kind: str, id: str | None) -> dict[str, Any]:
    if kind == "code_interpreter_call":
        return {"type": kind, "container_id": id}
    return {"type": kind, "environment": {"type": "container_reference", "container_id": id} if id else None}


@pytest.mark.parametrize(
    ("tool", "items", "ids", "terms", "unseen"),
    [
        (
            {"type": "code_interpreter", "container": {"type": "auto"}},
            [("code_interpreter_call", "c1")] * 2,
            ["c1"],
            (),
            0,
        ),
        (
            {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}},
            [("code_interpreter_call", "c1"), ("code_interpreter_call", "c2")],
            ["c1", "c2"],
            ("memory:4g",),
            0,
        ),
        ({"type": "code_interpreter", "container": "c1"}, [("code_interpreter_call", "c1")], [], (), 0),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, [("code_interpreter_call", None)], [], (), 1),
        (
            {"type": "shell", "environment": {"type": "container_auto", "memory_limit": "16g"}},
            [("shell_call", "c1")],
            ["c1"],
            ("memory:16g",),
            0,
        ),
        ({"type": "shell", "environment": {"type": "container_auto"}}, [("shell_call", None)], [], (), 1),
        ({"type": "shell", "environment": {"type": "local"}}, [("shell_call", None)], [], (), 0),
        (
            {"type": "shell", "environment": {"type": "container_reference", "container_id": "c1"}},
            [("shell_call", "c1")],
            [],
            (),
            0,
        ),
    ],
)
def test_containers(
    tool: dict[str, Any], items: list[tuple[str, str | None]], ids: list[str], terms: tuple[str, ...], unseen: int
) -> None:
    """A container costs once; one that the request names was paid when it was made; a local shell costs nothing."""
    reading = RESPONSES.read(body(response(output=[ran(*item) for item in items], tools=[tool])))

    assert [first.id for first in reading.firsts] == ids
    charge = Part("container", {"container_session_request": (0, 1)}, None, terms)
    assert [first.part for first in reading.firsts] == [charge] * len(ids)
    assert sum(u.quantity for u in reading.unpriced) == unseen
    assert reading.units == UNITS


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
    ("model", "tool", "terms"),
    [
        ("gpt-4.1", "web_search", ()),
        ("gpt-4.1", "web_search_preview", ("search:preview",)),
        ("gpt-4o-mini", "web_search_preview_2025_03_11", ("search:preview",)),
        ("gpt-5-chat-latest", "web_search_preview", ("search:preview",)),
        ("my-deployment", "web_search_preview", ("search:preview",)),
        ("gpt-5.2", "web_search_preview", ()),
        ("o4-mini-2025-04-16", "web_search_preview", ()),
    ],
)
def test_the_old_search_has_another_fee(model: str, tool: str, terms: tuple[str, ...]) -> None:
    """`web_search_preview` costs more on models that do not reason; a term says so."""
    told = response(model=model, output=SEARCH, tools=[{"type": tool}])

    for reading in (
        RESPONSES.read(body(told)),
        RESPONSES.read_stream(named_events({"type": "response.completed", "response": told})),
    ):
        assert (reading.units or {})["web_search_request"] == (0, 1)
        assert (reading.terms, reading.unpriced) == (terms, ())


@pytest.mark.parametrize(("prompt", "counted"), [(100, 100 + 16000), (16170, 16170)])
@pytest.mark.parametrize("model", ["gpt-4o-mini-2024-07-18", "gpt-4.1-mini"])
def test_search_content_in_blocks(model: str, prompt: int, counted: int) -> None:
    """Two small models pay a block of input tokens for each search, whether or not usage tells it."""
    told = response(model=model, output=SEARCH * 2, tools=[{"type": "web_search"}])
    told["usage"] = {"input_tokens": prompt, "output_tokens": 5}

    reading = RESPONSES.read(body(told))

    assert (reading.units or {})["text"] == (counted, 5)
    assert (reading.reason is not None) is (counted > prompt)


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

    assert reading.units == UNITS | {"file_search_request": (0, 1)}
    assert reading.reason == "output[0].type: expected str, got int"


def test_cut_body() -> None:
    """Of a large body the ends tell model and usage, and that tools were not looked for."""
    raw = body(response(output=[{"type": "message", "content": "x" * 5000}]))

    reading = RESPONSES.read_cut(raw[:100], raw[-300:])

    assert (reading.model, reading.units, reading.complete) == ("gpt-5", UNITS, True)
    assert reading.reason is not None
    assert "hosted tools" in reading.reason
    assert RESPONSES.read_cut(raw[:100], b"x").reason == "usage is missing"


@pytest.mark.parametrize(
    ("kinds", "told", "unseen"),
    [
        (["function", "mcp"], False, False),
        (["function", "file_search"], True, True),
        (["web_search", "image_generation"], True, False),
        (["web_search", "image_generation"], False, True),
        (["code_interpreter"], True, True),
        ([], False, False),
    ],
)
def test_tools_that_a_cut_answer_may_have_called(kinds: list[str], told: bool, unseen: bool) -> None:
    """An answer that was not seen whole says so only where one of its tools may have cost something that is not told."""
    tools = [{"type": kind, "parameters": {"tools": [1]}} for kind in kinds]
    more = {"tool_usage": {"web_search": {"num_requests": 0}}} if told else {}
    whole = body(response(output=[{"type": "message", "content": "x" * 9000}], tools=tools) | more | {"usage": USAGE})

    reading = RESPONSES.read_cut(whole[:100], whole[-900:])

    assert reading.units == UNITS
    assert ("hosted_tool" in [u.unit for u in reading.unpriced]) is unseen


def test_a_host_that_counts_its_own_tools() -> None:
    """Where a host tells the calls of its tools, their items are not counted again."""
    usage = USAGE | {"server_side_tool_usage_details": {"web_search_calls": 2, "file_search_calls": 1}}
    items = [{"type": "web_search_call"}, {"type": "file_search_call"}, {"type": "file_search_call"}]

    reading = endpoint("api.x.ai", "/v1/responses").read(body(response(usage=usage, output=items)))

    assert (reading.units or {})["web_search_request"] == (0, 2)


def test_body_and_stream_in_each_other_s_place() -> None:
    """A stream answered by a JSON body, and the other way round, are both read."""
    data = events({"type": "response.completed", "response": response()}, done=False)

    assert RESPONSES.read(data).units == RESPONSES.read_stream(body(response())).units == UNITS


def test_stated_cost() -> None:
    """A host that states its cost states it here too."""
    stated = endpoint("api.x.ai", "/v1/responses").read(body(response(usage=USAGE | {"cost_in_usd_ticks": 5})))

    assert stated.stated_ticks == 5
