"""Limits: what may be spent, counted exactly by any number of calls and processes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .limit import Limit

if TYPE_CHECKING:
    from .alerts import LimitAlert

__all__ = ["Limit", "LimitAlert"]


def __getattr__(name: str) -> Any:
    if name == "LimitAlert":  # who has no alerts pays for no webhooks
        from .alerts import LimitAlert

        return LimitAlert
    raise AttributeError(name)
