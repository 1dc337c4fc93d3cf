"""The models of Gemini by their generation, as far as it changes what is billed."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["costs_more_in_a_region", "pays_by_query"]

# gemini-2.5-pro, gemini-live-2.5-flash, gemini-pro, models/gemini-1.5-flash; a date (gemini-exp-1206) is no generation.
_NAME: Final = re.compile(r"(?:.*/)?gemini-(?:(?:pro|ultra)(?:-|$)|(?:[a-z]+-)*?([12])(?:[.-]|$))")
_IN_A_REGION: Final = re.compile(r"(?:.*/)?gemini-(?!.*embedding)")


def pays_by_query(model: str | None) -> bool:
    """Whether each search has a fee, since Gemini 3; before it, a prompt that was grounded has one.

    Source: ai.google.dev/gemini-api/docs/pricing, "Grounding with Google Search", looked at on 2026-11-25. A model that no
    list knows is a new one.
    """
    return model is None or _NAME.match(model) is None


def costs_more_in_a_region(model: str | None) -> bool:
    """Whether Vertex charges 1.1 times the rate outside of its global location: Gemini 3 and later.

    Source: cloud.google.com/vertex-ai/generative-ai/pricing, "non-global endpoints", looked at on 2026-11-25.
    """
    return model is not None and _IN_A_REGION.match(model) is not None and _NAME.match(model) is None
