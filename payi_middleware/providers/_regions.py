"""Processing in a region, which costs more than the listed rate and which no answer tells."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .base import Endpoint, Facts, Reading, on_terms, refined_by

__all__ = ["in_a_region", "openai_costs_more"]

# The models from before the surcharge, which came with GPT-5.4. A newer one is in no list yet.
_OLDER_OPENAI: Final = re.compile(
    r"(?:ft:)?(?:gpt-(?:3\.5|35|4|5(?:\.[123])?(?![\d.]))|chatgpt-4o|o[134]|text-embedding|whisper|tts|davinci|babbage"
    r"|codex-mini|computer-use)"
)


def openai_costs_more(model: str | None) -> bool:
    """Whether OpenAI's regional hosts charge more for a model; unknown ones count as new."""
    return model is None or _OLDER_OPENAI.match(model) is None


def in_a_region(endpoint: Endpoint, costs_more: Callable[[str | None], bool]) -> Endpoint:
    """An endpoint in a region: its rates depend on that for the models that cost more there."""

    def scoped(reading: Reading, facts: Facts) -> Reading:
        if not costs_more(reading.model or facts.asked.model):
            return reading
        return on_terms(reading, "scope:region")

    return refined_by(endpoint, scoped)
