"""The models of Anthropic by age, as far as the place where they run changes their price."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["costs_more_in_a_region", "costs_more_in_the_us"]

_END: Final = r"(?:@|-20|-v\d|:|$)"

# Source: docs.claude.com, pricing, "Cloud platform pricing" and "Data residency pricing", looked at on 2026-11-25. Newer
# models are in no list, so an unknown one counts as new.
_BEFORE_4_5: Final = re.compile(
    rf"(?:anthropic[./])?claude-(?:[123](?!\d)|instant|v\d|(?:opus|sonnet)-4(?:-[01])?{_END})"
)
_BEFORE_4_6: Final = re.compile(
    rf"(?:anthropic[./])?claude-(?:[123](?!\d)|instant|v\d|(?:opus|sonnet|haiku)-4(?:-[015])?{_END})"
)


def costs_more_in_a_region(model: str | None) -> bool:
    """Whether a cloud charges 1.1 times the rate outside of its global endpoint: Claude 4.5 and later."""
    return model is None or _BEFORE_4_5.match(model) is None


def costs_more_in_the_us(model: str | None) -> bool:
    """Whether `inference_geo: us` costs 1.1 times the rate: Opus 4.6, Sonnet 4.6 and later."""
    return model is None or _BEFORE_4_6.match(model) is None
