"""Service tiers, as providers report them, in the words of genai-prices.

A tier that is no row here is asked for by its own name; where the model has no rate for it, the plan says so.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PROVISIONED", "STANDARD", "named_tier", "price_context"]

STANDARD = frozenset({"", "auto", "default", "on_demand", "standard", "traffic_type_unspecified", "unspecified"})
"""Billed at the model's own rate (OpenAI, Groq, Anthropic, Gemini, Vertex, Bedrock)."""

PROVISIONED = frozenset({"provisioned", "provisioned_throughput", "reserved", "scale"})
"""Capacity bought beforehand: no charge by the token (Vertex, Bedrock, OpenAI)."""

_CONTEXTS: Mapping[str, Mapping[str, str]] = {
    "batch": {"processing": "batch"},
    "fast": {"service_tier": "fast", "speed": "fast"},  # OpenAI calls it a service tier, Anthropic a speed
}

_SAME: Mapping[str, str] = {"on_demand_flex": "flex", "on_demand_priority": "priority"}  # Vertex


def named_tier(tier: str | None) -> str:
    """A tier by the name that entries and genai-prices know; empty for none."""
    lower = (tier or "").lower()
    return _SAME.get(lower, lower)


def price_context(tier: str) -> Mapping[str, str]:
    """The `price_context` of genai-prices for a tier that is not standard, in lower case."""
    return _CONTEXTS.get(tier, {"service_tier": tier})
