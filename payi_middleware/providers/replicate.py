"""Replicate: predictions, answered at once or asked after, with counts in `metrics`.

Source: replicate.com/docs/reference/http and replicate.com/pricing, looked at on 2026-11-25.
"""

from __future__ import annotations

from typing import Any, Final

from ..events import Units, Unpriced
from ._paths import by_path
from ._plain import Counts, name_of, plain
from ._polls import begun, poll
from .base import Reading, Route

__all__ = ["find_route"]

_MOST: Final = 10**6
_ENDED: Final = frozenset({"succeeded", "failed", "canceled", "aborted"})


def _read(value: dict[str, Any]) -> Reading:
    counts = Counts(value.get("metrics"), "metrics")
    model, id, status = name_of(value), name_of(value, "id"), name_of(value, "status")
    if status not in _ENDED:
        return Reading(
            model, id, reason=f"the prediction is {status if status in ('starting', 'processing') else 'not done'}"
        )
    tokens = counts.get("input_token_count"), counts.get("output_token_count")
    units: Units = {"text": tokens} if any(tokens) else {}
    for key, unit in (
        ("image_output_count", "generated_image"),
        ("video_output_duration_seconds", "generated_video_second"),
    ):
        if pieces := counts.get(key, _MOST):
            units[unit] = (0, pieces)
    if counts.faults:
        return Reading(model, id, reason="; ".join(counts.faults))
    if units:
        return Reading(model, id, units)
    why = "billed by the time of the machine, whose kind is not told"
    seconds = counts.get("predict_time", _MOST)
    return Reading(model, id, {}, reason=why, unpriced=(Unpriced("machine_second", seconds, why),) if seconds else ())


def _nothing(method: str, path: str) -> Route | None:
    return None


# What is left creates models, deployments and trainings.
find_route: Final = by_path(
    {
        r"v1/predictions": plain("/v1/predictions", _read, keys=("metrics",), refine=begun),
        r"v1/models/(?P<model>[^/]+/[^/]+)/predictions": plain(
            "/v1/models/{model}/predictions", _read, keys=("metrics",), refine=begun
        ),
        r"GET v1/predictions/[^/]+": plain("/v1/predictions/{id}", _read, keys=("metrics",), refine=poll),
    },
    _nothing,
)
