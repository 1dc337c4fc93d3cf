"""Code that runs in steps under a frame, while its caller runs under another: generators, and the answers of WSGI."""

from __future__ import annotations

from . import context
from .frames import Frame, encloses

__all__ = ["Steps"]


class Steps:
    """A `with` statement for each step. A block that a step leaves open holds again in the next one.

    Args:
        frame: The frame of the first step; None for the one that runs now.
    """

    __slots__ = ("_frame", "_now", "_outside")

    def __init__(self, frame: Frame | None) -> None:
        self._frame = self._now = frame if frame is not None else context.frame.get()
        """The innermost frame at the end of the last step."""
        self._outside: Frame | None = None

    def __enter__(self) -> None:
        self._outside = context.frame.get()
        context.frame.set(self._now)

    def __exit__(self, *error: object) -> None:
        now, outside, self._outside = context.frame.get(), self._outside, None
        if encloses(self._frame, now):  # else this is closed elsewhere: there is nothing to put back
            self._now = now
            context.frame.set(outside)
