"""How long an answer may become: what a request says of that in each maker's words, else what the model's window leaves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .events import Units

__all__ = ["CHOICES", "LIMITS", "NESTED", "bound", "choices", "limit", "tier"]

LIMITS: Final = (
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "maxOutputTokens",
    "num_predict",
    "maxTokens",
    "max_tokens_to_sample",
    "max_new_tokens",
    "max_gen_len",
    "maxTokenCount",
)
CHOICES: Final = ("n", "candidateCount", "candidate_count")
NESTED: Final = (
    "generationConfig",
    "generation_config",
    "options",
    "parameters",
    "inferenceConfig",
    "textGenerationConfig",
)
"""Where some makers keep limits and choices."""


def bound(window: int | None, asked: Mapping[str, Any], units: Units) -> tuple[int | None, str]:
    """(tokens that the answer may have at most, who says so).

    Args:
        window: The tokens that the model takes and makes together; None if nobody tells.
        asked: The request.
        units: What it takes.
    """
    times = choices(asked)
    told = f", {times} times" if times > 1 else ""
    found = limit(asked)
    if found is not None:
        return found[0] * times, f"{found[1]} of the request{told}"
    if window is None:
        return None, "the request sets no limit, and the model's is not known"
    taken = sum(sides[0] for sides in units.values())
    return max(window - taken, 0) * times, f"the rest of the model's {window:,} tokens of context{told}"


def limit(asked: Mapping[str, Any]) -> tuple[int, str] | None:
    """(tokens of one answer, the name) of the limit that the request sets."""
    found = _number(asked, LIMITS)
    return found if found is not None and found[0] >= 0 else None


def choices(asked: Mapping[str, Any]) -> int:
    """How many answers the request asks for at once."""
    found = _number(asked, CHOICES)
    return max(found[0], 1) if found is not None else 1


def tier(asked: Mapping[str, Any]) -> str | None:
    """The service tier that is asked for, `default` included; None if the provider is to choose. Which serves is known afterwards.

    By `service_tier`, as Gemini and Bedrock spell it (there it is an object), or Anthropic's speed, which is priced as one.
    """
    if asked.get("speed") == "fast":
        return "fast"
    given = asked.get("service_tier")
    if given is None:
        given = asked.get("serviceTier")
    if isinstance(given, dict):
        given = given.get("type")
    if not isinstance(given, str) or given == "auto":
        return None
    named = given.lower().removeprefix("service_tier_")
    return "standard" if named == "standard_only" else named


def _number(asked: Mapping[str, Any], names: tuple[str, ...]) -> tuple[int, str] | None:
    """(value, name) of the first of these that the request sets."""
    for holder in (asked, *(asked.get(name) for name in NESTED)):
        if isinstance(holder, Mapping):
            for name in names:
                value = holder.get(name)
                if isinstance(value, int) and not isinstance(value, bool):
                    return value, name
    return None
