"""Resources that Pay-i does not know, made with our rates. Its prices are USD for a single unit, by unit and side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec

from ..events import CallEvent, format_time
from ..pricing import Prices
from ..values import MONEY
from .api import Answer
from .names import named
from .refusals import refusal

__all__ = ["NewResources"]

_DAY_NS = 86_400 * 10**9
_encode = msgspec.json.Encoder(decimal_format="number").encode


class NewResources:
    """Makes resources, each once.

    Args:
        post: Sends a body to a path.
        prices: Our rates.
    """

    def __init__(self, post: Callable[[str, bytes], Answer], prices: Prices) -> None:
        self._post = post
        self._prices = prices

    def make(self, events: list[CallEvent]) -> dict[tuple[str, str], str | None]:
        """Make what these events need; by category and resource, None for done or why not.

        Raises:
            Unreachable: The server cannot be had.
        """
        first: dict[tuple[str, str], CallEvent] = {}
        for event in sorted(events, key=lambda event: event.started_ns):
            first.setdefault(named(event), event)
        return {names: self._make(*names, event) for names, event in first.items()}

    def _make(self, category: str, resource: str, event: CallEvent) -> str | None:
        if (category, resource) in ((category, "."), (category, "..")):
            return "no path can name it"
        units = self._units(event)
        if not units:
            return f"there are no rates for {resource[:128]} of {event.provider}"
        # A resource holds from a midnight on, UTC.
        starts = format_time(event.started_ns // _DAY_NS * _DAY_NS)
        path = f"/api/v1/categories/{quote(category, safe='')}/resources/{quote(resource, safe='')}"
        answer = self._post(path, _encode({"units": units, "start_timestamp": starts}))
        return (
            None
            if answer.status in (200, 201)
            else f"it could not be made: {answer.status} {refusal(answer.json())[1]}"
        )

    def _units(self, event: CallEvent) -> dict[str, dict[str, Decimal]]:
        """Every unit that has a rate, with the names for large prompts; else those of the event itself."""
        found: dict[str, dict[str, Decimal]] = {}
        for unit, side, price in [*self._listed(event), *_in_lines(event)]:
            found.setdefault(unit, {}).setdefault(f"{side}_price", price)
        return found

    def _listed(self, event: CallEvent) -> list[tuple[str, str, Decimal]]:
        model: Any = event.resource or event.requested_resource
        if not model or event.attribution.price_as:
            return []
        plan = None
        with contextlib.suppress(RuntimeError):  # the rates are not loaded yet
            plan = self._prices.plan(event.provider, model, event.started_ns, event.service_tier, event.terms)
        tables = () if plan is None else plan.tables
        return [
            (unit if table.above <= 0 else f"{unit}_large_context", side, MONEY.divide(rate.usd, rate.per))
            for table in tables
            for (unit, side), rate in table.rates.items()
        ]


def _in_lines(event: CallEvent) -> list[tuple[str, str, Decimal]]:
    lines = () if event.cost is None or event.cost_source == "provider" else event.cost.lines
    return [(line.unit, line.side, MONEY.divide(Decimal(line.rate), line.per)) for line in lines]
