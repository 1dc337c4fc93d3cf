"""What the core knows of an inbound face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from .annotation import Annotation
from .attribution import Given
from .events import Inbound

__all__ = ["Face", "Source"]


Source: TypeAlias = tuple[tuple[object, ...], tuple[object, ...], tuple[Any, ...], bool]
"""What a request goes by: the face's `key` for it; all that its layers and route go by, hashable; the objects whose ids are in
that, to be kept with it; whether its own facts are its method and route alone."""


class Face(Protocol):
    """What an inbound face knows of its framework's requests."""

    origin: str
    remembered: dict[Any, Any]
    """What requests have in common; here, so that it goes with the application."""
    asks: bool
    """Whether the application gave an `identify`."""

    def key(self, request: Any) -> tuple[object, ...]:
        """What may appear while a request is routed and authenticated; another key, another answer below."""
        ...

    def annotation(self, request: Any) -> Annotation | None:
        """What `use_case` left on the route's function."""
        ...

    def layers(self, request: Any) -> Sequence[Given]:
        """What the request tells by itself, weakest first: trusted headers, the router's and the route's annotation."""
        ...

    def identify(self, request: Any) -> Any:
        """What the application's `identify` returns, perhaps an awaitable."""
        ...

    def identity(self, request: Any) -> Given:
        """The user the framework knows, where the application gave no `identify`."""
        ...

    def route(self, request: Any) -> str | None:
        """The template of the route."""
        ...

    def inbound(self, request: Any, route: str | None) -> Inbound:
        """The request's own facts."""
        ...

    def source(self, request: Any) -> Source | None:
        """What another request may have in common with this one; None where that is not worth finding out."""
        ...
