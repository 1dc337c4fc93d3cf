"""What Perplexity's usage tells beside OpenAI's: how much was searched, what was cited, what was thought.

Source: docs.perplexity.ai/docs/getting-started/pricing and the types of `perplexityai` 0.46, looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from ..events import Units, Unpriced
from ._json import BAD, Name, last_object
from ._plain import Counts, dollars, name_of, plain, told
from ._polls import begun, poll
from .base import Facts, Reading, on_terms

__all__ = ["ASYNC", "ASYNC_POLL", "SEARCH", "refine"]

_USAGE: Final = b'"usage"'
_MOST: Final = 10**6
_SIZES: Final = ("low", "medium", "high")
_ASKED: Final = re.compile(rb'"search_context_size"\s*:\s*"(low|medium|high)"')
_DEFAULT: Final = "low"
"""What a request that asks for no size of context gets."""
_TOOLS: Final = {
    "fetch_url": "visit_request",
    "search_web": "web_search_request",
    "web_search": "web_search_request",
}


class _Usage(msgspec.Struct, gc=False):
    """The size of the context, and what tells more than a chat has."""

    search_context_size: Name | None = None
    citation_tokens: Any = None
    input_tokens: Any = None
    input_tokens_details: Any = None
    num_search_queries: Any = None
    reasoning_tokens: Any = None
    tool_calls_details: Any = None


class _Chat(msgspec.Struct, gc=False):
    usage: _Usage


_decode = msgspec.json.Decoder(_Chat).decode


def refine(reading: Reading, facts: Facts) -> Reading:
    """Units and terms of a chat, of deep research and of the agent API."""
    if reading.units is None:
        return reading
    size = _size_of_chat(facts)
    if size is not None and "web_search_request" not in reading.units:
        return on_terms(reading, f"context:{size}")
    return _refine_fully(reading, reading.units, facts)


def _size_of_chat(facts: Facts) -> str | None:
    """The context of a plain chat; None for any other answer, and for one that is not as it should be."""
    try:
        usage = _decode(facts.answer).usage
    except BAD:
        return None
    more = (
        usage.citation_tokens
        or usage.input_tokens
        or usage.input_tokens_details
        or usage.num_search_queries
        or usage.reasoning_tokens
        or usage.tool_calls_details
    )
    if more:
        return None
    return usage.search_context_size if usage.search_context_size in _SIZES else _asked_size(facts)


def _refine_fully(reading: Reading, seen: Units, facts: Facts) -> Reading:
    usage = last_object(facts.answer, _USAGE) or {}
    counts = Counts(usage)
    units = {**seen, **_research(counts), **_cached(counts, seen)}
    called, unpriced = _tools(counts.inner("tool_calls_details"))
    terms = reading.terms
    if not called and "input_tokens" not in counts and "web_search_request" not in units:
        terms = (*terms, f"context:{_size(usage, facts)}")
    reason = "; ".join(filter(None, (reading.reason, *counts.faults))) or None
    return reading._replace(units={**units, **called}, terms=terms, unpriced=reading.unpriced + unpriced, reason=reason)


def _size(usage: dict[str, Any], facts: Facts) -> str:
    """As the answer tells it, else as it was asked for."""
    told = name_of(usage, "search_context_size")
    return told if told in _SIZES else _asked_size(facts)


def _asked_size(facts: Facts) -> str:
    asked = _ASKED.search(facts.request or b"")
    return asked[1].decode() if asked else _DEFAULT


def _research(counts: Counts) -> Units:
    """Deep research: citations, thoughts and searches come on top of the completion."""
    units: Units = {}
    if citations := counts.get("citation_tokens"):
        units["citation"] = (0, citations)
    if thoughts := counts.get("reasoning_tokens"):
        units["reasoning"] = (0, thoughts)
    if searches := counts.get("num_search_queries", _MOST):
        units["web_search_request"] = (0, searches)
    return units


def _cached(counts: Counts, units: Units) -> Units:
    """The agent API names cached tokens as Anthropic does, and counts them among the input."""
    details = counts.inner("input_tokens_details")
    read, written = details.get("cache_read_input_tokens"), details.get("cache_creation_input_tokens")
    text_in, text_out = units.get("text", (0, 0))
    if not (read or written) or read + written > text_in:
        return {}
    return {
        "text": (text_in - read - written, text_out),
        "text_cache_read": (read, 0),
        "text_cache_write": (written, 0),
    }


def _tools(called: Counts) -> tuple[Units, tuple[Unpriced, ...]]:
    units: Units = {}
    unpriced: tuple[Unpriced, ...] = ()
    for name in called:
        calls = called.inner(name).get("invocation", _MOST)
        unit = _TOOLS.get(name)
        if unit is not None and calls:
            units[unit] = (0, calls + units.get(unit, (0, 0))[1])
        elif calls:
            unpriced += (Unpriced("tool_call", calls, "a tool of the provider's without a unit of ours"),)
    return units, unpriced


def _read_search(value: dict[str, Any]) -> Reading:
    """One request, whatever it found."""
    if not isinstance(value.get("results"), list):
        return Reading(reason="the answer holds no results")
    return Reading(response_id=name_of(value, "id"), units={"web_search_request": (0, 1)})


def _read_job(value: dict[str, Any]) -> Reading:
    inner = value.get("response")
    if not isinstance(inner, dict):
        return Reading(response_id=name_of(value, "id"), reason="usage is missing")
    usage = inner.get("usage")
    counts = Counts(usage)
    units: Units = {"text": (counts.get("prompt_tokens"), counts.get("completion_tokens")), **_research(counts)}
    cost = usage.get("cost") if isinstance(usage, dict) else None
    stated = dollars(cost.get("total_cost")) if isinstance(cost, dict) else None
    reading = told(units, counts, model=name_of(inner) or name_of(value), response_id=name_of(value, "id"))
    return reading._replace(stated_ticks=stated)


SEARCH: Final = plain("/search", _read_search, keys=("results",))
ASYNC: Final = plain("/async/chat/completions", _read_job, keys=("response",), refine=begun)
ASYNC_POLL: Final = plain("/async/chat/completions/{id}", _read_job, keys=("response",), refine=poll)
