"""Speech that is billed by the characters of the request, of which the answer, a sound, tells nothing."""

from __future__ import annotations

from ._json import parse
from .base import Facts, Reading, Refine

__all__ = ["spoken"]


def spoken(member: str) -> Refine:
    """Counts the characters of the request's member that is to be said, where the answer is no error."""

    def refine(reading: Reading, facts: Facts) -> Reading:
        asked = parse(facts.request or b"")
        text = asked.get(member) if isinstance(asked, dict) else None
        if reading.error_type is not None or not isinstance(text, str) or not text:
            return reading
        return reading._replace(units={"text_character": (len(text), 0)}, complete=True, reason=None)

    return refine
