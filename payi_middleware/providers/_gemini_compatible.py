"""Gemini in OpenAI's shape: the answer is that of any other host, but for the model's name, the tier and the place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ._gemini import refine
from ._gemini_models import costs_more_in_a_region
from ._vertex import in_a_region
from .base import Facts, Reading

__all__ = ["compatible"]

_Refine: TypeAlias = Callable[[Reading, Facts], Reading]

_MAKER: Final = "google/"
_there: Final = in_a_region(costs_more_in_a_region)


def compatible(inner: _Refine | None, is_in_a_region: bool) -> _Refine:
    """What completes an answer of an OpenAI-shaped endpoint of Google's, after `inner`.

    Vertex names a model with its maker, `google/gemini-2.5-flash`, and has no other price for it.
    """

    def completed(reading: Reading, facts: Facts) -> Reading:
        if inner is not None:
            reading = inner(reading, facts)
        model = reading.model or facts.asked.model
        if model is not None and model.startswith(_MAKER):
            reading = reading._replace(model=model.removeprefix(_MAKER))
        reading = refine(reading, facts)
        return _there(reading, facts) if is_in_a_region else reading

    return completed
