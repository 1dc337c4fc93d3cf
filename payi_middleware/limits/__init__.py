"""Limits: what may be spent, counted exactly by any number of calls and processes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .limit import Limit

if TYPE_CHECKING:
    from .alert import LimitAlert

__all__ = ["Limit", "LimitAlert"]


def __getattr__(name: str) -> Any:
    if name == "LimitAlert":  # who has no alerts does not make its class
        from .alert import LimitAlert

        return LimitAlert
    raise AttributeError(name)
