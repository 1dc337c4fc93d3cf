"""Usage that is told by modality: pictures, transcriptions, speech, realtime and the image tool count alike.

    {"input_tokens": 60, "input_tokens_details": {"text_tokens": 10, "image_tokens": 50, "cached_tokens": 0},
     "output_tokens": 1056, "output_tokens_details": {"image_tokens": 1056, "text_tokens": 0}}

Transcriptions and realtime write `input_token_details`. Source: OpenAI's API reference, usage of each endpoint.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeAlias

import msgspec

from ..events import Side, Units
from ._json import Count
from ._openai_usage import COUNTS_NOTHING

__all__ = ["ModalUsage", "Seconds", "told_by_modality", "whole_seconds"]

Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=10**7)]
"""A length in seconds; ten million of them are 116 days."""


class _Cached(msgspec.Struct, gc=False):
    text_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    cached_text_tokens: Count | None = None  # the image tool names them so
    cached_image_tokens: Count | None = None


class _Input(msgspec.Struct, gc=False):
    text_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    cached_tokens: Count | None = None
    cached_tokens_details: _Cached | None = None


class _Output(msgspec.Struct, gc=False):
    text_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class ModalUsage(msgspec.Struct, gc=False):
    """Every member that one of these endpoints counts with."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    input_tokens_details: _Input | None = None
    output_tokens_details: _Output | None = None
    input_token_details: _Input | None = None
    output_token_details: _Output | None = None
    cached_tokens: Count | None = None
    cached_tokens_details: _Cached | None = None
    type: str | None = None
    seconds: Seconds | None = None


_FEWEST_DETAILS: Final = _Input()


def told_by_modality(usage: ModalUsage, made: str = "text") -> tuple[Units | None, str | None]:
    """The units of a usage, or None; and what is odd about it.

    Args:
        usage: As it was told.
        made: The unit of output that no detail names: `image` where pictures are made, `audio` where speech is.
    """
    if usage.seconds is not None and usage.input_tokens is None:
        return {"audio_second": (whole_seconds(usage.seconds), 0)}, None
    if usage.input_tokens is None and usage.output_tokens is None:
        return None, "usage has no token counts"
    units: Units = {}
    faults: list[str] = []
    _take_input(usage, units, faults)
    _take_output(usage, made, units, faults)
    if not units:
        return None, COUNTS_NOTHING
    return units, "; ".join(faults) or None


def whole_seconds(seconds: float) -> int:
    """A length as it is billed, each second begun; a hair above a whole one is how machines write it."""
    return math.ceil(round(seconds, 3))


def _take_input(usage: ModalUsage, units: Units, faults: list[str]) -> None:
    details = usage.input_tokens_details or usage.input_token_details or _FEWEST_DETAILS
    parts = {"audio": details.audio_tokens or 0, "vision": details.image_tokens or 0}
    total = usage.input_tokens or 0
    rest = _within(total - sum(parts.values()), "input", total, faults)
    cached = details.cached_tokens_details or usage.cached_tokens_details or _Cached()
    hits = {
        "audio": cached.audio_tokens or 0,
        "vision": cached.image_tokens or cached.cached_image_tokens or 0,
        "text": cached.text_tokens or cached.cached_text_tokens or 0,
    }
    unsplit = details.cached_tokens or usage.cached_tokens or 0
    if not any(hits.values()):
        hits["text"] = min(unsplit, rest)  # which modality is told nowhere: the rest is of the others
        hits["audio"] = min(unsplit - hits["text"], parts["audio"])
    for unit, amount in (("text", rest), *parts.items()):
        hit = min(hits[unit], amount)
        _add(units, unit, "input", amount - hit)
        _add(units, f"{unit}_cache_read", "input", hit)


def _take_output(usage: ModalUsage, made: str, units: Units, faults: list[str]) -> None:
    details = usage.output_tokens_details or usage.output_token_details
    total = usage.output_tokens or 0
    if details is None:
        _add(units, made, "output", total)
        return
    parts = {"audio": details.audio_tokens or 0, "image": details.image_tokens or 0}
    reasoning = details.reasoning_tokens or 0
    text = details.text_tokens or 0
    rest = _within(total - sum(parts.values()) - text - reasoning, "output", total, faults)
    for unit, amount in (*parts.items(), ("reasoning", reasoning), ("text", text), (made, rest)):
        _add(units, unit, "output", amount)


def _within(rest: int, side: Side, total: int, faults: list[str]) -> int:
    """What no detail names; details beyond the total are billed, and said."""
    if rest < 0:
        faults.append(f"usage tells {total - rest} {side} tokens by modality and {total} in all: counted by modality")
    return max(rest, 0)


def _add(units: Units, unit: str, side: Side, amount: int) -> None:
    if amount:
        taken, given = units.get(unit, (0, 0))
        units[unit] = (taken + amount, given) if side == "input" else (taken, given + amount)
