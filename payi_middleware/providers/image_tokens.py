"""The tokens of an image by its size, by the formulas of the model families.

OpenAI counts tiles of 512 pixels or patches of 32, Anthropic patches of 28, Gemini tiles (2.0) or a sum by resolution
(2.5 and later). The rules are those of OpenAI's "Images and vision" guide, Anthropic's "Vision" and Google's "Media
resolution" pages, as of November 2026; where a recorded call was billed differently than its page says, the factor is
the recorded one. Pure: sizes in, tokens out.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Final, NamedTuple

__all__ = ["image_tokens"]


class _Tiles(NamedTuple):
    """OpenAI's older models: a base for every image, and so much for each tile of 512 x 512."""

    base: int
    tile: int


class _Patches(NamedTuple):
    """OpenAI's newer models: one token for a patch of 32 x 32, times a factor."""

    factor: Fraction
    most: int = 1536
    """Patches, at most, unless the detail is `original`."""
    most_original: int = 1536


_TILES: Final = (
    (r"gpt-4o-mini", _Tiles(2833, 5667)),
    (r"gpt-4o|gpt-4\.1(?!-mini|-nano)|gpt-4\.5", _Tiles(85, 170)),
    (r"gpt-5(?:-chat|-20\d\d|$)", _Tiles(70, 140)),
    (r"o1(?:-pro|-20\d\d|$)|o3(?:-20\d\d|$)", _Tiles(75, 150)),
    (r"computer-use-preview", _Tiles(65, 129)),
)
_PATCHES: Final = (
    (r"gpt-4\.1-mini", _Patches(Fraction("1.62"))),
    (r"gpt-4\.1-nano", _Patches(Fraction("2.46"))),
    (r"o4-mini|codex-mini", _Patches(Fraction("1.72"))),
    (r"gpt-5-mini", _Patches(Fraction("1.2"))),  # listed as 1.62, recorded as 1.2
    (r"gpt-5-nano", _Patches(Fraction("1.5"))),  # listed as 2.46, recorded as 1.5
    (r"gpt-5\.[23]", _Patches(Fraction("1.2"))),
    (r"gpt-5\.[4-9]|gpt-[6-9]", _Patches(Fraction("1.2"), 2500, 10_000)),
)
_OPENAI: Final = tuple((re.compile(rf"(?:^|[/:])(?:{names})"), rule) for names, rule in (*_TILES, *_PATCHES))

_CLAUDE: Final = re.compile(r"claude(?:-[a-z]+)?-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_LARGER: Final = (4, 7)  # the generation since which Claude takes larger images
_GEMINI: Final = re.compile(r"gemini-(?:[a-z]+-)?(\d+)(?:\.(\d+))?")
_RESOLUTIONS: Final = {"low": 280, "medium": 560, "high": 1120, "ultra_high": 2240}
"""Gemini 3 and later, at most; recorded at the default: 1081 to 1102."""


def image_tokens(model: str, width: int, height: int, detail: str | None = None) -> int | None:
    """The tokens of an image that goes into a model; None where its family publishes no formula that we know.

    Args:
        model: The model's name, with or without a maker before it.
        width: Pixels.
        height: Pixels.
        detail: OpenAI's `detail` or the last words of Gemini's `MEDIA_RESOLUTION_`, in lower case; None for the default.
    """
    if width < 1 or height < 1:
        return None
    name = model.lower()
    for names, rule in _OPENAI:
        if names.search(name):
            return (
                _tiled(rule, width, height, detail)
                if isinstance(rule, _Tiles)
                else _patched(rule, width, height, detail)
            )
    if "claude" in name:
        return _anthropic(name, width, height)
    if "gemini" in name:
        return _gemini(name, width, height, detail)
    return None


def _tiled(rule: _Tiles, width: int, height: int, detail: str | None) -> int:
    """Fitted into 2048 x 2048, then to a short side of 768, and cut into tiles."""
    if detail == "low":
        return rule.base
    long, short = max(width, height), min(width, height)
    scale = min(Fraction(1), Fraction(2048, long), Fraction(768, short))
    return rule.base + rule.tile * math.ceil(width * scale / 512) * math.ceil(height * scale / 512)


def _patched(rule: _Patches, width: int, height: int, detail: str | None) -> int | None:
    if detail == "low":
        return None  # no page tells how these models shrink an image
    most = rule.most_original if detail == "original" else rule.most
    return math.ceil(_patches(width, height, 32, most) * rule.factor)


def _patches(width: int, height: int, side: int, most: int) -> int:
    """Patches of an image; one that has too many is shrunk until its patches are whole along one side."""
    wide, high = -(-width // side), -(-height // side)
    if wide * high <= most:
        return wide * high
    wide, high = max(math.isqrt(most * width // height), 1), max(math.isqrt(most * height // width), 1)
    if wide * height <= high * width:  # the width loses more by being cut to whole patches
        high = -(-height * wide // width)
    else:
        wide = -(-width * high // height)
    return min(wide * high, most)


def _anthropic(name: str, width: int, height: int) -> int | None:
    """Patches of 28 after fitting into the generation's long side and number of patches."""
    found = _CLAUDE.search(name)
    if found is None:
        return None
    version = (int(found[1]), int(found[2] or 0))
    longest, most = (2576, 4784) if version >= _LARGER else (1568, 1568)
    scale = min(Fraction(1), Fraction(longest, max(width, height)))
    return _patches(math.ceil(width * scale), math.ceil(height * scale), 28, most)


def _gemini(name: str, width: int, height: int, detail: str | None) -> int | None:
    found = _GEMINI.search(name)
    if found is None:
        return None
    version = (int(found[1]), int(found[2] or 0))
    if version >= (3, 0):
        return _RESOLUTIONS.get(detail or "high", _RESOLUTIONS["high"])
    if version >= (2, 5):
        return (
            258 if max(width, height) <= 640 and detail is None else None
        )  # recorded up to this size, and stated nowhere
    return _gemini_tiled(width, height) if version == (2, 0) else None


def _gemini_tiled(width: int, height: int) -> int:
    if max(width, height) <= 384:
        return 258
    unit = min(max(math.floor(min(width, height) / 1.5), 256), 768)
    return 258 * (math.ceil(width / unit) * math.ceil(height / unit) + 1)
