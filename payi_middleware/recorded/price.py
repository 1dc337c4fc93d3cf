"""What a recorded exchange cost: driven through the `Call` of live traffic, then finished as the draining thread does it."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from .. import forms, health
from ..costing import cost_of
from ..counting.estimates import Estimates
from ..events import CallEvent, Cost, CostSource, Units, Unpriced, format_time
from ..exchange import Exchange
from ..meter import Meter
from ..opening import open_call
from ..pending import finished
from ..providers.base import Provider, Route
from ..spool import Spool
from .exchange import Recorded
from .framing import framing_of

__all__ = ["AtSource", "Pricer", "Result"]

AtSource: TypeAlias = Literal["option", "header", "recording", "body", "now"]
"""Where the date of an exchange is from: the caller, the answer's header `date`, the recording, what the answer itself says
of its making, or nowhere, so that it is today."""

PATIENCE = 60.0
"""Seconds to wait, once, for the ranks of tokenizers: nobody's request waits, and counts by length would differ from run to run."""

_NO_EVENT = "free: a poll of what counts once, when it is done, or that was counted before"
_FAULT = "the exchange could not be priced: a fault of payi-middleware, see its log"


class Result(NamedTuple):
    """What a recorded exchange cost."""

    source: str
    at_ns: int
    at_source: AtSource
    framing: str
    provider: str | None = None
    model: str | None = None
    """The model that answered, else the one asked for."""
    endpoint: str | None = None
    streamed: bool = False
    units: Units = {}  # noqa: RUF012 - a default that nobody changes, as in `CallEvent`
    cost: Cost | None = None
    cost_source: CostSource = "none"
    unpriced: tuple[Unpriced, ...] = ()
    reason: str | None = None
    billable: bool | None = None
    """False where a rule says that nothing is billed (management calls, refused calls); None where nobody can say."""
    cost_computed: Cost | None = None
    """What the usage comes to beside a cost that the provider stated."""
    computed_unpriced: tuple[Unpriced, ...] = ()
    """What `cost_computed` leaves out."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; `cost` and `cost_computed` as in `CallEvent.to_dict`."""
        found: dict[str, Any] = {
            "source": self.source,
            "provider": self.provider,
            "model": self.model,
            "at": format_time(self.at_ns),
            "at_source": self.at_source,
            "endpoint": self.endpoint,
            "framing": self.framing,
            "streamed": self.streamed,
            "units": {name: {"input": sides[0], "output": sides[1]} for name, sides in self.units.items()},
            "cost": None if self.cost is None else self.cost.to_dict(),
            "cost_source": self.cost_source,
            "unpriced": _listed(self.unpriced),
            "reason": self.reason,
            "billable": self.billable,
        }
        if self.cost_source == "provider":
            found["cost_computed"] = None if self.cost_computed is None else self.cost_computed.to_dict()
            found["computed_unpriced"] = _listed(self.computed_unpriced)
        return found


class Pricer:
    """Prices recorded exchanges, each at its own date. Nothing is stored or sent.

    Args:
        hosts: host or host:port -> a provider's name; None for the setting `hosts`.
        at_ns: The date for all, nanoseconds since the epoch, in place of their own.

    Raises:
        SettingsError: A host or a provider's name is wrong.
    """

    def __init__(self, hosts: Mapping[str, str] | None = None, at_ns: int | None = None) -> None:
        self._meter = meter = Meter(sinks=()) if hosts is None else Meter(sinks=(), hosts=hosts)
        meter.spool = Spool(None, limit=0, wake=lambda: False)  # in memory, and no thread takes from it but this
        meter.estimates = Estimates(PATIENCE)
        meter.prices.load()
        self._at_ns = at_ns

    @property
    def version(self) -> str:
        """The source of the rates and its version."""
        return self._meter.prices.version

    def price(self, recorded: Recorded) -> Result:
        """The cost of an exchange; where it has none, why. Never raises for what a provider answered."""
        at_ns, at_source = self._at(recorded)
        result = Result(recorded.source, at_ns, at_source, framing_of(recorded))
        provider = self._meter.hosts.find(recorded.place)
        if provider is None:
            return result._replace(reason=f"host {recorded.place.host} is no provider")
        result = result._replace(provider=provider.id)
        route = provider.route(recorded.method, recorded.place.path)
        if route is None:
            reason = f"free: {provider.id} bills nothing for this kind of call"
            return result._replace(reason=reason, billable=False)
        try:
            # A context of its own: a refused call must not make the next one its second attempt.
            event = contextvars.Context().run(self._driven, recorded, provider, route, at_ns)
        except Exception:
            health.note("recorded", "a recorded exchange could not be priced", exc_info=True)
            return result._replace(reason=_FAULT)
        if event is None:
            return result._replace(reason=_NO_EVENT, billable=False)
        return self._told(result, event)

    def _at(self, recorded: Recorded) -> tuple[int, AtSource]:
        if self._at_ns is not None:
            return self._at_ns, "option"
        told: tuple[tuple[int | None, AtSource], ...] = (
            (recorded.date_ns, "header"),
            (recorded.recorded_ns, "recording"),
            (recorded.created_ns, "body"),
        )
        now = time.time_ns()
        for at_ns, at_source in told:
            if at_ns is not None and 0 <= at_ns <= now:  # a made-up date says nothing
                return at_ns, at_source
        return now, "now"

    def _driven(self, recorded: Recorded, provider: Provider, route: Route, at_ns: int) -> CallEvent | None:
        """The event of the exchange, as if it took place now and its clock stood at `at_ns`; None if it is none."""
        meter = self._meter
        sent = None if recorded.request is None else forms.as_json(recorded.request)
        exchange = Exchange(recorded.method, recorded.place.path, sent, host=recorded.place.host)
        call = open_call(meter, provider, route, exchange, at_ns=at_ns)
        call.answered(recorded.status, recorded.encoding, recorded.headers)
        call.parts.append(recorded.body)
        call.told_parts()
        call.end(here=True)
        return next(iter(finished(meter.spool.take(1), meter.prices, meter.estimates)), None)

    def _told(self, result: Result, event: CallEvent) -> Result:
        refused = event.outcome == "error" and event.cost is None and not event.units
        result = result._replace(
            provider=event.provider,
            model=event.resource or event.requested_resource,
            endpoint=event.endpoint,
            streamed=event.streamed,
            units=event.units,
            cost=event.cost,
            cost_source=event.cost_source,
            unpriced=event.unpriced,
            reason=event.reason,
            billable=not refused,
        )
        return result if event.cost_source != "provider" or not event.units else self._computed(result, event)

    def _computed(self, result: Result, event: CallEvent) -> Result:
        """What the usage comes to, by the same rates as if the provider had stated nothing."""
        costed = cost_of(
            self._meter.prices,
            event.provider,
            event.resource,
            event.units,
            event.started_ns,
            event.service_tier,
            terms=event.terms,
            parts=event.parts,
        )
        return result._replace(cost_computed=costed.cost, computed_unpriced=costed.unpriced)


def _listed(unpriced: tuple[Unpriced, ...]) -> list[dict[str, Any]]:
    return [{"unit": entry.unit, "quantity": entry.quantity, "reason": entry.reason} for entry in unpriced]
