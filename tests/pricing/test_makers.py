"""Whose list a gateway's model is on, and that it is priced by that list."""

from __future__ import annotations

import datetime

import pytest

from payi_middleware.costing import cost_of
from payi_middleware.events import Part
from payi_middleware.pricing import Prices
from payi_middleware.pricing.makers import LISTED_SINCE, maker_of, provider_named

NOW = int(datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC).timestamp()) * 10**9


@pytest.fixture(scope="module")
def prices() -> Prices:
    loaded = Prices()
    loaded.load()
    return loaded


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("litellm", "anthropic/claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("litellm", "vertex_ai/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        (
            "litellm",
            "bedrock/anthropic.claude-3-haiku-20240307-v1:0",
            ("aws", "anthropic.claude-3-haiku-20240307-v1:0"),
        ),
        ("litellm", "openrouter/anthropic/claude-3", ("openrouter", "anthropic/claude-3")),
        ("litellm", "together_ai/meta-llama/Llama-3-8b", ("together", "meta-llama/Llama-3-8b")),
        ("litellm", "ollama_chat/llama3:8b", ("ollama", "llama3:8b")),
        ("litellm", "gpt-5-mini", ("openai", "gpt-5-mini")),
        ("litellm", "o3-2025-04-16", ("openai", "o3-2025-04-16")),
        ("litellm", "claude-opus-4-1", ("anthropic", "claude-opus-4-1")),
        ("litellm", "models/gemini-2.0-flash", ("google", "gemini-2.0-flash")),
        ("litellm", "llama-3-70b", None),
        ("litellm", "gpt-oss-120b", None),
        ("litellm", "my-alias", None),
        ("openrouter", "~anthropic/claude-opus-latest", ("anthropic", "claude-opus-latest")),
        ("openrouter", "x-ai/grok-4:online", ("x-ai", "grok-4")),
        ("openrouter", "openrouter/auto", None),
        ("openrouter", "google/gemma-3-27b-it", None),
        ("litellm", "gemini/gemma-3-27b-it", ("google", "gemma-3-27b-it")),
        ("openrouter", "meta-llama/llama-3.1-8b-instruct", None),
        ("portkey", "@openai-prod/gpt-4o", ("openai", "gpt-4o")),
        ("vercel", "xai/grok-4", ("x-ai", "grok-4")),
        ("databricks", "claude-3-5-sonnet-20241022", ("anthropic", "claude-3-5-sonnet-20241022")),
        ("databricks", "databricks-claude-sonnet-4", None),
        (
            "cloudflare-gateway",
            "workers-ai/@cf/meta/llama-3.1-8b-instruct",
            ("cloudflare", "@cf/meta/llama-3.1-8b-instruct"),
        ),
        ("huggingface", "deepseek-ai/DeepSeek-R1:together", ("huggingface_together", "deepseek-ai/DeepSeek-R1")),
        ("huggingface", "deepseek-ai/DeepSeek-R1", None),
        ("huggingface_fireworks-ai", "m", ("fireworks", "m")),
        ("huggingface_publicai", "m", None),
        ("openai", "anthropic/claude-3", None),
        ("litellm", "", None),
        ("litellm", "/", None),
    ],
)
def test_whose_list(provider: str, model: str, expected: tuple[str, str] | None) -> None:
    """By the prefix, else by the family of the name, and only behind a gateway."""
    assert maker_of(provider, model) == expected


@pytest.mark.parametrize(
    ("name", "id"),
    [("OpenAI", "openai"), ("@openai-prod", "openai"), ("google-vertex-ai", "google"), ("grok", "x-ai"), ("", None)],
)
def test_a_provider_by_a_gateway_s_name(name: str, id: str | None) -> None:
    """Whatever the gateway calls it."""
    assert provider_named(name) == id


@pytest.mark.parametrize(
    ("provider", "model", "maker", "its"),
    [
        ("litellm", "anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("vercel", "openai/gpt-5", "openai", "gpt-5"),
        ("openrouter", "x-ai/grok-4-0709", "x-ai", "grok-4-0709"),
        (
            "huggingface",
            "meta-llama/Llama-4-Scout-17B-16E-Instruct:together",
            "together",
            "meta-llama/Llama-4-Scout-17B-16E-Instruct",
        ),
        ("litellm", "openrouter/openai/gpt-5", "openrouter", "openai/gpt-5"),
    ],
)
def test_a_gateway_passes_the_price_on(prices: Prices, provider: str, model: str, maker: str, its: str) -> None:
    """What a gateway's model costs is what the provider behind it lists."""
    units = {"text": (1000, 200)}

    through = cost_of(prices, provider, model, units, NOW)
    direct = cost_of(prices, maker, its, units, NOW)

    assert through.cost is not None
    assert direct.cost is not None
    assert through.cost.total_ticks == direct.cost.total_ticks > 0


@pytest.mark.parametrize(
    ("provider", "model"), [("litellm", "my-alias"), ("vercel", "nobody/nothing"), ("openai", "x/y")]
)
def test_what_nobody_lists_has_no_price(prices: Prices, provider: str, model: str) -> None:
    """A name that tells no provider is said to be unknown."""
    costed = cost_of(prices, provider, model, {"text": (1, 1)}, NOW)

    assert costed.cost is None
    assert costed.reason == f"no rates for model {model} of {provider}"


def test_before_its_history_the_makers_lists_hold(prices: Prices) -> None:
    """OpenRouter's list has no dates before a day; OpenAI's has, and the price of then was another."""
    began = (
        int(datetime.datetime.combine(LISTED_SINCE["openrouter"], datetime.time(), datetime.UTC).timestamp()) * 10**9
    )
    july = int(datetime.datetime(2026, 7, 17, tzinfo=datetime.UTC).timestamp()) * 10**9
    units = {"text": (8, 5), "text_cache_write": (4012, 0)}

    then = prices.plan("openrouter", "openai/gpt-5.6-sol", july)

    assert then is not None
    assert then.ends_ns <= began
    cost = then.price(units).cost
    assert cost is not None
    assert cost.total_ticks == 252_650_000  # 8 at 5, 4,012 written at 6.25 and 5 at 30 USD a million, as it was charged
    since = prices.plan("openrouter", "openai/gpt-5.6-sol", began)
    assert since is not None
    assert since.starts_ns == began


def test_a_part_may_be_another_provider_s(prices: Prices) -> None:
    """A gateway that tells whom it asked is priced by that one's rates, unless somebody names others."""
    units = {"text": (1_000_000, 0)}
    part = Part(None, units, provider="groq")

    told = cost_of(prices, "litellm", "llama-3.3-70b-versatile", units, NOW, parts=(part,))
    named = cost_of(
        prices, "litellm", "llama-3.3-70b-versatile", units, NOW, parts=(part,), price_as="system.openai/gpt-5"
    )

    assert told.cost is not None
    assert told.cost.total_ticks == 5_900_000_000
    assert named.cost is not None
    assert named.cost.total_ticks == 12_500_000_000
