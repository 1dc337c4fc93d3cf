"""The dearest model of a maker: what a call is held at whose own price nobody knows, so that no limit is passed for free."""

from __future__ import annotations

import time
from typing import Final

from ..costing import cost_of
from ..events import Units
from ..pricing import Prices

__all__ = ["Dearest"]

_SAMPLE: Final[Units] = {"text": (1000, 1000)}
"""As many tokens in as out: which model is the dearest depends on it little."""


class Dearest:
    """Found once for each maker, which takes milliseconds, and remembered."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._found: dict[str, tuple[str, str] | None] = {}

    def known(self, provider: str) -> bool:
        """Whether it was found, or found that there is none."""
        return provider in self._found

    def find(self, provider: str) -> tuple[str, str] | None:
        """(provider, model); of a provider of whose models none has a price, the dearest of all. Loads the rates."""
        if provider not in self._found:
            self._prices.load()
            now = time.time_ns()
            listed = list(self._prices.models())
            own = [one for one in listed if one[0] == provider]
            self._found[provider] = self._dearest(own, now) or self._dearest(listed, now)
        return self._found[provider]

    def price(self, provider: str, units: Units, at_ns: int) -> tuple[int, int] | None:
        """(input ticks, output ticks) of units at the dearest model's rates; None if there is no rate for anything."""
        found = self.find(provider)
        if found is None:
            return None
        cost = cost_of(self._prices, *found, units, at_ns).cost
        return None if cost is None else (cost.input_ticks, cost.output_ticks)

    def _dearest(self, models: list[tuple[str, str]], now: int) -> tuple[str, str] | None:
        best, most = None, 0
        for provider, model in models:
            plan = self._prices.listed(provider, model, now)
            cost = None if plan is None else plan.price(_SAMPLE).cost
            if cost is not None and cost.total_ticks > most:
                best, most = (provider, model), cost.total_ticks
        return best
