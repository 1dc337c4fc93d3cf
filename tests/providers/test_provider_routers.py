"""OpenRouter, Perplexity and Hugging Face's router: what they state, and what they did besides."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, events, named_events, openai_usage
from exchanged import read, reads, survives

from payi_middleware.events import Part

ROUTER = "openrouter.ai"
CHAT = "/api/v1/chat/completions"
SONAR = "api.perplexity.ai"
FACE = "router.huggingface.co"


def routed(**usage: Any) -> dict[str, Any]:
    return {"id": "gen-1", "model": "openai/gpt-5", "choices": [], "usage": openai_usage(100, 30) | usage}


def test_a_tier_of_the_routers_own_is_no_tier_of_the_customers() -> None:
    """What OpenRouter bought beforehand it sells by the token."""
    assert reads(ROUTER, CHAT, routed() | {"service_tier": "provisioned"}).service_tier is None
    assert reads(ROUTER, CHAT, routed() | {"service_tier": "flex"}).service_tier == "flex"


def test_what_is_written_may_be_read_at_once() -> None:
    """Both are told in full, so that together they are more than the prompt."""
    details = {"cached_tokens": 90, "cache_write_tokens": 90}

    reading = reads(ROUTER, CHAT, routed(prompt_tokens_details=details))

    assert reading.units == {"text": (10, 30), "text_cache_read": (90, 0), "text_cache_write": (90, 0)}
    assert reading.reason is None


@pytest.mark.parametrize(
    ("usage", "units", "unpriced"),
    [
        ({"server_tool_use": {"web_search_requests": 2}}, {"web_search_request": (0, 2)}, []),
        (
            {"server_tool_use_details": {"web_search_requests": 1, "tool_calls_executed": 3}},
            {"web_search_request": (0, 1)},
            [("tool_call", 2)],
        ),
        ({"server_tool_use": {"web_search_requests": 0}}, {}, []),
        ({"server_tool_use": {"web_search_requests": "x"}}, {}, []),
    ],
)
def test_tools_of_the_routers(usage: dict[str, Any], units: dict[str, Any], unpriced: list[tuple[str, int]]) -> None:
    """Searches have a fee; other tools run models that nobody names."""
    reading = reads(ROUTER, CHAT, routed(**usage))

    assert reading.units == {"text": (100, 30), **units}
    assert [(found.unit, found.quantity) for found in reading.unpriced] == unpriced


def test_a_file_that_was_read_is_listed() -> None:
    """Its parser may have a fee by the page."""
    message = {"role": "assistant", "annotations": [{"type": "file", "file": {"hash": "h"}}]}

    reading = reads(ROUTER, CHAT, routed() | {"choices": [{"message": message}]})

    assert [(found.unit, found.quantity) for found in reading.unpriced] == [("file", 1)]


@pytest.mark.parametrize(
    ("usage", "ticks"),
    [
        ({"cost": 0.0025}, 25_000_000),
        ({"cost": 0.001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.02}}, 210_000_000),
        ({"cost": 0.001, "is_byok": True, "cost_details": None}, None),
        ({"cost": -1}, None),
        ({"cost": "1"}, None),
        ({"cost": 10**7}, None),
        ({}, None),
    ],
)
def test_anthropic_s_shape_states_the_cost_too(usage: dict[str, Any], ticks: int | None) -> None:
    """Whatever shape it speaks, OpenRouter says what it took."""
    answer = {
        "id": "msg_1",
        "type": "message",
        "model": "anthropic/claude-sonnet-4.5",
        "usage": {"input_tokens": 10, "output_tokens": 3, **usage},
    }

    reading = reads(ROUTER, "/api/v1/messages", answer)

    assert reading.units == {"text": (10, 3)}
    assert reading.stated_ticks == ticks


@pytest.mark.parametrize(("usage", "ticks"), [({"cost": 0.01}, 100_000_000), ({}, None), (None, None)])
def test_any_other_call_tells_its_cost(usage: object, ticks: int | None) -> None:
    """An endpoint that no file here knows still states what it took."""
    reading = reads(ROUTER, "/api/v1/audio/speech", {"id": "gen-2", "model": "m", "usage": usage})

    assert reading.stated_ticks == ticks
    assert (reading.reason is None) == (ticks is not None)


def sonar(**usage: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": 11, "completion_tokens": 62, "total_tokens": 73}
    return {"id": "p-1", "model": "sonar", "choices": [], "usage": counts | usage}


@pytest.mark.parametrize(
    ("usage", "request_", "terms"),
    [
        ({"search_context_size": "medium"}, {}, ("context:medium",)),
        ({}, {"web_search_options": {"search_context_size": "high"}}, ("context:high",)),
        ({}, {}, ("context:low",)),
        ({"search_context_size": "vast"}, {"web_search_options": []}, ("context:low",)),
        ({"search_context_size": ["low"]}, {}, ("context:low",)),
    ],
)
def test_the_fee_depends_on_the_context(usage: Any, request_: dict[str, Any], terms: tuple[str, ...]) -> None:
    """As the answer tells it, else as it was asked for, else the least."""
    assert reads(SONAR, "/chat/completions", sonar(**usage), {"model": "sonar", **request_}).terms == terms


def test_deep_research_counts_more_than_tokens() -> None:
    """Citations, thoughts and searches come on top, and there is no fee for the request."""
    reading = reads(SONAR, "/chat/completions", sonar(citation_tokens=50, reasoning_tokens=900, num_search_queries=18))

    assert reading.units == {
        "text": (11, 62),
        "citation": (0, 50),
        "reasoning": (0, 900),
        "web_search_request": (0, 18),
    }
    assert reading.terms == ()


def test_the_agent_api_counts_its_tools() -> None:
    """Cached input is a part of the input, and tools have fees."""
    usage = {
        "input_tokens": 100,
        "output_tokens": 30,
        "total_tokens": 130,
        "input_tokens_details": {"cache_read_input_tokens": 40, "cache_creation_input_tokens": 10},
        "tool_calls_details": {
            "search_web": {"invocation": 3},
            "fetch_url": {"invocation": 1},
            "people_search": {"invocation": 2},
        },
        "cost": {"currency": "USD", "total_cost": 0.0125},
    }
    answer = {"id": "r-1", "model": "openai/gpt-5", "status": "completed", "output": [], "usage": usage}

    reading = reads(SONAR, "/v1/responses", answer, {"model": "openai/gpt-5"})

    assert reading.units == {
        "text": (50, 30),
        "text_cache_read": (40, 0),
        "text_cache_write": (10, 0),
        "web_search_request": (0, 3),
        "visit_request": (0, 1),
    }
    assert [(found.unit, found.quantity) for found in reading.unpriced] == [("tool_call", 2)]
    assert reading.stated_ticks == 125_000_000
    assert reading.terms == ()


def test_malformed_extras_are_named() -> None:
    """They leave the tokens as they are."""
    reading = reads(SONAR, "/chat/completions", sonar(citation_tokens="x"))

    assert reading.units == {"text": (11, 62)}
    assert reading.reason == "usage.citation_tokens: malformed"


def test_a_search_by_itself() -> None:
    """The search API has one fee a request, and no model but the path."""
    assert reads(SONAR, "/search", {"id": "s-1", "results": []}).units == {"web_search_request": (0, 1)}
    assert reads(SONAR, "/search", {}).units is None


def test_a_job_of_perplexity_s() -> None:
    """Asked after until it is done, it is counted once."""
    inner = sonar(num_search_queries=2, cost={"total_cost": 0.5})
    done = body({"id": "j-1", "status": "COMPLETED", "response": inner})

    ordered = reads(SONAR, "/async/chat/completions", {"id": "j-1", "status": "CREATED", "response": None})
    waiting = read(SONAR, "/async/chat/completions/j-1", body({"id": "j-1", "status": "CREATED"}), method="GET")
    ended = read(SONAR, "/async/chat/completions/j-1", done, method="GET")

    assert ordered.pending
    assert ordered.response_id == "j-1"
    assert waiting.untold
    assert ended.once == "j-1"
    assert ended.units == {"text": (11, 62), "web_search_request": (0, 2)}
    assert ended.stated_ticks == 5_000_000_000
    survives(SONAR, "/async/chat/completions/j-1", done, method="GET")


@pytest.mark.parametrize(
    ("path", "model", "headers", "provider"),
    [
        ("/v1/chat/completions", "deepseek-ai/DeepSeek-R1:together", {}, "huggingface_together"),
        ("/v1/chat/completions", "m/n", {"x-inference-provider": "Groq"}, "huggingface_groq"),
        ("/v1/chat/completions", "m/n", {"x-inference-provider": "nobody"}, None),
        ("/v1/chat/completions", "m/n", {}, None),
    ],
)
def test_the_router_names_whom_it_chose(path: str, model: str, headers: dict[str, str], provider: str | None) -> None:
    """In a header, or as it was asked for."""
    answer = body({"id": "h", "model": "m/n", "usage": openai_usage(10, 3)})

    reading = read(FACE, path, answer, {"model": model}, headers)

    expected = () if provider is None else (Part("m/n", {"text": (10, 3)}, provider=provider),)
    assert reading.parts == expected


def test_nothing_raises_wherever_it_is_cut() -> None:
    """Answers and streams of all three cut at each byte."""
    last = {"choices": [], "usage": openai_usage(9, 2) | {"cost": 0.1, "server_tool_use": {"web_search_requests": 1}}}
    stream = b": OPENROUTER PROCESSING\n\n" + events({"choices": [{"delta": {"content": "hello"}}]}, last)
    survives(ROUTER, CHAT, stream, {"model": "m", "stream": True})
    survives(ROUTER, "/api/v1/audio/speech", body({"usage": {"cost": 1}}))
    survives(SONAR, "/chat/completions", body(sonar(citation_tokens=5)), {"model": "sonar"})
    survives(SONAR, "/search", named_events({"type": "x", "results": []}))
    survives(FACE, "/v1/chat/completions", body({"usage": openai_usage(9, 2)}), {"model": "m:groq"})
