"""How limits stand, for Prometheus: by the limit's name and never by account, so that users make no labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .. import health
from ..events import TICKS_PER_USD
from ..exceptions import LedgerError
from ..limits.ledger import Ledger
from ..limits.limit import Definition

__all__ = ["MOST", "LimitCollector"]

MOST: Final = 200
"""Limits that have labels of their own; those made first."""
_LABELS: Final = ("application", "limit", "unit")


class LimitCollector(Collector):
    """Asks the ledger whenever it is asked."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: to tell names, the ledger need not be asked."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The sums over a limit's accounts in the windows that run; whether the ledger could be asked."""
        up = GaugeMetricFamily("payi_ledger_up", "Whether the ledger of the limits answers.")
        try:
            families = self._families()
            up.add_metric((), 1)
        except LedgerError as error:
            health.note("server_ledger", "limits cannot be told: %s", error)
            families = []
            up.add_metric((), 0)
        yield up
        yield from families

    def _families(self) -> list[GaugeMetricFamily]:
        spent = GaugeMetricFamily(
            "payi_limit_spent", "Spent in the window that runs: USD, calls or tokens.", labels=_LABELS
        )
        held = GaugeMetricFamily("payi_limit_held", "Held by calls that run.", labels=_LABELS)
        most = GaugeMetricFamily("payi_limit_max", "The maximum, of each account.", labels=_LABELS)
        refused = GaugeMetricFamily("payi_limit_refused", "Calls refused in the window that runs.", labels=_LABELS)
        for definition in self._told():
            unit = definition.limit.unit
            labels = (definition.application, definition.limit.name, unit)
            running = self._ledger.totals(definition.application, definition.limit_id)
            whole = TICKS_PER_USD if unit == "usd" else 1
            spent.add_metric(labels, sum(one.spent for one in running) / whole)
            held.add_metric(labels, sum(one.held for one in running) / whole)
            most.add_metric(labels, definition.limit.most / whole)
            refused.add_metric(labels, sum(one.requests.get("blocked", 0) for one in running))
        return [spent, held, most, refused]

    def _told(self) -> list[Definition]:
        """Limits of instances are runs, and have no label."""
        found: list[Definition] = []
        for application in self._ledger.applications():
            found += [one for one in self._ledger.definitions(application).limits if one.source != "instance"]
        return found[:MOST]
