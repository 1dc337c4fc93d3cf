"""The tokens of a picture that GPT Image models make, where no usage was told: by size and quality.

Source: OpenAI's image generation guide, table of output tokens (gpt-image-1, gpt-image-1-mini, gpt-image-1.5), read
2026-11. Later models count otherwise and are in no table: their usage has to be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["COUNTED_BY_TABLE", "PARTIAL", "drawn_tokens"]

PARTIAL: Final = 100
"""Tokens of a partial picture of a stream."""

COUNTED_BY_TABLE: Final = "the tokens of pictures are counted by size and quality"

_FAMILY: Final = re.compile(r"(?:.*/)?gpt-image-1(?:-mini|\.5)?(?:-20\d\d-\d\d-\d\d)?$")

_TABLE: Final[Mapping[str, Mapping[str, int]]] = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1056, "1024x1536": 1584, "1536x1024": 1568},
    "high": {"1024x1024": 4160, "1024x1536": 6240, "1536x1024": 6208},
}

# What a model chooses by itself is not told by a request: the middle of what there is.
_AUTO_QUALITY: Final = "medium"
_AUTO_SIZE: Final = "1024x1024"


def drawn_tokens(model: str | None, size: str | None, quality: str | None) -> int | None:
    """The output tokens of one picture; None for a model or a size that is in no table."""
    if model is None or _FAMILY.match(model) is None:
        return None
    by_size = _TABLE.get(_AUTO_QUALITY if quality in (None, "", "auto") else quality or "")
    return None if by_size is None else by_size.get(_AUTO_SIZE if size in (None, "", "auto") else size or "")
