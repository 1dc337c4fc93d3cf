"""The usage of Anthropic's messages as units that never overlap: caches beside the input, thinking within the output."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from ..events import Units, Unpriced
from ._json import Calls, Count, Name

__all__ = ["Usage", "merged", "units_of"]

_MARKS: Final = (100_000, 200_000)  # tokens of a prompt beyond which one Claude or another costs more


class _Creation(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Count | None = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: Calls | None = None


class _Tokens(msgspec.Struct, gc=False):
    """The counts of one sampling pass."""

    type: Name | None = None
    model: Name | None = None
    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: _Creation | None = None
    output_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None


class Usage(_Tokens, gc=False):
    server_tool_use: _ServerTools | None = None
    service_tier: Name | None = None
    speed: Name | None = None
    inference_geo: Name | None = None
    iterations: list[_Tokens] | None = None


def units_of(usage: Usage, model: str | None, faults: list[str]) -> tuple[Units, tuple[Unpriced, ...]]:
    """The units, and what has none; what is odd about them is added to `faults`."""
    units: Units = {"text": (0, 0)}
    others: tuple[Unpriced, ...] = ()
    if usage.iterations:
        others = _passes(usage, model, units, faults)
    else:
        _add(usage, units, faults)
    if usage.server_tool_use is not None and usage.server_tool_use.web_search_requests:
        units["web_search_request"] = (0, usage.server_tool_use.web_search_requests)
    return units, others


def _add(tokens: _Tokens, units: Units, faults: list[str]) -> None:
    """Adds the counts of one pass. Input is without the cached, which come beside it."""
    output = tokens.output_tokens or 0
    thinking = tokens.output_tokens_details.thinking_tokens or 0 if tokens.output_tokens_details is not None else 0
    if thinking > output:
        faults.append(f"usage tells {thinking} thinking of {output} output tokens: counted as {output}")
        thinking = output
    text_in, text_out = units["text"]
    units["text"] = (text_in + (tokens.input_tokens or 0), text_out + output - thinking)
    if thinking:
        units["reasoning"] = (0, units.get("reasoning", (0, 0))[1] + thinking)
    if tokens.cache_read_input_tokens:
        _add_input(units, "text_cache_read", tokens.cache_read_input_tokens)
    if tokens.cache_creation_input_tokens or tokens.cache_creation is not None:
        short, hour = _written(tokens, faults)
        _add_input(units, "text_cache_write", short)
        _add_input(units, "text_cache_write_1h", hour)


def _add_input(units: Units, unit: str, n: int) -> None:
    if n:
        units[unit] = (units.get(unit, (0, 0))[0] + n, 0)


def _written(tokens: _Tokens, faults: list[str]) -> tuple[int, int]:
    """Cache writes for 5 minutes and for an hour; what the split leaves out was written for 5 minutes."""
    split = tokens.cache_creation
    short = split.ephemeral_5m_input_tokens or 0 if split is not None else 0
    hour = split.ephemeral_1h_input_tokens or 0 if split is not None else 0
    total = tokens.cache_creation_input_tokens
    if total is not None and 0 < total < short + hour:
        faults.append(f"usage tells {total} written tokens and splits {short + hour}: counted as split")
    return max(short, (total or 0) - hour), hour


def _passes(usage: Usage, model: str | None, units: Units, faults: list[str]) -> tuple[Unpriced, ...]:
    """Sampling passes, whose sum the top level leaves out in part. Those of another model have another rate."""
    foreign: Counter[tuple[str, str]] = Counter()
    largest = 0
    for tokens in usage.iterations or ():
        parts: Units = {"text": (0, 0)}
        _add(tokens, parts, faults)
        if tokens.model is None or tokens.model == model:
            largest = max(largest, _prompt(parts))
            _add(tokens, units, [])
            continue
        for unit, (taken, made) in parts.items():
            foreign[unit, f"input tokens of another model within this call: {tokens.model}"] += taken
            foreign[unit, f"output tokens of another model within this call: {tokens.model}"] += made
    found = tuple(Unpriced(unit, n, why) for (unit, why), n in foreign.items() if n)
    if any(largest <= mark < _prompt(units) for mark in _MARKS):
        found += (Unpriced("long_context", 1, "the prompts of several passes are added up, which may raise the rate"),)
    return found


def _prompt(units: Units) -> int:
    return sum(taken for taken, _ in units.values())


def merged(first: Usage, last: Usage) -> Usage:
    """The last figures replace the first, member by member: they are cumulative, and null says nothing."""
    for name in first.__struct_fields__:
        value = getattr(last, name)
        if value is not None:
            setattr(first, name, value)
    return first
