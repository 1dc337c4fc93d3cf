"""Spellings of a model, and matches that are not to be believed."""

from __future__ import annotations

import pytest

from payi_middleware.pricing import Prices
from payi_middleware.pricing.names import goes_on, has_one_output, is_another, is_tuned, spellings

NOW = 1_795_000_000 * 10**9


@pytest.fixture(scope="module")
def prices() -> Prices:
    loaded = Prices()
    loaded.load()
    return loaded


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ("gpt-5", ["gpt-5"]),
        ("gpt-5-2025-08-07", ["gpt-5-2025-08-07", "gpt-5"]),
        ("claude-haiku-4-5@20251001", ["claude-haiku-4-5@20251001", "claude-haiku-4-5"]),
        ("models/gemini-2.5-pro", ["models/gemini-2.5-pro", "gemini-2.5-pro"]),
        (
            "publishers/google/models/gemini-3-20260101",
            ["publishers/google/models/gemini-3-20260101", "gemini-3-20260101", "gemini-3"],
        ),
        ("gpt-4-0613", ["gpt-4-0613"]),
        ("Qwen/Qwen3.5-397B-A17B-FP8", ["Qwen/Qwen3.5-397B-A17B-FP8", "Qwen/Qwen3.5-397B-A17B"]),
    ],
)
def test_spellings_go_from_the_whole_name_to_the_bare_one(given: str, tried: list[str]) -> None:
    """A name is tried whole first, then without its path, then without its date or precision."""
    assert list(spellings(given)) == tried


@pytest.mark.parametrize(
    ("provider", "name", "model"),
    [
        ("openai", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13"),  # has a rate of its own
        ("openai", "gpt-4o-mini-2099-01-01", "gpt-4o-mini"),
        ("openai", "o3-20250416", "o3"),
        ("google", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("google", "publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("google", "claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("azure", "gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme:live-search:x1", "ft:gpt-4o-mini"),
        ("anthropic", "claude-opus-5-5-20261001", "claude-opus-5-5"),
        ("anthropic", "claude-sonnet-4-20250514", "claude-sonnet-4-0"),
        ("google", "gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("doubleword", "Qwen/Qwen3.5-397B-A17B-FP8", "Qwen/Qwen3.5-397B-A17B"),
    ],
)
def test_names_of_answers_find_their_model(prices: Prices, provider: str, name: str, model: str) -> None:
    """Dated, prefixed, hosted and fine-tuned names find the model whose rate they are billed at."""
    plan = prices.plan(provider, name, NOW)

    assert plan is not None
    assert plan.model == model


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("google", "gemini-3.8-flash-lite"),
        ("google", "gemini-1.5-flash-8b"),
        ("google", "gemini-3.6-flash-image"),
        ("google", "gemini-2.5-pro-live"),
        ("openai", "gpt-4o-new-thing"),
        ("anthropic", "claude-opus-4-10"),
        ("anthropic", "claude-opus-4-15-20270101"),
    ],
)
def test_a_prefix_does_not_make_a_model(prices: Prices, provider: str, name: str) -> None:
    """A name that only begins like a listed one, and says it is something else, is unknown rather than mispriced."""
    assert prices.plan(provider, name, NOW) is None


def test_telling_words_count_as_words() -> None:
    """`mini` is not found in `gemini`, and a word that the list knows tells nothing."""
    assert is_another("gemini-9-mini", "gemini-9")
    assert not is_another("gemini-9-preview", "gemini-9")
    assert not is_another("GPT-9-Mini-x", "gpt-9-mini")


@pytest.mark.parametrize(
    ("name", "known", "further"),
    [
        ("claude-9-10", "claude-9-1", True),
        ("CLAUDE-9-10", "claude-9-1", True),
        ("x/claude-9-10", "claude-9-1", True),
        ("claude-9-1", "claude-9-1", False),
        ("claude-9-1-20270101", "claude-9-1", False),
        ("gemini-9-001", "gemini-9-0", False),
        ("gpt-9o2", "gpt-9o", False),
    ],
)
def test_a_number_that_goes_on_is_another(name: str, known: str, further: bool) -> None:
    """A name is not known by the first digits of a longer number in it."""
    assert goes_on(name, known) is further


def test_kinds_of_names() -> None:
    """Fine-tunes and models with one kind of output are told by their names."""
    assert all(is_tuned(name) for name in ("ft:gpt-4o:a::b", "gpt-4o.ft-1", "tunedModels/x"))
    assert not is_tuned("gpt-4o")
    assert [has_one_output(name) for name in ("tts-1", "gpt-image-2", "gemini-3-pro-image")] == [True, True, False]


@pytest.mark.parametrize(
    ("provider", "model", "maker"),
    [
        ("openai", "moonshotai/kimi-k2", "moonshotai"),
        ("openai", "claude-opus-4-1", "anthropic"),
        ("anthropic", "gpt-4o", "openai"),
        ("groq", "command-r", "cohere"),
        ("openai", "muse-spark-1.1", "meta"),
    ],
)
def test_another_maker_s_model_is_priced_by_that_maker_and_says_so(
    prices: Prices, provider: str, model: str, maker: str
) -> None:
    """A proxy in front of several makers that nobody named: the rate is the maker's, and a call is not silent about it."""
    at = NOW
    other = prices.plan(provider, model, at)
    own = prices.plan(maker, model.rpartition("/")[2], at)
    assert other is not None
    assert own is not None
    priced = other.price({"text": (1000, 100)})
    assert priced.cost == own.price({"text": (1000, 100)}).cost
    assert [entry.reason for entry in priced.unpriced] == [f"no rate for {model} of {provider}; that of {maker} used"]


def test_a_provider_behind_a_gateway_says_so_too(prices: Prices) -> None:
    """What a gateway passes on is the price of the provider behind it, or what stands in for that."""
    for gateway, model in (
        ("huggingface_together", "moonshotai/Kimi-K2-Thinking"),
        ("litellm", "together_ai/moonshotai/Kimi-K2-Thinking"),
    ):
        plan = prices.plan(gateway, model, NOW)
        assert plan is not None
        reasons = [note.reason for note in plan.notes]
        assert reasons == ["no rate for moonshotai/Kimi-K2-Thinking of together; that of moonshotai used"]
    for nobody_s in ("huggingface_together", "openrouter"):
        assert prices.plan(nobody_s, "someone/our-model", NOW) is None


@pytest.mark.parametrize(("provider", "model"), [("openai", "gpt-9"), ("groq", "our-model"), ("openai", "x/y/z")])
def test_a_model_of_nobody_s_has_no_rate(prices: Prices, provider: str, model: str) -> None:
    assert prices.plan(provider, model, NOW) is None
