"""What Groq's answers tell beside OpenAI's shape: compound systems, which call several models and tools.

Source: console.groq.com/docs/compound and groq.com/pricing, looked at on 2026-11-25.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from ..events import Part, Units, Unpriced
from . import _sse
from ._json import holds, last_object, parse
from ._plain import Counts, name_of, plain, told
from .base import Facts, Reading, summed

__all__ = ["SPEECH", "TRANSCRIPTION", "TRANSLATION", "compound"]

_BREAKDOWN: Final = b'"usage_breakdown"'
_TOOLS: Final = b'"executed_tools"'
_MOST: Final = 64
_LEAST_SECONDS: Final = 10
_MOST_SECONDS: Final = 10**6

_UNITS: Final = {
    "browser.open": "visit_request",
    "browser.search": "web_search_request",
    "browser_search": "web_search_request",
    "search": "web_search_request",
    "visit": "visit_request",
}
_TIMED: Final = "billed by the time it runs, which is not told"


def compound(reading: Reading, facts: Facts) -> Reading:
    """Prices each model of a compound system by itself, and counts the tools it executed."""
    if reading.units is None or not (holds(facts.answer, _BREAKDOWN) or holds(facts.answer, _TOOLS)):
        return reading  # a single model's answer has null there, or nothing
    parts = _parts(last_object(facts.answer, _BREAKDOWN), reading.service_tier)
    fees, unpriced = _tools(facts.answer, facts.streamed)
    if not parts:
        return reading._replace(units={**reading.units, **fees}, unpriced=reading.unpriced + unpriced)
    if fees:
        parts += (
            Part(parts[0].model, fees, reading.service_tier),
        )  # the system itself is in no list; fees are the same
    return reading._replace(units=summed(parts), parts=parts, unpriced=reading.unpriced + unpriced)


def _parts(breakdown: dict[str, Any] | None, tier: str | None) -> tuple[Part, ...]:
    models = breakdown.get("models") if breakdown else None
    parts: list[Part] = []
    for entry in models[:_MOST] if isinstance(models, list) else ():
        part = _part(entry, tier) if isinstance(entry, dict) else None
        if part is None:
            return ()
        parts.append(part)
    return tuple(parts)


def _part(entry: dict[str, Any], tier: str | None) -> Part | None:
    counts = Counts(entry.get("usage"))
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    cached = min(counts.inner("prompt_tokens_details").get("cached_tokens"), prompt)
    model = name_of(entry)
    if counts.faults or model is None:
        return None
    units: Units = {"text": (prompt - cached, completion)}
    if cached:
        units["text_cache_read"] = (cached, 0)
    return Part(model, units, tier)


def _tools(answer: bytes, streamed: bool) -> tuple[Units, tuple[Unpriced, ...]]:
    """A stream tells a tool when it starts and again with its output, under one index."""
    values = [parse(payload) for payload in _sse.events(answer) if _TOOLS in payload] if streamed else [parse(answer)]
    seen: dict[object, str] = {}
    for choice in (choice for value in values for choice in _list(value, "choices")):
        message = choice.get("delta" if streamed else "message")
        for place, tool in enumerate(_list(message, "executed_tools")):
            kind = tool.get("type")
            if isinstance(kind, str):
                index = tool.get("index", place)
                seen[index if isinstance(index, int) else place] = kind
    called = Counter(seen.values())
    units: Units = {}
    unpriced: list[Unpriced] = []
    for kind, calls in called.items():
        unit = _UNITS.get(kind)
        if unit is None:
            unpriced.append(Unpriced("code_execution_request", calls, _TIMED))
        else:
            units[unit] = (0, calls + units.get(unit, (0, 0))[1])
    return units, tuple(unpriced)


def _list(value: object, key: str) -> list[dict[str, Any]]:
    found = value.get(key) if isinstance(value, dict) else None
    return [member for member in found[:_MOST] if isinstance(member, dict)] if isinstance(found, list) else []


def _read_audio(value: dict[str, Any]) -> Reading:
    """Only a verbose answer tells how long the audio was. Anything under ten seconds is billed as ten."""
    counts = Counts(value, "answer")
    if "duration" not in counts:
        return Reading(model=name_of(value), reason="the length of the audio is told only in a verbose answer")
    seconds = max(counts.get("duration", _MOST_SECONDS), _LEAST_SECONDS)
    return told({"audio_second": (seconds, 0)}, counts, model=name_of(value))


def _spoken(reading: Reading, facts: Facts) -> Reading:
    """Speech is billed by the characters of what is to be said."""
    asked = parse(facts.request or b"")
    text = asked.get("input") if isinstance(asked, dict) else None
    if not isinstance(text, str) or not text:
        return reading
    return reading._replace(units={"text_character": (len(text), 0)}, reason=None, complete=True)


def _read_nothing(value: dict[str, Any]) -> Reading:
    return Reading(reason="usage is missing")


TRANSCRIPTION: Final = plain("/v1/audio/transcriptions", _read_audio, keys=("duration",))
TRANSLATION: Final = plain("/v1/audio/translations", _read_audio, keys=("duration",))
SPEECH: Final = plain("/v1/audio/speech", _read_nothing, refine=_spoken)
