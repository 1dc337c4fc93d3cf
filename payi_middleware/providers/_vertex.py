"""Where Vertex runs a model: the location stands in the path, and no answer tells it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from .base import Facts, Reading, on_terms

__all__ = ["in_a_region"]

_MODEL: Final = re.compile(r"/models/([^/:]+)")
_REGION: Final = "scope:region"


_Refine: TypeAlias = Callable[[Reading, Facts], Reading]


@functools.lru_cache(maxsize=1024)
def _paths_model(path: str) -> str | None:
    found = _MODEL.search(path)
    return None if found is None else found[1]


def in_a_region(costs_more: Callable[[str | None], bool], inner: _Refine | None = None) -> _Refine:
    """Completes what was read at a location other than `global`, after `inner`: the term that newer models are dearer by."""

    def refine(reading: Reading, facts: Facts) -> Reading:
        if inner is not None:
            reading = inner(reading, facts)
        asked = _paths_model(facts.path)
        if reading.parts:
            parts = tuple(
                msgspec.structs.replace(part, terms=(*part.terms, _REGION))
                if costs_more(part.model or reading.model or asked)
                else part
                for part in reading.parts
            )
            return reading._replace(parts=parts)
        return on_terms(reading, _REGION) if costs_more(reading.model or asked) else reading

    return refine
