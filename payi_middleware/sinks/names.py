"""What Pay-i calls things: the resource of an event, and its units.

Source: what Pay-i's own client sends (0.1.0a183), its resources and its units as documented.
"""

from __future__ import annotations

from ..events import CallEvent, Units

__all__ = ["is_sized", "named", "named_units"]

UNKNOWN = "system.unknown_model"
_VERTEX = "system.google.vertex"
_MOST_SMALL = (
    # (begins the model's name, the prompt's tokens that are still small context)
    ("claude", 199_999),
    ("gemini-2.5-pro", 200_000),
    ("gemini-1.", 128_000),
)
_LARGE = "_large_context"
_SIZED = ("text", "vision", "reasoning")
"""Units that have a second name for large prompts, as have those of caches."""


def named(event: CallEvent) -> tuple[str, str]:
    """Category and resource: those by which the owner wants the call priced, else the model that answered.

    Pay-i's resources on Vertex begin with their maker.
    """
    model = event.resource or event.requested_resource or UNKNOWN
    wanted = event.attribution.price_as
    if wanted:
        category, slash, resource = wanted.partition("/")
        return (category, resource) if slash and category and resource else (event.category, wanted)
    if event.category == _VERTEX and "/" not in model and model != UNKNOWN:
        maker = "anthropic." if model.startswith("claude") else "google."
        model = model if model.startswith(maker) else maker + model
    return event.category, model


def named_units(event: CallEvent, resource: str) -> dict[str, dict[str, int]]:
    """The units; those of a prompt that Pay-i counts as large context have names of their own."""
    suffix = _LARGE if _is_large(event.units, resource) else ""
    return {
        (unit + suffix if is_sized(unit) else unit): {"input": sides[0], "output": sides[1]}
        for unit, sides in event.units.items()
    }


def _is_large(units: Units, resource: str) -> bool:
    model = resource.rpartition("/")[2].removeprefix("google.").removeprefix("anthropic.")
    mark = next((mark for begins, mark in _MOST_SMALL if model.startswith(begins)), None)
    return mark is not None and sum(sides[0] for unit, sides in units.items() if is_sized(unit)) > mark


def is_sized(unit: str) -> bool:
    """Whether a unit has a second name for large prompts."""
    return unit in _SIZED or ("_cache_" in unit and not unit.endswith(_LARGE))
