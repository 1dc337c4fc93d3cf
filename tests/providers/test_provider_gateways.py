"""Gateways: whom they asked, what they state, and what they had kept."""

from __future__ import annotations

from typing import Any

import pytest
from answers import body, endpoint, openai_usage
from exchanged import read, survives

from payi_middleware.events import Part
from payi_middleware.providers import find, named

LITELLM = named("litellm")
CHAT = "/v1/chat/completions"
ANSWER = body({"id": "c", "model": "gpt-4o-mini-2024-07-18", "choices": [], "usage": openai_usage(10, 3)})


@pytest.mark.parametrize(
    ("headers", "ticks"),
    [
        ({"x-litellm-response-cost": "0.0000225"}, 225_000),
        ({"x-litellm-response-cost": "3.75e-05"}, 375_000),
        ({"x-litellm-response-cost": "0.0"}, None),
        ({"x-litellm-response-cost": "0.0", "x-litellm-cache-key": "k"}, 0),
        ({"x-litellm-response-cost": "None"}, None),
        ({"x-litellm-response-cost": "-1"}, None),
        ({"x-litellm-response-cost": "NaN"}, None),
        ({"x-litellm-response-cost": "1" * 100}, None),
        ({}, None),
    ],
)
def test_litellm_states_a_cost(headers: dict[str, str], ticks: int | None) -> None:
    """A 0 may only mean that it knows none, unless it had kept the answer."""
    reading = read(LITELLM, CHAT, ANSWER, {"model": "fast"}, headers)

    assert reading.stated_ticks == ticks
    assert reading.units == {"text": (10, 3)}


@pytest.mark.parametrize(
    ("base", "model", "expected"),
    [
        ("https://api.groq.com/openai/v1", "groq/llama-3.3-70b-versatile", ("llama-3.3-70b-versatile", "groq")),
        ("https://api.openai.com", "gpt-4o", ("gpt-4o", "openai")),
        ("api.together.xyz/v1", "meta-llama/Llama-3-8b", ("meta-llama/Llama-3-8b", "together")),
        ("https://llm.internal/v1", "gpt-4o", None),
        ("http://[broken", "gpt-4o", None),
        ("", "gpt-4o", None),
    ],
)
def test_litellm_tells_whom_it_asked(base: str, model: str, expected: tuple[str, str] | None) -> None:
    """Then the rates of that provider hold; else the model's name decides."""
    answer = body({"id": "c", "model": model, "choices": [], "usage": openai_usage(10, 3)})

    reading = read(LITELLM, CHAT, answer, {"model": "alias"}, {"x-litellm-model-api-base": base})

    assert reading.parts == (() if expected is None else (Part(expected[0], {"text": (10, 3)}, provider=expected[1]),))


@pytest.mark.parametrize(
    ("provider", "path", "answered_by", "template"),
    [
        ("litellm", "/anthropic/v1/messages", "anthropic", "/v1/messages"),
        ("litellm", "/cohere/v2/rerank", "cohere", "/v2/rerank"),
        ("litellm", "/v1/chat/completions", None, "/v1/chat/completions"),
        ("litellm", "/chat/completions", None, "/v1/chat/completions"),
        (
            "litellm",
            "/gemini/v1beta/models/gemini-2.5-pro:generateContent",
            "google",
            "/v1beta/models/{model}:generateContent",
        ),
        ("cloudflare-gateway", "/v1/acc/gw/openai/chat/completions", "openai", "/v1/chat/completions"),
        ("cloudflare-gateway", "/v1/acc/gw/anthropic/v1/messages", "anthropic", "/v1/messages"),
        ("cloudflare-gateway", "/v1/acc/gw/grok/v1/chat/completions", "x-ai", "/v1/chat/completions"),
        ("cloudflare-gateway", "/v1/acc/gw/workers-ai/v1/chat/completions", "cloudflare", "/v1/chat/completions"),
        ("cloudflare-gateway", "/v1/acc/gw/workers-ai/@cf/meta/llama-3-8b", "cloudflare", "/ai/run/{model}"),
        ("cloudflare-gateway", "/v1/acc/gw/compat/chat/completions", None, "/v1/chat/completions"),
        ("cloudflare-gateway", "/v1/acc/gw", None, "(other)"),
        ("pydantic-gateway", "/proxy/openai/responses", "openai", "/v1/responses"),
        (
            "pydantic-gateway",
            "/proxy/google-vertex/v1beta/models/m:generateContent",
            "google",
            "/v1beta/models/{model}:generateContent",
        ),
        ("portkey", "/v1/chat/completions", None, "/v1/chat/completions"),
        ("litellm", "/v1/images/generations", None, "/v1/images/generations"),
        ("litellm", "/v1/some/thing", None, "(other)"),
        ("vercel", "/v1/chat/completions", None, "/v1/chat/completions"),
        ("helicone", "/v1/chat/completions", None, "/v1/chat/completions"),
    ],
)
def test_the_path_names_the_provider(provider: str, path: str, answered_by: str | None, template: str) -> None:
    """What stands behind a provider's name is that provider's own path."""
    route = named(provider).route("POST", path)

    assert route is not None
    assert (route.provider and route.provider.id) == answered_by
    assert route.endpoint.template == template


def test_any_call_of_litellm_states_its_cost() -> None:
    """Also one that no file here reads."""
    headers = {"x-litellm-response-cost": "0.04"}

    assert (
        read(LITELLM, "/v1/images/generations", body({"data": [{}]}), {"model": "m"}, headers).stated_ticks
        == 400_000_000
    )


def test_what_is_free_behind_a_gateway_stays_free() -> None:
    """Counting tokens costs nothing wherever it is asked for."""
    assert LITELLM.route("POST", "/anthropic/v1/messages/count_tokens") is None
    assert LITELLM.route("GET", "/v1/models") is None
    assert named("cloudflare-gateway").route("POST", "/v1/acc/gw/openai/files") is None


@pytest.mark.parametrize(
    ("host", "path", "headers"),
    [
        ("gateway.ai.cloudflare.com", "/v1/acc/gw/openai/chat/completions", {"cf-aig-cache-status": "HIT"}),
        ("oai.helicone.ai", CHAT, {"helicone-cache": "HIT"}),
        ("api.portkey.ai", CHAT, {"x-portkey-cache-status": "SEMANTIC HIT"}),
    ],
)
def test_what_was_kept_costs_nothing(host: str, path: str, headers: dict[str, str]) -> None:
    """The gateway's header says so; a miss is a call like any other."""
    kept = read(host, path, ANSWER, {"model": "m"}, headers)
    asked = read(host, path, ANSWER, {"model": "m"}, dict.fromkeys(headers, "MISS"))

    assert kept.stated_ticks == 0
    assert kept.reason == "answered from the gateway's cache"
    assert asked.stated_ticks is None
    assert asked.units == kept.units == {"text": (10, 3)}


@pytest.mark.parametrize(("name", "provider"), [("vertex-ai", "google"), ("nobody", None), (None, None)])
def test_portkey_may_name_the_provider(name: str | None, provider: str | None) -> None:
    """In a header, by its own name for it."""
    reading = read("api.portkey.ai", CHAT, ANSWER, {"model": "m"}, {} if name is None else {"x-portkey-provider": name})

    assert [part.provider for part in reading.parts] == ([] if provider is None else [provider])


@pytest.mark.parametrize(
    ("told", "ticks"),
    [
        ({"gateway": {"cost": "0.0045405"}}, 45_405_000),
        ({"gateway": {"cost": 0.25}}, 2_500_000_000),
        ({"gateway": {"cost": "x"}}, None),
        ({"gateway": {}}, None),
        ({}, None),
    ],
)
def test_vercel_states_a_cost(told: dict[str, Any], ticks: int | None) -> None:
    """In the metadata of the answer."""
    answer = body({"id": "v", "model": "openai/gpt-5", "usage": openai_usage(10, 3), "providerMetadata": told})

    assert read("ai-gateway.vercel.sh", CHAT, answer, {"model": "openai/gpt-5"}).stated_ticks == ticks


def test_vercel_counts_the_thoughts_of_gemini_beside_its_words() -> None:
    """And in no total; at any other host more thoughts than words are a slip of a tokenizer."""
    usage = {**openai_usage(9, 2), "completion_tokens_details": {"reasoning_tokens": 25}}
    answer = body({"id": "v", "model": "google/gemini-2.5-flash", "usage": usage})

    beside = read("ai-gateway.vercel.sh", CHAT, answer, {"model": "google/gemini-2.5-flash"})
    within = read("api.doubleword.ai", CHAT, answer, {"model": "Qwen/Qwen3.5-9B"})

    assert beside.units == {"text": (9, 2), "reasoning": (0, 25)}
    assert within.units == {"text": (9, 0), "reasoning": (0, 2)}
    assert within.reason == "usage tells 25 reasoning of 2 output tokens: counted as 2"


def test_gateways_are_known_by_their_hosts() -> None:
    """Those that stand where their owner puts them are named in `hosts`."""
    hosts = ("oai.helicone.ai", "api.portkey.ai", "ai-gateway.vercel.sh", "gateway.pydantic.dev")

    assert all(find(host) is not None for host in hosts)
    assert endpoint("gateway.helicone.ai", CHAT).refine is not None


def test_nothing_raises_wherever_it_is_cut() -> None:
    """Answers cut at each byte."""
    survives(LITELLM, CHAT, ANSWER, {"model": "m"})
    survives(named("vercel"), CHAT, ANSWER[:-1] + b',"x":{"gateway":{"cost":"1"}}}', {"model": "m"})
    survives(named("portkey"), CHAT, ANSWER, {"model": "m"})
