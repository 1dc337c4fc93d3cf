"""Processing in a region, which costs more than the listed rate and which no answer tells."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from ..events import Unpriced
from .base import Endpoint, Facts, Reading, refined_by

__all__ = ["claude_costs_more", "in_a_region", "openai_costs_more", "regional"]

_NOTE: Final = Unpriced("region", 1, "processing in a region costs 1.1 times the rate of a newer model")

# The models from before the surcharges (OpenAI: before GPT-5.4; Claude: before 4.5). A newer one is in no list yet.
_OLDER_OPENAI: Final = re.compile(
    r"(?:ft:)?(?:gpt-(?:3\.5|35|4|5(?:\.[123])?(?![\d.]))|chatgpt-4o|o[134]|text-embedding|whisper|tts|davinci|babbage"
    r"|codex-mini|computer-use)"
)
_OLDER_CLAUDE: Final = re.compile(r"claude-(?:[123]|instant|(?:opus|sonnet)-4(?:-[01])?(?:@|-20|$))")


def openai_costs_more(model: str | None) -> bool:
    """Whether OpenAI's regional hosts charge more for a model; unknown ones count as new."""
    return model is None or _OLDER_OPENAI.match(model) is None


def claude_costs_more(model: str | None) -> bool:
    """Whether Vertex charges more for a Claude outside of its global location."""
    return model is None or _OLDER_CLAUDE.match(model) is None


def in_a_region(endpoint: Endpoint, costs_more: Callable[[str | None], bool]) -> Endpoint:
    """An endpoint in a region: its rates depend on that for the models that cost more there."""

    def scoped(reading: Reading, facts: Facts) -> Reading:
        if not costs_more(reading.model or facts.asked.model):
            return reading
        return reading._replace(terms=(*reading.terms, "scope:region"))

    return refined_by(endpoint, scoped)


def regional(endpoint: Endpoint, costs_more: Callable[[str | None], bool]) -> Endpoint:
    """An endpoint in a region: what it reads says what the rates leave out."""

    def noted(read: Callable[..., Reading]) -> Callable[..., Reading]:
        def reads(*given: Any) -> Reading:
            reading = read(*given)
            if reading.error_type is not None or not (reading.units or reading.model) or not costs_more(reading.model):
                return reading
            return reading._replace(unpriced=(*reading.unpriced, _NOTE))

        return reads

    read, read_cut, read_stream = noted(endpoint.read), noted(endpoint.read_cut), noted(endpoint.read_stream)
    return replace(endpoint, read=read, read_cut=read_cut, read_stream=read_stream)
