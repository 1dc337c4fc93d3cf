"""Our unit names (Pay-i's) in the dimensions by which genai-prices tells its units apart.

The rate of a unit is the price of the most specific unit of genai-prices that the model prices and whose dimensions are
all among these; `calc_price` comes to the same by subtracting more specific counts from less specific ones. So audio on
a model with one input rate costs the input rate, reasoning mostly the output rate, and a cache write on a model without
a write fee the input rate (OpenAI before GPT-5.6). A new unit is a row here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TypeAlias

from ..events import Side

__all__ = ["ELSE", "INPUT_TOKENS", "MUST_KEEP", "MUST_KEEP_IF_AUDIO", "UNITS", "Dimensions", "is_known", "is_tokens"]

Dimensions: TypeAlias = Mapping[str, str]


def _tokens(side: Side, modality: str, kind: str | None = None, **more: str) -> Dimensions:
    plain = {"family": "tokens", "direction": side, "modality": modality, **more}
    return plain if kind is None else {**plain, "token_type": kind}


_WEB_SEARCH: Dimensions = {"family": "tool_calls", "tool_type": "web_search"}

UNITS: Mapping[tuple[str, Side], Dimensions] = {
    ("text", "input"): _tokens("input", "text"),
    ("text", "output"): _tokens("output", "text"),
    ("text_cache_read", "input"): _tokens("input", "text", "cache_read"),
    # 5 minutes is also what a write that names no time means (Anthropic); OpenAI's 30 minutes have one rate, no name.
    ("text_cache_write", "input"): _tokens("input", "text", "cache_write", cache_ttl="5m"),
    ("text_cache_write_1h", "input"): _tokens("input", "text", "cache_write", cache_ttl="1h"),
    ("reasoning", "output"): _tokens("output", "text", "reasoning"),
    ("audio", "input"): _tokens("input", "audio"),
    ("audio", "output"): _tokens("output", "audio"),
    ("audio_cache_read", "input"): _tokens("input", "audio", "cache_read"),
    # Pay-i calls an image that goes in `vision` and one that comes out `image`; a reader may keep `image` for both.
    ("vision", "input"): _tokens("input", "image"),
    ("vision_cache_read", "input"): _tokens("input", "image", "cache_read"),
    ("image", "input"): _tokens("input", "image"),
    ("image", "output"): _tokens("output", "image"),
    ("image_cache_read", "input"): _tokens("input", "image", "cache_read"),
    ("video", "input"): _tokens("input", "video"),
    ("video", "output"): _tokens("output", "video"),
    ("video_cache_read", "input"): _tokens("input", "video", "cache_read"),
    # Pay-i counts searches on the output side; a manual event may say it otherwise.
    ("web_search_request", "input"): _WEB_SEARCH,
    ("web_search_request", "output"): _WEB_SEARCH,
    ("x_search_request", "output"): {"family": "tool_calls", "tool_type": "social_search"},
    ("file_search_request", "output"): {"family": "tool_calls", "tool_type": "storage_search"},
    ("code_execution_request", "output"): {"family": "tool_calls", "tool_type": "code_execution"},
    ("citation", "output"): _tokens("output", "text", "citation"),
    ("audio_second", "input"): {"family": "durations", "direction": "input", "modality": "audio"},
    ("audio_second", "output"): {"family": "durations", "direction": "output", "modality": "audio"},
    ("text_character", "input"): {"family": "characters", "direction": "input"},
    ("document_page", "input"): {"family": "document_pages", "direction": "input"},
    ("annotated_document_page", "input"): {
        "family": "document_pages",
        "direction": "input",
        "page_type": "annotated",
    },
    ("rerank_search", "output"): {"family": "rerank"},
}

_OURS: frozenset[tuple[str, Side]] = frozenset(
    {
        ("request", "input"),  # a fee for each call
        ("text_cache_write_12h", "input"),
        ("session_second", "input"),
        ("embedded_image", "input"),
        ("text_character", "output"),  # PaLM was billed by characters both ways
        ("classification_request", "output"),
        ("maps_request", "output"),
        ("visit_request", "output"),
        ("document_search_request", "output"),
        ("web_source_request", "output"),
        ("container_session_request", "output"),
        ("generated_image", "output"),
        ("generated_video_second", "output"),
        ("generated_audio_second", "output"),
    }
)
"""What genai-prices has no word for."""


def is_known(unit: str, side: Side) -> bool:
    """Whether a unit is one that readers count, so that a rate for it can ever be used."""
    return (unit, side) in UNITS or (unit, side) in _OURS or (side == "input" and unit.startswith("guardrail_"))


INPUT_TOKENS = frozenset(
    {unit for unit, side in UNITS if side == "input" and UNITS[unit, side]["family"] == "tokens"}
    | {"text_cache_write_12h"}
)
"""The units that together are the prompt, by whose size long-context rates are chosen."""

ELSE: Mapping[tuple[str, Side], tuple[str, ...]] = {
    ("reasoning", "output"): ("text",),
    ("text_cache_read", "input"): ("text",),
    ("text_cache_write", "input"): ("text",),
    ("vision", "input"): ("image", "text"),
    ("image", "input"): ("vision", "text"),
    ("audio", "input"): ("text",),
    ("video", "input"): ("text",),
    ("vision_cache_read", "input"): ("text_cache_read", "vision", "text"),
    ("image_cache_read", "input"): ("text_cache_read", "image", "text"),
    ("audio_cache_read", "input"): ("text_cache_read", "audio", "text"),
    ("video_cache_read", "input"): ("text_cache_read", "video", "text"),
}
"""Whose rate a unit takes where it has none, as the ladders of genai-prices go: for models that only our own rows know."""

_NOT_TOKENS = ("_request", "_call", "_page", "_second", "_minute", "_hour", "_character", "_image", "_search")


@functools.lru_cache(maxsize=1024)
def is_tokens(unit: str) -> bool:
    """Whether a unit counts tokens: others end with what they count."""
    return unit != "request" and not unit.endswith(_NOT_TOKENS) and not unit.startswith("guardrail_")


MUST_KEEP: Mapping[tuple[str, Side], str] = {
    ("text_cache_write_1h", "input"): "cache_ttl",  # an hour is billed at 2 x input, 5 minutes at 1.25 x
    ("audio", "output"): "modality",  # made audio, images and video cost 2 to 20 x the text
    ("image", "output"): "modality",
    ("video", "output"): "modality",
}
"""Unit -> the dimension that its rate must be made for. A rate without it is used, as `calc_price` does, and said."""

MUST_KEEP_IF_AUDIO: Mapping[tuple[str, Side], str] = {
    ("audio", "input"): "modality",  # heard audio costs 5 to 16 x the text, where a model is made for it
    ("audio_cache_read", "input"): "modality",
}
"""The same for models that are made for audio; any other may well have one rate for all that goes in."""
