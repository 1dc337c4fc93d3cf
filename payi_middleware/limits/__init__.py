"""Limits: what may be spent, counted exactly by any number of calls and processes at once."""

from __future__ import annotations

from .limit import Limit

__all__ = ["Limit"]
