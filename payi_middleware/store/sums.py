"""What a report says of a group of calls: sums, added up from rollups and events, and its JSON form."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from ..events import TICKS_PER_USD, usd
from .histogram import quantiles
from .kinds import PLAIN, is_retried, is_unattributed, is_unpriced, outcome_of, source_of

__all__ = ["Sums", "money"]


class Sums:
    """Sums over the calls of one group."""

    __slots__ = (
        "calls",
        "cost_ticks",
        "estimated_ticks",
        "failed_ticks",
        "failures",
        "first_byte",
        "input_tokens",
        "latency",
        "output_tokens",
        "retried_calls",
        "retried_ticks",
        "unattributed_calls",
        "unattributed_ticks",
        "unpriced_calls",
    )

    def __init__(self) -> None:
        self.calls = self.input_tokens = self.output_tokens = 0
        self.cost_ticks = self.estimated_ticks = 0
        self.failed_ticks = self.retried_ticks = self.retried_calls = 0
        self.unpriced_calls = self.unattributed_calls = self.unattributed_ticks = 0
        self.failures: dict[str, int] = {}
        self.latency: list[bytes] = []
        self.first_byte: list[bytes] = []

    def add(
        self, kind: int, calls: int, input_tokens: int, output_tokens: int, ticks: int, latency: bytes, first: bytes
    ) -> None:
        """Add the calls of one kind."""
        self.calls += calls
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens
        self.cost_ticks += ticks
        self.latency.append(latency)
        self.first_byte.append(first)
        if kind not in PLAIN:
            self._add_doubts(kind, calls, ticks)

    def _add_doubts(self, kind: int, calls: int, ticks: int) -> None:
        outcome = outcome_of(kind)
        if outcome != "ok":
            self.failures[outcome] = self.failures.get(outcome, 0) + calls
            self.failed_ticks += ticks
        if source_of(kind) == "estimate":
            self.estimated_ticks += ticks
        if is_retried(kind):
            self.retried_calls += calls
            self.retried_ticks += ticks
        if is_unpriced(kind):
            self.unpriced_calls += calls
        if is_unattributed(kind):
            self.unattributed_calls += calls
            self.unattributed_ticks += ticks

    def latency_ms(self) -> tuple[float | None, ...]:
        """Half, and 95 of 100, of the calls ended within so many milliseconds."""
        return quantiles(b"".join(self.latency), 0.5, 0.95)

    def first_byte_ms(self) -> tuple[float | None, ...]:
        """The same for the first part of the answer's body."""
        return quantiles(b"".join(self.first_byte), 0.5, 0.95)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, without a key."""
        latency, first = self.latency_ms(), self.first_byte_ms()
        return {
            "calls": self.calls,
            "failures": {outcome: n for outcome, n in sorted(self.failures.items()) if n},
            "tokens": {"input": self.input_tokens, "output": self.output_tokens},
            "cost": money(self.cost_ticks),
            "estimated": money(self.estimated_ticks),
            "failed": money(self.failed_ticks),
            "retried": money(self.retried_ticks),
            "retried_calls": self.retried_calls,
            "unpriced_calls": self.unpriced_calls,
            "unattributed_calls": self.unattributed_calls,
            "latency_ms": {"p50": latency[0], "p95": latency[1]},
            "ttft_ms": {"p50": first[0], "p95": first[1]},
        }


def money(ticks: int) -> str:
    """Ticks as a plain decimal string of USD, exact."""
    if ticks % TICKS_PER_USD == 0:
        return str(ticks // TICKS_PER_USD)
    value: Decimal = usd(ticks)
    return format(value, "f").rstrip("0")
