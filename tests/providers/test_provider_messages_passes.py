"""Anthropic's messages of several sampling passes: each has its own model, caches and prompt."""

from __future__ import annotations

import re
from typing import Any

import pytest
from answers import body, endpoint, named_events

from payi_middleware.costing import cost_of
from payi_middleware.events import Part, usd
from payi_middleware.pricing import Prices
from payi_middleware.providers import Reading
from payi_middleware.providers._received import received

MESSAGES = endpoint("api.anthropic.com", "/v1/messages")
AT = 1795000000 * 10**9  # 2026-11-18
FLAT = {"type": "message", "input_tokens": 1128, "output_tokens": 110}
ADVICE = {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 2518, "output_tokens": 22}
USAGE: dict[str, Any] = {
    "input_tokens": 2390,
    "output_tokens": 121,
    "output_tokens_details": {"thinking_tokens": 28},
    "service_tier": "standard",
    "iterations": [FLAT, ADVICE, {"type": "message", "input_tokens": 1262, "output_tokens": 11}],
}


def message(usage: Any, **more: Any) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "model": "claude-sonnet-5", "content": [], "usage": usage} | more


def read(usage: Any, **more: Any) -> Reading:
    return MESSAGES.read(body(message(usage, **more)))


def cost(prices: Prices, reading: Reading) -> Any:
    """What a reading costs, in USD."""
    assert reading.units is not None
    costed = cost_of(
        prices,
        "anthropic",
        reading.model,
        reading.units,
        AT,
        reading.service_tier,
        terms=reading.terms,
        parts=reading.parts,
    )
    assert costed.cost is not None
    return usd(costed.cost.total_ticks)


@pytest.fixture(scope="module")
def prices() -> Prices:
    prices = Prices()
    prices.load()
    return prices


def test_each_pass_is_a_part(prices: Prices) -> None:
    """An advisor has its own rates; the sum of all is what was consumed, not the top level."""
    reading = read(USAGE)

    assert reading.parts == (
        Part(None, {"text": (1128, 110)}, "standard"),
        Part("claude-opus-4-8", {"text": (2518, 22)}),
        Part(None, {"text": (1262, 11)}, "standard"),
    )
    assert reading.units == {"text": (4908, 143)}
    alone = cost(prices, read({"input_tokens": 2390, "output_tokens": 121}))
    advice = cost(prices, read({"input_tokens": 2518, "output_tokens": 22}, model="claude-opus-4-8"))
    assert cost(prices, reading) == alone + advice


def test_the_same_in_a_stream() -> None:
    """The passes come with the last event, the model with the first."""
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE}
    data = named_events(
        {"type": "message_start", "message": message({"input_tokens": 1128, "output_tokens": 1})},
        last,
        {"type": "message_stop"},
    )

    assert MESSAGES.read_stream(data)._replace(service_tier="standard") == read(USAGE)


def test_a_single_pass_is_the_top_level() -> None:
    """One pass that says the same needs no parts, and the top level tells thinking besides."""
    reading = read(USAGE | {"iterations": [{"type": "message", "input_tokens": 2390, "output_tokens": 121}]})

    assert (reading.parts, reading.units) == ((), {"text": (2390, 93), "reasoning": (0, 28)})


def test_a_compaction_is_no_part_of_the_top_level() -> None:
    """A compaction is billed, with its own caches, though the top level leaves it out."""
    passes = [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 5, "cache_read_input_tokens": 3},
        {"type": "message", "input_tokens": 10, "output_tokens": 1, "cache_creation_input_tokens": 4},
    ]

    reading = read({"input_tokens": 10, "output_tokens": 1, "iterations": passes})

    assert reading.units == {"text": (110, 6), "text_cache_read": (3, 0), "text_cache_write": (4, 0)}
    assert len(reading.parts) == 2


def test_long_prompts_are_judged_pass_by_pass(prices: Prices) -> None:
    """Two prompts of 60,000 tokens are no long one."""
    passes = [{"type": "message", "input_tokens": 60_000, "output_tokens": 1}] * 2

    reading = read({"input_tokens": 120_000, "output_tokens": 2, "iterations": passes}, model="claude-haiku-5-5")

    short = cost(prices, read({"input_tokens": 60_000, "output_tokens": 1}, model="claude-haiku-5-5"))
    whole = cost(prices, read({"input_tokens": 120_000, "output_tokens": 2}, model="claude-haiku-5-5"))
    assert cost(prices, reading) == 2 * short < whole


def test_a_refused_pass_without_output_is_not_billed() -> None:
    """Where a fallback answered, the model before it that wrote nothing costs nothing; one that wrote something does."""
    answered = {"type": "fallback_message", "model": "claude-opus-4-8", "input_tokens": 20, "output_tokens": 9}
    refused = {"type": "message", "input_tokens": 20, "output_tokens": 0}
    top = {"input_tokens": 20, "output_tokens": 9}

    free = read(top | {"iterations": [refused, answered]}, model="claude-opus-4-8")
    paid = read(top | {"iterations": [refused | {"output_tokens": 3}, answered]}, model="claude-opus-4-8")
    named = read(
        top | {"iterations": [refused | {"output_tokens": 3, "model": "claude-fable-5"}, answered]},
        model="claude-opus-4-8",
    )

    assert (free.units, free.unpriced) == ({"text": (20, 9)}, ())
    assert (paid.units, [u.unit for u in paid.unpriced]) == ({"text": (40, 12)}, ["model"])
    assert [part.model for part in named.parts] == ["claude-fable-5", None]
    assert named.unpriced == ()


def test_what_holds_for_all_passes_and_what_for_one() -> None:
    """A batch is one for all models, fast mode only for the one that was asked, and where it ran for all that cost more."""
    advice = ADVICE | {"model": "claude-opus-4-5"}
    there = {"inference_geo": "us", "iterations": [FLAT, ADVICE, advice]}

    fast = read(USAGE | there | {"speed": "fast"})
    batch = read(USAGE | there | {"service_tier": "batch"})

    assert fast.terms == batch.terms == ()
    assert [(part.service_tier, part.terms) for part in fast.parts] == [
        ("fast", ("geo:us",)),
        (None, ("geo:us",)),
        (None, ()),
    ]
    assert {part.service_tier for part in batch.parts} == {"batch"}


def test_searches_are_a_part() -> None:
    """Searches have their fee, whoever made them."""
    reading = read(USAGE | {"server_tool_use": {"web_search_requests": 3}})

    assert reading.parts[-1] == Part(None, {"web_search_request": (0, 3)}, "standard")
    assert reading.units == {"text": (4908, 143), "web_search_request": (0, 3)}


def test_a_stream_that_breaks_off_adds_what_came_to_the_parts() -> None:
    """What was received beyond the figures is a part as well, because parts alone are priced."""
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 4000}}
    passes = {"input_tokens": 9, "output_tokens": 1, "iterations": [FLAT, ADVICE]}
    data = named_events(
        {"type": "message_start", "message": message({"input_tokens": 9, "output_tokens": 1})},
        text,
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": passes},
    )

    reading = MESSAGES.read_stream(data)

    made = received(re.compile(b"(x+)"), b"x" * 4000, b"", 0, "claude-sonnet-5")
    assert (reading.estimated, reading.by_length) == (True, False)
    assert reading.parts[-1] == Part(None, {"text": (0, made - 132)})
    assert reading.units == {"text": (3646, made)}


def test_a_foreign_model_can_be_written() -> None:
    """A pass's model with half a surrogate pair is repaired."""
    raw = b'{"usage":{"input_tokens":1,"iterations":[{"model":"\\ud800","input_tokens":1}]}}'

    (part,) = MESSAGES.read(raw).parts

    assert (part.model or "").encode() == b"?"


def test_passes_that_count_nothing() -> None:
    """Passes without a count are no usage, and none at all leave the top level."""
    assert read({"input_tokens": 5, "output_tokens": 1, "iterations": [{"type": "message"}]}).units is None
    assert read({"input_tokens": 5, "output_tokens": 1, "iterations": []}).units == {"text": (5, 1)}
