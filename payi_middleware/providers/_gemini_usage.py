"""The usage of Gemini's answers as units that never overlap: counts by modality, thoughts beside the output."""

from __future__ import annotations

from typing import Final

import msgspec

from ..events import Side, Units
from ._json import Count, Name

__all__ = ["ModalityTokens", "Usage", "tier_of", "units_of"]

# What is priced by itself, as Pay-i names it for the input; a document is priced as text. With `enum-encoding=int` the
# names are numbers.
_MODALITIES: Final[dict[str | int, str]] = {
    "TEXT": "text",
    "DOCUMENT": "text",
    "IMAGE": "vision",
    "AUDIO": "audio",
    "VIDEO": "video",
    1: "text",
    2: "vision",
    3: "video",
    4: "audio",
    5: "text",
}

# Vertex names the tier by traffic. Provisioned throughput has no price a token.
_TIERS: Final = {
    "on_demand": "standard",
    "on_demand_flex": "flex",
    "on_demand_priority": "priority",
    "on_demand_offpeak": "offpeak",
    "provisioned_throughput": "provisioned",
}


class ModalityTokens(msgspec.Struct, gc=False, rename="camel"):
    modality: Name | int | None = None
    token_count: Count | None = None


class Usage(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: Count | None = None
    cached_content_token_count: Count | None = None
    candidates_token_count: Count | None = None
    response_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    prompt_tokens_details: list[ModalityTokens] | None = None
    prompt_token_details: list[ModalityTokens] | None = None  # embeddings, without the "s"
    cache_tokens_details: list[ModalityTokens] | None = None
    candidates_tokens_details: list[ModalityTokens] | None = None
    response_tokens_details: list[ModalityTokens] | None = None  # of Live
    tool_use_prompt_tokens_details: list[ModalityTokens] | None = None
    traffic_type: Name | int | None = None
    service_tier: Name | int | None = None


def tier_of(usage: Usage) -> str | None:
    """The tier as served, in lower case; numbers of the integer encoding are not published, so they say nothing."""
    tier = usage.service_tier if isinstance(usage.service_tier, str) else usage.traffic_type
    if not isinstance(tier, str):
        return None
    return _TIERS.get(tier.lower(), tier.lower().removeprefix("service_tier_"))


def units_of(usage: Usage, faults: list[str]) -> Units | None:
    """The units, or None where there is no count; what is odd about them is added to `faults`."""
    prompt = usage.prompt_token_count
    output = usage.candidates_token_count if usage.candidates_token_count is not None else usage.response_token_count
    if prompt is None and output is None:
        return None
    if not (usage.cached_content_token_count or usage.tool_use_prompt_token_count):
        sent = usage.prompt_tokens_details or usage.prompt_token_details
        made = usage.candidates_tokens_details or usage.response_tokens_details
        if _is_text(prompt or 0, sent) and _is_text(output or 0, made):  # what most calls are
            units: Units = {"text": (prompt or 0, output or 0)}
            if usage.thoughts_token_count:
                units["reasoning"] = (0, usage.thoughts_token_count)
            return units
    units = {"text": (0, 0)}
    _input(usage, prompt or 0, units, faults)
    _output(usage, output or 0, units, faults)
    return units


def _is_text(total: int, details: list[ModalityTokens] | None) -> bool:
    """Whether all of a total is plain text."""
    return not details or (len(details) == 1 and details[0].modality == "TEXT" and details[0].token_count == total)


def _input(usage: Usage, prompt: int, units: Units, faults: list[str]) -> None:
    """The prompt by modality without what was cached, and what tools fed back, which comes on top."""
    cached = usage.cached_content_token_count or 0
    if cached > prompt:
        faults.append(f"usageMetadata tells {cached} cached of {prompt} prompt tokens: counted as {prompt}")
        cached = prompt
    parts = _split(prompt, usage.prompt_tokens_details or usage.prompt_token_details, "promptTokensDetails", faults)
    if cached:
        for unit, n in _split(cached, usage.cache_tokens_details, "cacheTokensDetails", faults).items():
            _put(units, f"{unit}_cache_read", "input", n)
            parts[unit] = parts.get(unit, 0) - n
        _pay_debts(parts)
    for unit, n in parts.items():
        _put(units, unit, "input", n)
    if usage.tool_use_prompt_token_count:
        tools = _split(
            usage.tool_use_prompt_token_count,
            usage.tool_use_prompt_tokens_details,
            "toolUsePromptTokensDetails",
            faults,
        )
        for unit, n in tools.items():
            _put(units, unit, "input", n)


def _pay_debts(parts: dict[str, int]) -> None:
    """Cached tokens of a modality that the prompt does not show are taken from the others, so that the sum stays."""
    debt = -sum(n for n in parts.values() if n < 0)
    for unit, n in parts.items():
        parts[unit] = max(n, 0)
        paid = min(parts[unit], debt)
        parts[unit] -= paid
        debt -= paid


def _output(usage: Usage, output: int, units: Units, faults: list[str]) -> None:
    """The candidates by modality; thoughts are not among them."""
    details = usage.candidates_tokens_details or usage.response_tokens_details
    for unit, n in _split(output, details, "candidatesTokensDetails", faults).items():
        _put(units, "image" if unit == "vision" else unit, "output", n)
    if usage.thoughts_token_count:
        _put(units, "reasoning", "output", usage.thoughts_token_count)


def _put(units: Units, unit: str, side: Side, n: int) -> None:
    if n:
        before = units.get(unit, (0, 0))
        units[unit] = (before[0] + n, before[1]) if side == "input" else (before[0], before[1] + n)


def _split(total: int, details: list[ModalityTokens] | None, name: str, faults: list[str]) -> dict[str, int]:
    """A total by unit. What the details leave out is text; what is over is cut, because the total is billed."""
    if not details:
        return {"text": total}
    if len(details) == 1 and details[0].token_count == total:
        return {_MODALITIES.get(details[0].modality or "", "text"): total}
    parts = {"text": 0}
    rest = total
    for part in details:
        told = part.token_count or 0
        taken = min(told, rest)
        if taken < told:
            faults.append(f"usageMetadata.{name} adds up to more than the {total} tokens in all: counted as {total}")
        unit = _MODALITIES.get(part.modality or "", "text")
        parts[unit] = parts.get(unit, 0) + taken
        rest -= taken
    parts["text"] += rest
    return parts
