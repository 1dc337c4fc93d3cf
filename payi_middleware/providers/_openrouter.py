"""What OpenRouter adds to the shapes that it speaks: its own price of every call, and what it did besides.

Source: openrouter.ai/docs (usage accounting, web search, PDF inputs), looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..events import Unpriced
from ._json import last_object
from ._plain import Counts, dollars, name_of, plain
from .base import Facts, Reading

__all__ = ["OTHER", "refine"]

_USAGE: Final = b'"usage"'
_COST: Final = b'"cost"'
_TOOLS: Final = b'"server_tool_use"'
_MOST: Final = 10**6
_FILE: Final = re.compile(rb'"annotations"\s*:\s*\[.{0,65536}?"type"\s*:\s*"file"', re.DOTALL)
_NOT_OURS: Final = frozenset({"provisioned", "provisioned_throughput", "reserved", "scale"})


def refine(reading: Reading, facts: Facts) -> Reading:
    """The cost where the shape's reader knows none (Anthropic's), searches, files that were read."""
    if reading.service_tier in _NOT_OURS:  # what OpenRouter has bought itself; its own price is by the token
        reading = reading._replace(service_tier=None)
    if reading.units is None:
        return reading
    if reading.stated_ticks is None and _COST in facts.answer:
        usage = last_object(facts.answer, _USAGE)
        reading = reading._replace(stated_ticks=_stated(usage or {}))
    if facts.answer.rfind(_TOOLS) >= 0 and "web_search_request" not in (reading.units or {}):
        searches = Counts(last_object(facts.answer, _TOOLS)).get("web_search_requests", _MOST)
        if searches:
            reading = reading._replace(units={**(reading.units or {}), "web_search_request": (0, searches)})
    if facts.answer.rfind(b'"file"') >= 0 and _FILE.search(facts.answer) is not None:
        why = "a file that was read may have a fee by the page, and its pages are not told"
        reading = reading._replace(unpriced=(*reading.unpriced, Unpriced("file", 1, why)))
    return reading


def _stated(usage: dict[str, Any]) -> int | None:
    """With a key of the customer's own, what the provider behind it takes comes on top."""
    own = dollars(usage.get("cost"))
    if own is None or not usage.get("is_byok"):
        return own
    details = usage.get("cost_details")
    upstream = dollars(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    return None if upstream is None else own + upstream


def _read_other(value: dict[str, Any]) -> Reading:
    usage = value.get("usage")
    stated = _stated(usage) if isinstance(usage, dict) else None
    reason = "endpoint is not priced yet" if stated is None else None
    return Reading(name_of(value), name_of(value, "id"), stated_ticks=stated, reason=reason)


OTHER: Final = plain("(other)", _read_other)
