"""What Pay-i's names of units and resources are to our rates. Pure."""

from __future__ import annotations

from collections.abc import Container

from ..events import Units

__all__ = ["model_of", "plain", "unmarked"]

_LARGE = "_large_context"


def plain(units: Units, kept: Container[str] = ()) -> Units:
    """Units without the mark of a long prompt, but for those `kept`: our plans see by the counts which rates hold."""
    for name in units:
        if name.endswith(_LARGE):
            break
    else:
        return units
    plain: Units = {}
    for name, (taken, made) in units.items():
        name = name if name in kept else unmarked(name)
        before = plain.get(name, (0, 0))
        plain[name] = before[0] + taken, before[1] + made
    return plain


def unmarked(unit: str) -> str:
    """The name of a unit without the mark of a long prompt."""
    return unit.removesuffix(_LARGE)


def model_of(category: str, resource: str | None) -> str | None:
    """The model as its provider names it: on Vertex, Pay-i puts the maker before."""
    if resource and category == "system.google.vertex":
        return resource.removeprefix("google.").removeprefix("anthropic.")
    return resource
