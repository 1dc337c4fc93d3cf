"""What runs here: the innermost frame, and how a context variable is put back."""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .frames import Frame

__all__ = ["frame", "restore"]

frame: ContextVar[Frame | None] = ContextVar("payi_frame", default=None)
"""The innermost web request, `track` or `use_case` block."""


def restore(variable: ContextVar[Any], token: Token[Any]) -> None:
    """Put a variable back; in another context than it was set in, as an abandoned coroutine is closed, there is nothing to."""
    try:
        variable.reset(token)
    except ValueError:
        pass
