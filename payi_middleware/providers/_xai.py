"""What xAI's API has beside OpenAI's shapes: pictures, videos, answers that are fetched later, old searches.

Every answer tells what was charged, in the ticks that we use too. Source: docs.x.ai/developers/cost-tracking and
docs.x.ai/developers/models (fees of tools), looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..events import Units
from ._json import MOST_TICKS, parse
from ._plain import Counts, name_of, plain, told
from ._polls import begun, poll
from .base import Facts, Reading

__all__ = ["IMAGES", "VIDEO", "VIDEOS", "answered_later", "fetched"]

_MOST_PIECES: Final = 1000
_MOST_SECONDS: Final = 10**5
_SOURCES: Final = re.compile(rb'"num_sources_used"\s*:\s*([1-9]\d{0,4})\b')
_DEFERRED: Final = re.compile(rb'"deferred"\s*:\s*true')


def _stated(value: dict[str, Any]) -> int | None:
    counts = Counts(value.get("usage"))
    ticks = counts.get("cost_in_usd_ticks", MOST_TICKS)
    return ticks if "cost_in_usd_ticks" in counts and not counts.faults else None


def _read_images(value: dict[str, Any]) -> Reading:
    made = value.get("data")
    units: Units = {"generated_image": (0, min(len(made), _MOST_PIECES) if isinstance(made, list) else 0)}
    reading = told(units, Counts(value.get("usage")), model=name_of(value))
    return reading._replace(stated_ticks=_stated(value))


def _read_video(value: dict[str, Any]) -> Reading:
    counts = Counts(value.get("video"), "video")
    units: Units = {"generated_video_second": (0, counts.get("duration", _MOST_SECONDS))}
    reading = told(units, counts, model=name_of(value), response_id=name_of(value, "request_id"))
    return reading._replace(stated_ticks=_stated(value))


def _sized(reading: Reading, facts: Facts) -> Reading:
    """The price of a picture or a second depends on the resolution, which the request tells."""
    asked = parse(facts.request or b"")
    resolution = name_of(asked, "resolution") if isinstance(asked, dict) else None
    if resolution is None or reading.units is None:
        return reading
    return reading._replace(terms=(*reading.terms, f"resolution:{resolution[:32].lower()}"))


def answered_later(reading: Reading, facts: Facts) -> Reading:
    """A deferred completion answers with an id, and its text and usage are fetched with that."""
    if reading.units is None and _DEFERRED.search(facts.request or b"") is not None:
        return begun(reading, facts)
    return searched(reading, facts)


def fetched(reading: Reading, facts: Facts) -> Reading:
    """A deferred completion when it is asked for: nothing yet, or what was answered."""
    return poll(searched(reading, facts), facts)


def searched(reading: Reading, facts: Facts) -> Reading:
    """Until 2026 a search by the model was billed by the sources that it used."""
    if reading.units is None or reading.stated_ticks is not None:
        return reading
    found = _SOURCES.findall(facts.answer)
    return reading._replace(units={**reading.units, "web_source_request": (0, int(found[-1]))}) if found else reading


IMAGES: Final = plain("/v1/images/generations", _read_images, refine=_sized)
VIDEOS: Final = plain("/v1/videos/generations", _read_video, refine=begun)
VIDEO: Final = plain("/v1/videos/{request_id}", _read_video, refine=poll)
