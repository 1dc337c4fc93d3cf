"""A stream that broke off before its last figures: what it told so far, and at least what was received.

Who repeats the usage in every chunk tells in an early one only the prompt, or a part of the output; the rest is billed
all the same. It is counted by its length at first, because a tokenizer has no place on the application's path.
"""

from __future__ import annotations

import re
from typing import Final

from ..events import Part, Units
from .base import Reading
from .families import family_of
from .media import BY_LENGTH

__all__ = ["BROKEN_OFF", "broken_off", "received", "strings"]

BROKEN_OFF: Final = f"the stream broke off before its last usage; the output is {BY_LENGTH}"
_IN_PARTS: Final = f"{BROKEN_OFF}, beside the passes that were told"  # a better count could not be told from theirs
_COVERED: Final = "the stream broke off; the usage it told last covers what was received"
_ENDED_IN_ERROR: Final = "the stream ended in an error"


def strings(*keys: str) -> re.Pattern[bytes]:
    """What finds the strings under these keys in a piece of JSON."""
    return re.compile(rb'"(?:%s)"\s*:\s*"([^"\\]*(?:\\.[^"\\]*)*)"' % "|".join(keys).encode())


def received(texts: re.Pattern[bytes], head: bytes, tail: bytes, cut: int, model: str | None = None) -> int:
    """The tokens of the texts in a stream by their length; what was cut out of its middle by its share."""
    size = sum(map(len, texts.findall(head))) + sum(map(len, texts.findall(tail)))
    kept = len(head) + len(tail)
    if cut and kept:
        size = size * (kept + cut) // kept
    return -(-size * 10 // family_of(model).bytes10)


def broken_off(reading: Reading, texts: re.Pattern[bytes], head: bytes, tail: bytes, cut: int) -> Reading:
    """A reading whose figures are early ones: the output is what they tell or what was received, whichever is more."""
    if reading.units is None:
        if reading.error_type is None or texts.search(tail or head) is None:
            return reading
        return reading._replace(reason=_ENDED_IN_ERROR, estimated=True)
    if reading.complete or reading.estimated:
        return reading
    units, parts = dict(reading.units), reading.parts
    more = received(texts, head, tail, cut, reading.model) - _made(units)
    if more > 0:
        parts += (Part(None, {"text": (0, more)}, reading.service_tier, reading.terms),) if parts else ()
        text_in, text_out = units.get("text", (0, 0))
        units["text"] = (text_in, text_out + more)
    why = (_IN_PARTS if parts else BROKEN_OFF) if more > 0 else _COVERED
    reason = f"{reading.reason}; {why}" if reading.reason else why
    return reading._replace(units=units, parts=parts, stated_ticks=None, reason=reason, estimated=True)


def _made(units: Units) -> int:
    return sum(made for unit, (_, made) in units.items() if not unit.endswith("_request"))
