"""What `use_case` leaves on a route's function, where the faces find it, and how decorators that are stacked share it."""

from __future__ import annotations

import inspect
from typing import Any

from .attribution import Given
from .exceptions import UseCaseError

__all__ = ["ROUTER", "Annotation", "annotate", "annotation_of", "over"]

OWN = "__payi_use_case__"
"""The attribute of what a decorator made, or of the class it marked. Decorators that stand above copy it."""
WITHIN = "__payi_use_case_within__"
"""The attribute of the function inside, which the framework holds where its own decorator stands below."""
ROUTER = "payi_middleware.router"
"""The key of an ASGI scope under which the use cases of routers stand, which have no function: the outermost first."""


class Annotation:
    """One decorator's, with those of the same name below it."""

    __slots__ = ("function", "given", "holder", "inner")

    def __init__(self, given: Given, inner: Annotation | None = None) -> None:
        self.given = given
        """What all of them tell."""
        self.inner = inner
        self.holder: object = None
        """What the decorator made or marked."""
        self.function: object = None
        """The function inside."""

    def includes(self, other: Annotation) -> bool:
        """Whether the other is this one or was joined to it."""
        at: Annotation | None = self
        while at is not None and at is not other:
            at = at.inner
        return at is other


def annotation_of(target: Any) -> Annotation | None:
    """What `use_case` left on a function or class."""
    within = getattr(target, WITHIN, None)
    if isinstance(within, Annotation) and within.function is getattr(target, "__func__", target):
        return within
    return _own(target)


def over(target: Any, given: Given) -> Annotation:
    """What a decorator says of a target, joined to what one below it said.

    Raises:
        UseCaseError: That has another name.
    """
    below = _below(target)
    if below is None:
        return Annotation(given)
    if below.given.use_case_name == given.use_case_name:
        return Annotation(given.over(below.given), below)
    if below.holder is not target:  # another decorator between them may have taken over no more than the attributes
        return Annotation(given)
    raise UseCaseError(
        f"one route cannot have two use cases: {below.given.use_case_name!r} and {given.use_case_name!r}; "
        "keep one decorator, or open the second as a block: with use_case(...)"
    )


def annotate(holder: Any, annotation: Annotation, function: Any = None) -> None:
    """Leave it on what a decorator made or marked, and on the function inside.

    Raises:
        AttributeError: The holder takes no attributes.
    """
    annotation.holder, annotation.function = holder, function
    setattr(holder, OWN, annotation)
    if function is None:
        return
    try:
        setattr(function, WITHIN, annotation if _is_alone(function, annotation) else None)
    except AttributeError:  # a bound method, or one of C
        pass


def _is_alone(function: Any, annotation: Annotation) -> bool:
    """Whether no other name was left on a function: of two routes' names, one that both hold could tell the wrong one."""
    known = getattr(function, WITHIN, annotation)
    if not isinstance(known, Annotation):
        return False
    return known.function is not function or known.given.use_case_name == annotation.given.use_case_name


def _own(target: Any) -> Annotation | None:
    found = getattr(target, OWN, None)
    return found if isinstance(found, Annotation) else None


def _below(target: Any) -> Annotation | None:
    """What a decorator below left: not what a class inherits, nor what was copied to a function that wraps another."""
    found = _own(target)
    if found is None or found.holder is target:
        return found
    return found if inspect.unwrap(target, stop=lambda at: at is found.holder) is found.holder else None
