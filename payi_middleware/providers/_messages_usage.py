"""The usage of Anthropic's messages as units that never overlap: caches beside the input, thinking within the output."""

from __future__ import annotations

from typing import Final

import msgspec

from ..events import Part, Units, Unpriced
from ._claude import costs_more_in_the_us
from ._json import Calls, Count, Name

__all__ = ["Creation", "Usage", "merged", "parts_of", "terms_of", "tier_of", "units_of"]

_IN_THE_US: Final = ("geo:us",)
_INPUT: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_NAMELESS: Final = Unpriced(
    "model", 1, "a pass before the fallback names no model; the rate of the model that answered used"
)


class Creation(msgspec.Struct, gc=False):
    """Cache writes by how long they are kept."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    thinking_tokens: Count | None = None


class _ServerTools(msgspec.Struct, gc=False):
    web_search_requests: Calls | None = None


class _Status(msgspec.Struct, gc=False):
    type: Name | None = None


class _Credit(msgspec.Struct, gc=False):
    status: _Status | None = None


class _Tokens(msgspec.Struct, gc=False):
    """The counts of one sampling pass."""

    type: Name | None = None
    model: Name | None = None
    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation: Creation | None = None
    output_tokens: Count | None = None
    output_tokens_details: _OutputDetails | None = None


class Usage(_Tokens, gc=False):
    server_tool_use: _ServerTools | None = None
    service_tier: Name | None = None
    speed: Name | None = None
    inference_geo: Name | None = None
    iterations: list[_Tokens] | None = None
    fallback_credit: _Credit | None = None


def tier_of(usage: Usage) -> str | None:
    """The tier as served; fast mode has rates of its own, so it is one."""
    return "fast" if usage.speed == "fast" else usage.service_tier


def terms_of(usage: Usage, model: str | None) -> tuple[str, ...]:
    """What else the rates of a model depend on: where it ran."""
    return _IN_THE_US if usage.inference_geo == "us" and costs_more_in_the_us(model) else ()


def units_of(usage: Usage, faults: list[str]) -> Units:
    """The units of the top level; what is odd about them is added to `faults`."""
    units = _units(usage, faults)
    if usage.server_tool_use is not None and usage.server_tool_use.web_search_requests:
        units["web_search_request"] = (0, usage.server_tool_use.web_search_requests)
    return units


def _units(tokens: _Tokens, faults: list[str]) -> Units:
    """The units of one pass. Input is without the cached, which come beside it."""
    output = tokens.output_tokens or 0
    thinking = tokens.output_tokens_details.thinking_tokens or 0 if tokens.output_tokens_details is not None else 0
    if thinking > output:
        faults.append(f"usage tells {thinking} thinking of {output} output tokens: counted as {output}")
        thinking = output
    units: Units = {"text": (tokens.input_tokens or 0, output - thinking)}
    if thinking:
        units["reasoning"] = (0, thinking)
    if tokens.cache_read_input_tokens:
        units["text_cache_read"] = (tokens.cache_read_input_tokens, 0)
    if tokens.cache_creation_input_tokens or tokens.cache_creation is not None:
        short, hour = _written(tokens, faults)
        if short:
            units["text_cache_write"] = (short, 0)
        if hour:
            units["text_cache_write_1h"] = (hour, 0)
    return units


def _written(tokens: _Tokens, faults: list[str]) -> tuple[int, int]:
    """Cache writes for 5 minutes and for an hour; what the split leaves out was written for 5 minutes."""
    split = tokens.cache_creation
    short = split.ephemeral_5m_input_tokens or 0 if split is not None else 0
    hour = split.ephemeral_1h_input_tokens or 0 if split is not None else 0
    total = tokens.cache_creation_input_tokens
    if total is not None and 0 < total < short + hour:
        faults.append(f"usage tells {total} written tokens and splits {short + hour}: counted as split")
    return max(short, (total or 0) - hour), hour


def parts_of(usage: Usage, model: str | None, faults: list[str]) -> tuple[tuple[Part, ...], tuple[Unpriced, ...]]:
    """The sampling passes as parts, and what is doubtful about them; no parts where the top level tells the same.

    The top level leaves out compactions, and passes of other models (an advisor); each has its own model, cache figures and
    prompt, by whose size long prompts are priced.
    """
    passes = usage.iterations or []
    if len(passes) == 1 and _is_top_level(passes[0], usage, model):
        return (), ()
    tier = tier_of(usage)
    fell_back = any(tokens.type == "fallback_message" for tokens in passes)
    parts: list[Part] = []
    doubts: tuple[Unpriced, ...] = ()
    for tokens in passes:
        if fell_back and tokens.type == "message":
            if not tokens.output_tokens:
                continue  # refused before it wrote anything, which is not billed
            doubts = doubts if tokens.model else (_NAMELESS,)
        foreign = tokens.model is not None and tokens.model != model
        # Speed and priority are those of the model that was asked; a batch is one for all.
        of_it = None if foreign and tier != "batch" else tier
        name = tokens.model if foreign else None
        parts.append(Part(name, _units(tokens, faults), of_it, terms_of(usage, tokens.model or model)))
    if usage.server_tool_use is not None and usage.server_tool_use.web_search_requests:
        parts.append(Part(None, {"web_search_request": (0, usage.server_tool_use.web_search_requests)}, tier))
    return tuple(parts), doubts


def _is_top_level(tokens: _Tokens, usage: Usage, model: str | None) -> bool:
    """Whether a pass is what the top level tells, which tells thinking besides."""
    return (
        (tokens.model is None or tokens.model == model)
        and tokens.input_tokens == usage.input_tokens
        and tokens.output_tokens == usage.output_tokens
        and (tokens.cache_read_input_tokens or 0) == (usage.cache_read_input_tokens or 0)
        and (tokens.cache_creation_input_tokens or 0) == (usage.cache_creation_input_tokens or 0)
    )


def merged(first: Usage, last: Usage) -> tuple[Usage, str | None]:
    """The last figures replace the first, member by member, null telling nothing; and what neither tells.

    They are cumulative. So 0 replaces no count of the input, unless the other counts have grown by as much (what was told as input
    turned out to be cached). Source: Claude's reference of streaming, "token counts in the usage field are cumulative".
    """
    untold = _grown(first, last)
    shrunk = _taken(last) < _taken(first)
    for name in first.__struct_fields__:
        value = getattr(last, name)
        if value is None or (shrunk and value == 0 and name in _INPUT and getattr(first, name)):
            continue
        setattr(first, name, value)
    return first, untold


def _taken(usage: Usage) -> int:
    return sum(getattr(usage, name) or 0 for name in _INPUT)


def _grown(first: Usage, last: Usage) -> str | None:
    """Puts cache writes that came later with the rest, if all of that is kept for an hour; says so where it is not known.

    A turn with tools of the server has several passes, each of which may write: the last event tells the sum alone.
    """
    split, total = first.cache_creation, last.cache_creation_input_tokens
    if split is None or total is None or last.cache_creation is not None:
        return None
    short, hour = split.ephemeral_5m_input_tokens or 0, split.ephemeral_1h_input_tokens or 0
    grown = total - short - hour
    if grown <= 0 or (short and not hour):
        return None
    if hour and not short:
        split.ephemeral_1h_input_tokens = hour + grown
        return None
    if last.iterations:  # each pass tells its own
        return None
    return f"how long {grown} tokens written to the cache are kept is not told: counted as 5 minutes"
