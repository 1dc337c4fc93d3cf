"""Our unit names (Pay-i's) in the dimensions by which genai-prices tells its units apart.

The rate of a unit is the price of the most specific unit of genai-prices that the model prices and whose dimensions are
all among these; `calc_price` comes to the same by subtracting more specific counts from less specific ones. So audio on
a model with one input rate costs the input rate, reasoning mostly the output rate, and a cache write on a model without
a write fee the input rate (OpenAI before GPT-5.6). A new unit is a row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ..events import Side

__all__ = ["INPUT_TOKENS", "MUST_KEEP", "MUST_KEEP_IF_AUDIO", "UNITS", "Dimensions"]

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
}

INPUT_TOKENS = frozenset(unit for unit, side in UNITS if side == "input" and UNITS[unit, side]["family"] == "tokens")
"""The units that together are the prompt, by whose size long-context rates are chosen."""

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
