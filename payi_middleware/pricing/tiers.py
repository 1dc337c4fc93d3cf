"""Service tiers, as providers report them, in the words of genai-prices.

A tier that is no row here is asked for by its own name; where the model has no rate for it, the plan says so.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PROVISIONED", "STANDARD", "conditions_met", "named_tier", "price_context"]

STANDARD = frozenset({"", "auto", "default", "on_demand", "standard", "traffic_type_unspecified", "unspecified"})
"""Billed at the model's own rate (OpenAI, Groq, Anthropic, Gemini, Vertex, Bedrock)."""

PROVISIONED = frozenset({"provisioned", "provisioned_throughput", "reserved", "scale"})
"""Capacity bought beforehand: no charge by the token (Vertex, Bedrock, OpenAI)."""

_CONTEXTS: Mapping[str, Mapping[str, str]] = {
    "batch": {"processing": "batch"},
    "fast": {"service_tier": "fast", "speed": "fast"},  # OpenAI calls it a service tier, Anthropic a speed
}

_LISTED = frozenset({"search_type", "speed"})
"""The kinds of terms by which genai-prices tells prices apart (Perplexity's searches, Anthropic's speed)."""

_SAME: Mapping[str, str] = {"on_demand_flex": "flex", "on_demand_priority": "priority"}  # Vertex


def named_tier(tier: str | None) -> str:
    """A tier by the name that entries and genai-prices know; empty for none."""
    lower = (tier or "").lower()
    return _SAME.get(lower, lower)


def price_context(tier: str, terms: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The `price_context` of genai-prices for a tier, in lower case, and for the terms that it knows; empty for neither."""
    context = {} if tier in STANDARD else dict(_CONTEXTS.get(tier, {"service_tier": tier}))
    for kind, _, value in (term.partition(":") for term in terms):
        if kind in _LISTED:
            context[kind] = value
    return context


def conditions_met(when: Mapping[str, str], tier: str) -> frozenset[str]:
    """Our conditions that a variant of genai-prices is made for, in a call of a tier."""
    met = frozenset(f"{kind}:{value}" for kind, value in when.items())
    return met | {f"tier:{tier}"} if when.keys() & price_context(tier).keys() else met
