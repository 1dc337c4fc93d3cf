"""What the server tells Prometheus of itself: in a registry of its own, with labels of few values only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..events import TICKS_PER_USD
from ..limits.ledger import Ledger
from .limit_metrics import LimitCollector
from .settling import Outcome, Settled

__all__ = ["Metrics"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # seconds


class Metrics:
    """Counts of one server.

    Args:
        depth: How many events wait to be written.
        categories: Those that have a label of their own; all others are `other`.
        ledger: Whose limits are told.
    """

    def __init__(self, depth: Callable[[], float], categories: Iterable[str], ledger: Ledger) -> None:
        self._registry = registry = CollectorRegistry()
        self._categories = frozenset(categories)
        self._events = Counter("payi_events", "Events stored.", ["category"], registry=registry)
        self._duplicates = Counter("payi_events_duplicate", "Events that were there already.", registry=registry)
        self._refused = Counter("payi_events_refused", "Events refused.", registry=registry)
        self._cost = Counter("payi_cost_usd", "Cost of the events stored, USD.", ["category"], registry=registry)
        self._bytes = Counter("payi_request_bytes", "Bytes of request bodies, as sent.", registry=registry)
        self._seconds = Histogram(
            "payi_request_seconds", "Seconds from request to answer.", ["method", "status"],
            buckets=_BUCKETS, registry=registry,
        )  # fmt: skip
        Gauge("payi_events_waiting", "Events that wait to be written.", registry=registry).set_function(depth)
        registry.register(LimitCollector(ledger))

    def counted(self, outcomes: Sequence[Outcome]) -> None:
        """Count what became of some events: by category at once, as a look-up for each would be felt in a bulk."""
        sums: dict[str, list[int]] = {}
        duplicates = refused = 0
        for outcome in outcomes:
            if not isinstance(outcome, Settled):
                refused += 1
            elif outcome.duplicate:
                duplicates += 1
            else:
                cost = outcome.event.cost
                known = sums.setdefault(outcome.event.category, [0, 0])
                known[0] += 1
                known[1] += 0 if cost is None else cost.total_ticks
        self._duplicates.inc(duplicates)
        self._refused.inc(refused)
        for category, (events, ticks) in sums.items():
            label = category if category in self._categories else "other"
            self._events.labels(label).inc(events)
            self._cost.labels(label).inc(max(0, ticks) / TICKS_PER_USD)

    def answered(self, method: str, status: int, seconds: float, size: int) -> None:
        """Count a request; its path is no label, the status only by its first digit."""
        name = method if method in ("GET", "POST", "PUT", "DELETE") else "other"
        self._seconds.labels(name, f"{status // 100}xx").observe(seconds)
        self._bytes.inc(size)

    def text(self) -> bytes:
        """All of it in Prometheus' text format. The ledger is asked, so it may wait."""
        return generate_latest(self._registry)
