"""The usage of OpenAI-shaped answers as units that never overlap.

Chat and embeddings say `prompt_tokens`, Responses `input_tokens`; the compatible hosts add members of
their own. Where the hosts differ in meaning, a `Dialect` says so. Sources: the providers' API references.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from ..events import Side, Units, Unpriced
from ..values import MONEY, ticks_of
from ._json import MOST_TOKENS, Calls, Count, Name, Ticks

__all__ = ["COUNTS_NOTHING", "OPENAI", "Dialect", "Usage", "stated", "told"]

COUNTS_NOTHING: Final = "usage counts nothing"
"""Why counts that are all 0 are none: an answer was made of something."""

_MOST_USD: Final = Decimal(10**6)
_MOST_SECONDS: Final = 10**6


class _WriteDetails(msgspec.Struct, gc=False):
    ttl_12h_tokens: Count | None = None


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    cache_write_tokens_details: _WriteDetails | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    video_tokens: Count | None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    video_tokens: Count | None = None


class _Tools(msgspec.Struct, gc=False):
    web_search_requests: Calls | None = None
    web_search_calls: Calls | None = None
    x_search_calls: Calls | None = None
    code_interpreter_calls: Calls | None = None
    file_search_calls: Calls | None = None
    document_search_calls: Calls | None = None
    image_generation_calls: Calls | None = None
    tool_calls_executed: Calls | None = None


class _CostParts(msgspec.Struct, gc=False):
    total_cost: Decimal | None = None
    upstream_inference_cost: Decimal | None = None


class Usage(msgspec.Struct, gc=False):
    """Every member that one of the OpenAI-shaped hosts counts with."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    cached_tokens: Count | None = None  # Together, Moonshot
    cached_input_tokens: Count | None = None  # Inception
    cache_read_input_tokens: Count | None = None  # Claude's by gateways, beside the prompt or within it
    cache_creation_input_tokens: Count | None = None
    reasoning_tokens: Any = None  # Inception, which counts them on top; Perplexity's are read elsewhere
    prompt_cache_hit_tokens: Count | None = None  # DeepSeek
    prompt_audio_seconds: Any = None  # Mistral; an empty object where there is no audio
    server_tool_use_details: _Tools | None = None  # OpenRouter
    server_side_tool_usage_details: _Tools | None = None  # xAI
    service_tier: Name | None = None
    cost: Decimal | _CostParts | None = None  # OpenRouter: a number; Perplexity: an object
    cost_details: _CostParts | None = None
    is_byok: bool | None = None
    cost_in_usd_ticks: Ticks | None = None  # xAI


class Dialect(msgspec.Struct, frozen=True):
    """In what a host differs from OpenAI."""

    cached_may_be_extra: bool = False
    """More cached than prompt tokens are not a contradiction but come on top (xAI's models on Azure)."""
    rest_is_reasoning: bool = False
    """Tokens that only `total_tokens` counts are thoughts (Gemini's compatible endpoint)."""
    rest_is_audio: bool = False
    """Tokens that only `total_tokens` counts are audio that was heard, and is billed by its length (Mistral's Voxtral)."""
    thoughts_are_extra: bool = False
    """More reasoning than completion tokens are not a contradiction but come on top, of the total too (Gemini's by Vercel)."""
    writes_may_overlap: bool = False
    """What is written to the cache may be read from it at once, both being told in full (Gemini's by OpenRouter)."""


OPENAI: Final = Dialect()


Told: TypeAlias = tuple[Units | None, str | None, tuple[Unpriced, ...]]
"""Units, or None where the usage counts nothing; what is odd about it; what the units leave out."""


def told(usage: Usage, dialect: Dialect) -> Told:
    """What a usage tells. Text, cached and reasoning tokens, all that most answers have, take no further call."""
    prompt = usage.prompt_tokens
    completion = usage.completion_tokens
    if prompt is None or completion is None:
        prompt, completion = _totals(usage)
        if prompt is None:
            return None, "usage has no token counts", ()
    inputs = usage.prompt_tokens_details or usage.input_tokens_details
    outputs = usage.completion_tokens_details or usage.output_tokens_details
    if inputs is None or outputs is None:
        return _told_fully(usage, prompt, completion, dialect, inputs, outputs)
    cached = inputs.cached_tokens
    reasoning = outputs.reasoning_tokens or 0
    if (
        not prompt
        or cached is None
        or cached > prompt
        or (reasoning and reasoning > completion)
        or usage.total_tokens != prompt + completion
        or inputs.audio_tokens
        or inputs.cache_write_tokens
        or inputs.image_tokens
        or inputs.video_tokens
        or outputs.audio_tokens
        or outputs.image_tokens
        or outputs.video_tokens
        or usage.server_tool_use_details
        or usage.server_side_tool_usage_details
        or usage.prompt_audio_seconds
        or usage.cache_read_input_tokens
        or usage.cache_creation_input_tokens
    ):
        return _told_fully(usage, prompt, completion, dialect, inputs, outputs)
    units: Units = {"text": (prompt - cached, completion - reasoning)}
    if cached:
        units["text_cache_read"] = (cached, 0)
    if reasoning:
        units["reasoning"] = (0, reasoning)
    return units, None, ()


def _totals(usage: Usage) -> tuple[int | None, int]:
    """Input and output by whichever names the host uses."""
    prompt = usage.prompt_tokens if usage.prompt_tokens is not None else usage.input_tokens
    completion = usage.completion_tokens if usage.completion_tokens is not None else usage.output_tokens or 0
    if prompt is None and usage.total_tokens is not None:
        prompt = max(usage.total_tokens - completion, 0)  # Voyage tells the total alone
    return prompt, completion


def _told_fully(
    usage: Usage,
    prompt: int,
    completion: int,
    dialect: Dialect,
    inputs: _InputDetails | None,
    outputs: _OutputDetails | None,
) -> Told:
    units: Units = {"text": (0, 0)}
    faults: list[str] = []
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    if read or written:  # Anthropic's names, passed on by a gateway
        if usage.total_tokens == prompt + completion + read + written:
            prompt += read + written  # as Portkey does for Anthropic: they stand beside the prompt, the total has them
        inputs = inputs or _InputDetails()
        if read + written <= prompt and inputs.cached_tokens in (None, read) and not inputs.cache_write_tokens:
            inputs = msgspec.structs.replace(inputs, cached_tokens=read, cache_write_tokens=written)
    text_in = _input(usage, prompt, inputs, dialect, units, faults)
    text_out = _output(usage, prompt, completion, outputs, dialect, units, faults)
    units["text"] = (text_in, text_out)
    unpriced = _rest_heard(usage, prompt, completion, units) if dialect.rest_is_audio else ()
    unpriced += _unpriced(usage, inputs, units)
    if not (prompt or completion or unpriced or any(map(any, units.values()))):
        return None, COUNTS_NOTHING, ()
    return units, "; ".join(faults) or None, unpriced


def _input(
    usage: Usage, prompt: int, details: _InputDetails | None, dialect: Dialect, units: Units, faults: list[str]
) -> int:
    """Puts the parts of the input into `units`; gives what is left as text."""
    cached = details.cached_tokens if details is not None else None
    if cached is None:
        # Mistral's num_cached_tokens, of early 2026, is from before it billed cached tokens otherwise; see prompt_tokens_details.
        cached = usage.prompt_cache_hit_tokens or usage.cached_tokens or usage.cached_input_tokens or 0
    if cached > prompt:
        if dialect.cached_may_be_extra:
            prompt += cached
        else:
            faults.append(f"usage tells {cached} cached of {prompt} input tokens: counted as {prompt}")
            cached = prompt
    if cached:
        units["text_cache_read"] = (cached, 0)
    if details is None:
        return prompt - cached
    written = details.cache_write_tokens
    if dialect.writes_may_overlap and written is not None and written > prompt - cached:
        units["text_cache_write"], written = (written, 0), None
    parts = {
        "text_cache_write": written,
        "audio": None if dialect.rest_is_audio else details.audio_tokens,  # what is no part of the prompt is none here
        "vision": details.image_tokens,
        "video": details.video_tokens,
    }
    return _part(parts, prompt - cached, "input", units, faults, cached)


def _output(
    usage: Usage,
    prompt: int,
    completion: int,
    details: _OutputDetails | None,
    dialect: Dialect,
    units: Units,
    faults: list[str],
) -> int:
    """Puts the parts of the output into `units`; gives what is left as text."""
    total = usage.total_tokens
    reasoning = details.reasoning_tokens or 0 if details is not None else 0
    if not reasoning and total is not None and total == prompt + completion + _beside(usage.reasoning_tokens):
        reasoning = _beside(usage.reasoning_tokens)
    rest = completion
    if dialect.rest_is_reasoning and total is not None and total > prompt + completion:
        reasoning = total - prompt - completion
    elif (
        not reasoning
        and total is not None
        and total > prompt + completion
        and not _is_extra(usage, prompt, dialect, units)
    ):
        faults.append(
            f"usage tells {total} tokens, {total - prompt - completion} more than it names: those are not counted"
        )
    elif not reasoning or total == prompt + completion + reasoning:
        pass  # xAI's chat counts reasoning on top of completion_tokens, as its total shows
    elif reasoning > completion:
        if total == prompt + completion and not dialect.thoughts_are_extra:  # some count thoughts by another tokenizer
            faults.append(f"usage tells {reasoning} reasoning of {completion} output tokens: counted as {completion}")
            reasoning, rest = completion, 0
        else:
            faults.append(f"usage tells {reasoning} reasoning of {completion} output tokens: counted on top of them")
    else:
        rest -= reasoning
    if reasoning:
        units["reasoning"] = (0, reasoning)
    if details is None:
        return rest
    parts = {"audio": details.audio_tokens, "image": details.image_tokens, "video": details.video_tokens}
    return _part(parts, rest, "output", units, faults)


_SEEN: Final = ("vision", "video")


def _is_extra(usage: Usage, prompt: int, dialect: Dialect, units: Units) -> bool:
    """Whether what a total has more than its parts is counted elsewhere: audio that was heard, cached tokens on top."""
    on_top = dialect.cached_may_be_extra and units.get("text_cache_read", (0, 0))[0] > prompt
    return on_top or dialect.rest_is_audio or bool(usage.prompt_audio_seconds)


def _beside(told: object) -> int:
    """Thoughts that a host counts beside the other tokens; 0 for anything that is no count."""
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= MOST_TOKENS else 0


def _part(parts: dict[str, int | None], rest: int, side: Side, units: Units, faults: list[str], cached: int = 0) -> int:
    """Takes each part out of what is left, and never more than is left. A picture may be among what was cached."""
    for unit, part in parts.items():
        if not part:
            continue
        if part > rest + (cached if unit in _SEEN else 0):
            faults.append(f"usage tells {part} {unit} tokens where {rest} {side} tokens are left: counted as {rest}")
        if not (part := min(part, rest)):
            continue
        before = units.get(unit, (0, 0))
        units[unit] = (part, before[1]) if side == "input" else (before[0], part)
        rest -= part
    return rest


def _unpriced(usage: Usage, details: _InputDetails | None, units: Units) -> tuple[Unpriced, ...]:
    """What the counts leave out. Puts web searches into `units`."""
    found: tuple[Unpriced, ...] = ()
    written = details.cache_write_tokens_details if details is not None else None
    if written is not None and written.ttl_12h_tokens:
        _keep_apart(written.ttl_12h_tokens, units)
    if usage.prompt_audio_seconds and "audio_second" not in units:
        found += _heard(usage.prompt_audio_seconds)
    tools = usage.server_tool_use_details or usage.server_side_tool_usage_details
    return found if tools is None else found + _tools(tools, units)


def _keep_apart(for_12h: int, units: Units) -> None:
    """Takes the cache writes that are kept for 12 hours, at a rate of their own, out of all of them."""
    written, _ = units.pop("text_cache_write", (0, 0))
    longer = min(for_12h, written)
    if longer:
        units["text_cache_write_12h"] = (longer, 0)
    if written > longer:
        units["text_cache_write"] = (written - longer, 0)


def _seconds(told: object) -> int:
    """Whole seconds of audio; 0 for the empty object that stands where there is none."""
    return told if isinstance(told, int) and told is not True and 0 < told <= _MOST_SECONDS else 0


def _heard(told: object) -> tuple[Unpriced, ...]:
    seconds = _seconds(told)
    return (Unpriced("audio_second", seconds, "audio input is billed by its length"),) if seconds else ()


def _rest_heard(usage: Usage, prompt: int, completion: int, units: Units) -> tuple[Unpriced, ...]:
    """Puts the seconds of audio into `units`; its tokens, which no rate is for, stand only in the total."""
    seconds = _seconds(usage.prompt_audio_seconds)
    if seconds:
        units["audio_second"] = (seconds, 0)
        return ()
    rest = (usage.total_tokens or 0) - prompt - completion
    return (Unpriced("audio", rest, "audio input is billed by its length, which is not told"),) if rest > 0 else ()


_TOOLS: Final = {
    "web_search_calls": "web_search_request",
    "web_search_requests": "web_search_request",
    "x_search_calls": "x_search_request",
    "code_interpreter_calls": "code_execution_request",
    "file_search_calls": "file_search_request",
    "document_search_calls": "document_search_request",
}
"""What xAI and OpenRouter count -> our unit. xAI's MCP and image tools cost their tokens."""


def _tools(tools: _Tools, units: Units) -> tuple[Unpriced, ...]:
    for name, unit in _TOOLS.items():
        calls = getattr(tools, name)
        if calls:
            units[unit] = (0, calls)
    found: tuple[Unpriced, ...] = ()
    if tools.image_generation_calls:
        found += (
            Unpriced("image_generation_call", tools.image_generation_calls, "a tool of the provider's without a unit"),
        )
    others = (tools.tool_calls_executed or 0) - (tools.web_search_requests or 0)
    if others > 0:
        found += (Unpriced("tool_call", others, "tools of the router's whose models and fees are not told"),)
    return found


def stated(usage: Usage) -> int | None:
    """What the host itself says it took: xAI in the very ticks we use, OpenRouter and Perplexity in USD.

    Whatever host it is, since a gateway may stand behind the name of any. With a key of one's own, what the provider
    behind OpenRouter takes comes on top. No ticks at all are no charge that anybody counted: so Azure's streams of xAI's models
    have it, which Azure bills by its own list.
    """
    if usage.cost_in_usd_ticks:
        return usage.cost_in_usd_ticks
    cost = usage.cost
    if isinstance(cost, _CostParts):
        return None if cost.total_cost is None else _ticks(cost.total_cost, None)
    if cost is None or not usage.is_byok:
        return None if cost is None else _ticks(cost, None)
    upstream = usage.cost_details.upstream_inference_cost if usage.cost_details is not None else None
    return None if upstream is None else _ticks(cost, upstream)


def _ticks(cost: Decimal, more: Decimal | None) -> int | None:
    for amount in (cost,) if more is None else (cost, more):
        if not (amount.is_finite() and 0 <= amount <= _MOST_USD):
            return None
    return ticks_of(cost if more is None else MONEY.add(cost, more))
