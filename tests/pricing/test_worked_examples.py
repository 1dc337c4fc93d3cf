"""Published rates and recorded charges, at their dates, to the last digit: a row a case, worked out by hand."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from payi_middleware.costing import cost_of
from payi_middleware.events import Units
from payi_middleware.pricing import Prices

M = 1_000_000


@pytest.fixture(scope="module")
def prices() -> Prices:
    loaded = Prices()
    loaded.load()
    return loaded


def on(date: str) -> int:
    """Noon of a day, UTC, in nanoseconds."""
    return int(datetime.datetime.fromisoformat(f"{date}T12:00:00+00:00").timestamp()) * 10**9


EXAMPLES: list[tuple[str, str, str, str | None, tuple[str, ...], Units, str]] = [
    # Anthropic: published rates. 5 at 3, 4,735 written at 3.75, 255 at 15.
    (
        "anthropic",
        "claude-sonnet-4-20250514",
        "2025-08-01",
        None,
        (),
        {"text": (5, 255), "text_cache_write": (4735, 0)},
        "0.02159625",
    ),
    # 10,000 at 4, 20,000 written for 5 minutes at 5, 40,000 for an hour at 8, 30,000 read at 0.2, 1,000 at 20, two searches.
    (
        "anthropic",
        "claude-opus-5-5",
        "2026-11-20",
        "standard",
        (),
        {
            "text": (10_000, 1_000),
            "text_cache_write": (20_000, 0),
            "text_cache_write_1h": (40_000, 0),
            "text_cache_read": (30_000, 0),
            "web_search_request": (0, 2),
        },
        "0.506",
    ),
    ("anthropic", "claude-opus-5-5", "2026-11-20", None, (), {"text": (5_000, 800)}, "0.036"),
    ("anthropic", "claude-opus-5-5", "2026-11-20", "batch", (), {"text": (5_000, 800)}, "0.018"),
    ("anthropic", "claude-opus-5-5", "2026-11-20", "batch", ("geo:us",), {"text": (5_000, 800)}, "0.0198"),
    ("anthropic", "claude-haiku-5-5", "2026-11-20", None, (), {"text": (100_000, 0)}, "0.01"),
    ("anthropic", "claude-haiku-5-5", "2026-11-20", None, (), {"text": (100_001, 0)}, "0.0500005"),
    # Google: the mark of long prompts is 200,000.
    ("google", "gemini-2.5-pro", "2026-11-20", None, (), {"text": (200_000, 0)}, "0.25"),
    ("google", "models/gemini-2.5-pro", "2026-11-20", None, (), {"text": (300_000, 0)}, "0.75"),
    # xAI: 3,641 at 1.25, 2,048 read at 0.2, 444 at 2.5, two searches at 0.005; the recorded charge.
    (
        "x-ai",
        "grok-4.3",
        "2026-11-20",
        None,
        (),
        {"text": (3641, 444), "text_cache_read": (2048, 0), "web_search_request": (0, 2)},
        "0.01607085",
    ),
    # OpenRouter: a search at 0.01; recorded charges.
    (
        "openrouter",
        "openai/gpt-4.1-mini",
        "2026-11-20",
        None,
        (),
        {"text": (8174, 30), "web_search_request": (0, 1)},
        "0.0133176",
    ),
    (
        "openrouter",
        "openai/gpt-5.2",
        "2026-11-20",
        None,
        (),
        {"text": (16924, 485), "web_search_request": (0, 3)},
        "0.066407",
    ),
    # 5 at 0.25, 417 of text at 1.5, 1,120 of a picture at 30; a recorded charge.
    (
        "openrouter",
        "google/gemini-3.1-flash-lite-image",
        "2026-11-20",
        None,
        (),
        {"text": (5, 417), "image": (0, 1120)},
        "0.03422675",
    ),
    (
        "google",
        "gemini-3.1-flash-lite-image",
        "2026-11-20",
        None,
        (),
        {"text": (5, 417), "image": (0, 1120)},
        "0.03422675",
    ),
    # OpenAI before its rates changed on 2026-08-21: 8 at 5, 4,012 written at 6.25 or read at 0.5, 5 at 30; recorded charges.
    (
        "openai",
        "gpt-5.6-sol",
        "2026-07-17",
        "default",
        (),
        {"text": (8, 5), "text_cache_write": (4012, 0)},
        "0.025265",
    ),
    ("openai", "gpt-5.6-sol", "2026-07-17", "default", (), {"text": (8, 5), "text_cache_read": (4012, 0)}, "0.002196"),
    # Perplexity: tokens at 1, and the fee of a request that searches little; recorded as 0.00507.
    ("perplexity", "sonar", "2026-08-20", None, ("context:low",), {"text": (11, 62)}, "0.005073"),
    ("perplexity", "sonar-pro", "2026-08-20", None, ("context:high",), {"text": (0, M)}, "15.014"),
    # Pictures by tokens.
    ("openai", "gpt-image-1", "2025-08-01", None, (), {"image": (0, 272)}, "0.01088"),
    ("openai", "gpt-image-1", "2025-08-01", None, (), {"image": (0, 1056)}, "0.04224"),
    ("openai", "gpt-image-1", "2025-08-01", None, (), {"image": (0, 4160)}, "0.1664"),
    ("openai", "gpt-image-1.5", "2026-11-20", None, (), {"image": (0, 272)}, "0.008704"),
    ("openai", "gpt-image-1.5", "2026-11-20", None, (), {"image": (0, 1056)}, "0.033792"),
    ("openai", "gpt-image-1.5", "2026-11-20", None, (), {"image": (0, 4160)}, "0.13312"),
    # 30,000 searches at 0.01, and what they found: 3,000 tokens each at 1.25, or a fixed 8,000 at 0.4.
    (
        "openai",
        "gpt-5",
        "2026-11-20",
        None,
        (),
        {"text": (90 * M, 0), "web_search_request": (0, 30_000)},
        "412.50",
    ),
    (
        "openai",
        "gpt-4.1-mini",
        "2026-11-20",
        None,
        (),
        {"text": (240 * M, 0), "web_search_request": (0, 30_000)},
        "396",
    ),
    # A live session of 90 seconds at 0.05 a minute, and two searches.
    (
        "openai",
        "gpt-live-1",
        "2026-11-20",
        None,
        (),
        {"session_second": (90, 0), "web_search_request": (0, 2)},
        "0.095",
    ),
    # Speech: a minute heard, a thousand characters spoken; Groq bills ten seconds at least, at 0.111 an hour.
    ("openai", "whisper-1", "2026-11-20", None, (), {"audio_second": (60, 0)}, "0.006"),
    ("openai", "tts-1", "2026-11-20", None, (), {"text_character": (1000, 0)}, "0.015"),
    ("groq", "whisper-large-v3", "2026-11-20", None, (), {"audio_second": (10, 0)}, "0.0003083333"),
    ("openai", "text-embedding-3-small", "2026-11-20", None, (), {"text": (M, 0)}, "0.02"),
    ("openai", "gpt-4o-mini", "2026-11-20", None, (), {"text": (M, M)}, "0.75"),
    ("openai", "ft:gpt-4o-mini-2024-07-18:acme:live:x1", "2026-11-20", None, (), {"text": (M, M)}, "1.5"),
    # What genai-prices has no word for, by our own rates.
    ("openai", "gpt-6-sol", "2026-11-20", None, (), {"text_cache_write_12h": (M // 10, 0)}, "0.5"),
    ("openai", "gpt-6-sol", "2026-11-20", None, (), {"text_cache_write_12h": (M, 0)}, "10"),
    ("openai", "gpt-6-astra", "2026-11-20", "ultrafast", (), {"text": (1000, 1000)}, "0.36"),
    # Priority before genai-prices tells it: 2.5 and 20; 0.25 and 1.
    ("openai", "gpt-5-2025-08-07", "2025-12-01", "priority", (), {"text": (1000, 1000)}, "0.0225"),
    ("openai", "gpt-4o-mini-2024-07-18", "2025-12-01", "priority", (), {"text": (1000, 1000)}, "0.00125"),
    ("openai", "gpt-5.4", "2026-11-20", "batch", ("scope:region",), {"text": (1000, 1000)}, "0.009625"),
    ("openai", "gpt-4o", "2026-11-20", None, ("scope:region",), {"text": (1000, 1000)}, "0.0125"),
    ("openai", "dall-e-3", "2026-01-20", None, ("quality:hd", "size:1792x1024"), {"generated_image": (0, 1)}, "0.12"),
    (
        "openai",
        "dall-e-3",
        "2026-01-20",
        None,
        ("quality:standard", "size:1024x1024"),
        {"generated_image": (0, 1)},
        "0.04",
    ),
    ("openai", "sora-2-pro", "2026-01-20", None, ("size:1792x1024",), {"generated_video_second": (0, 8)}, "4"),
    ("openai", "container", "2026-06-01", None, ("memory:4g",), {"container_session_request": (0, 1)}, "0.12"),
    ("azure", "gpt-5", "2026-11-20", "priority", (), {"text": (1000, 1000)}, "0.0225"),
    ("azure", "gpt-4.1", "2026-11-20", "batch", ("scope:datazone",), {"text": (1000, 1000)}, "0.0055"),
    (
        "google",
        "gemini-2.5-pro",
        "2026-11-20",
        "ON_DEMAND_FLEX",
        (),
        {"text": (M // 10, 0), "text_cache_read": (M // 10, 0)},
        "0.075",
    ),
    ("google", "gemini-2.5-pro", "2026-11-20", "priority", (), {"text": (M // 10, 0)}, "0.225"),
    ("google", "claude-haiku-4-5@20251001", "2026-11-20", None, ("scope:region",), {"text": (M, M)}, "6.6"),
    ("google", "gemini-3-flash-preview", "2026-11-20", None, (), {"maps_request": (0, 3)}, "0.042"),
    (
        "google",
        "veo-3.1-generate-001",
        "2026-11-20",
        None,
        ("resolution:4k", "audio:yes"),
        {"generated_video_second": (0, 8)},
        "4.8",
    ),
    ("google", "lyria-002", "2026-11-20", None, (), {"generated_audio_second": (0, 30)}, "0.06"),
    # Long prompts of Sonnet 4.5 on Bedrock: 2 x 3.3 in, 1.5 x 16.5 out.
    (
        "aws",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "2026-11-20",
        None,
        (),
        {"text": (300_000, 1000)},
        "2.00475",
    ),
    ("cohere", "rerank-v3.5", "2026-11-20", None, (), {"rerank_search": (0, 3)}, "0.006"),
    (
        "groq",
        "openai/gpt-oss-120b",
        "2026-11-20",
        None,
        (),
        {"web_search_request": (0, 2), "visit_request": (0, 1)},
        "0.011",
    ),
    ("ollama", "qwen3:8b", "2026-11-20", None, (), {"text": (M, M), "reasoning": (0, M), "vision": (M, 0)}, "0"),
]


@pytest.mark.parametrize(("provider", "model", "date", "tier", "terms", "units", "usd"), EXAMPLES)
def test_worked_examples(
    prices: Prices,
    provider: str,
    model: str,
    date: str,
    tier: str | None,
    terms: tuple[str, ...],
    units: Units,
    usd: str,
) -> None:
    """The cost is the expected one, with nothing left out and nothing in doubt."""
    costed = cost_of(prices, provider, model, units, on(date), tier, terms=terms)

    assert costed.unpriced == ()
    assert costed.cost is not None
    assert costed.cost.total == Decimal(usd)


@pytest.mark.parametrize(("ticks", "usd"), [(37_756_000, "0.0037756"), (200_000_000, "0.02")])
def test_what_a_provider_states_is_the_cost(prices: Prices, ticks: int, usd: str) -> None:
    """xAI tells its charge in ticks of 10^-10 USD, as we count."""
    costed = cost_of(prices, "x-ai", "grok-4.3", {"text": (1, 1)}, on("2026-11-20"), stated_ticks=ticks)

    assert costed.source == "provider"
    assert costed.cost is not None
    assert costed.cost.total == Decimal(usd)
