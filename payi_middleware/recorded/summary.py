"""What the results of a recording come to: how much was priced, how surely, and why the rest was not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .price import Result

__all__ = ["Summary", "Sure", "Tally"]


@dataclass(slots=True)
class Tally:
    """Exchanges of one kind."""

    exchanges: int = 0
    billable: int = 0
    """All but those that a rule says cost nothing, and those of hosts that are no provider."""
    by_source: Counter[str] = field(default_factory=Counter)
    """Billable ones by the source of their cost."""
    ticks: int = 0

    def add(self, result: Result) -> None:
        """Count one more."""
        self.exchanges += 1
        if result.billable:
            self.billable += 1
            self.by_source[result.cost_source] += 1
        self.ticks += 0 if result.cost is None else result.cost.total_ticks


@dataclass(slots=True)
class Sure:
    """Costs that are equally sure."""

    exchanges: int = 0
    ticks: int = 0


class Summary:
    """Sums over results."""

    def __init__(self) -> None:
        self.total = Tally()
        self.by: dict[tuple[str, str], Tally] = {}
        """(provider, framing) -> what was priced of it."""
        self.reasons: Counter[tuple[str, str]] = Counter()
        """(cost source, reason), and what of a cost is unpriced, by number of exchanges."""
        self.sure = {"exact": Sure(), "estimated": Sure(), "partial": Sure()}
        """Costs that nothing is missing from, stated or by reported usage; of counted tokens; with something left out."""
        self.stated = 0
        """Costs stated by a provider beside a usage that has rates."""
        self.met = 0
        """Of these, the ones that the usage comes to within 0.1 %."""
        self.undated = 0

    def add(self, result: Result) -> None:
        """Count one more."""
        self.total.add(result)
        self.by.setdefault((result.provider or "(none)", result.framing), Tally()).add(result)
        self.undated += result.at_source == "now"
        if result.reason is not None:
            self.reasons[result.cost_source, result.reason] += 1
        for reason in {entry.reason for entry in result.unpriced}:
            self.reasons[result.cost_source, f"unpriced: {reason}"] += 1
        self._add_cost(result)

    def _add_cost(self, result: Result) -> None:
        cost, computed = result.cost, result.cost_computed
        if cost is None:
            return
        sure = self.sure["partial" if result.unpriced else "estimated" if result.cost_source == "estimate" else "exact"]
        sure.exchanges += 1
        sure.ticks += cost.total_ticks
        if computed is not None:
            self.stated += 1
            self.met += 1000 * abs(computed.total_ticks - cost.total_ticks) <= cost.total_ticks
