"""An alert as the application sees it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from ..values import MONEY, format_time, plain
from .limit import Unit

__all__ = ["LimitAlert", "OnAlert"]


class LimitAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An account has come to a share of its limit, or will come to its end too early."""

    alert_id: str
    """The same at each try, and no other alert's of any ledger: `sqlite:5f0c2b19:17`."""
    application: str
    limit_id: str
    limit_name: str
    account: tuple[str, ...]
    """Whose: the values of the limit's `per`, in its order; empty where all share one."""
    share: Decimal | None
    """Of the maximum: 0.8; None for a forecast."""
    forecast: bool
    """Whether spending that goes on as it does would reach the limit before its window ends."""
    unit: Unit
    spent: Decimal
    """USD, calls or tokens."""
    max: Decimal
    window: str | None
    window_starts_ns: int | None
    at_ns: int

    def __str__(self) -> str:
        """In a sentence, safe in a terminal."""
        whose = f" of {', '.join(map(repr, self.account))[:200]}" if self.account else ""
        unit = "USD" if self.unit == "usd" else self.unit
        told = f"{self.spent:,f} of {self.max:,f} {unit}"
        if self.share is None:
            return f"limit {self.limit_name!r}{whose} will be reached before its {self.window or 'window'} ends: {told}"
        return f"limit {self.limit_name!r}{whose} is at {plain(MONEY.multiply(self.share, 100)):f} %: {told}"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: amounts as decimal strings, times as RFC 3339 in UTC."""
        return {
            "alert_id": self.alert_id,
            "application": self.application,
            "limit_id": self.limit_id,
            "limit_name": self.limit_name,
            "account": list(self.account),
            "share": None if self.share is None else format(self.share, "f"),
            "forecast": self.forecast,
            "unit": self.unit,
            "spent": format(self.spent, "f"),
            "max": format(self.max, "f"),
            "window": self.window,
            "window_starts_at": None if self.window_starts_ns is None else format_time(self.window_starts_ns),
            "at": format_time(self.at_ns),
        }


OnAlert: TypeAlias = Callable[[LimitAlert], None]
