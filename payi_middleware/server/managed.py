"""Categories that are managed, `system.*`: what our rates price, as resources with versions, as Pay-i lists its own.

A resource has a version for each span of time in which its rates are the same. Where they change with the time of the day,
only the present span is told. What is made of the rates is remembered until they are replaced, or a span ends.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from ..costing import provider_of
from ..events import Side, format_id, format_time
from ..once import event_id
from ..pricing import Prices
from ..pricing.plan import FOREVER, Plan, RateTable
from ..pricing.units import ELSE
from ..providers import PROVIDERS
from ..sinks.names import is_sized
from .moments import DAY_NS
from .paging import Paging

__all__ = ["MANAGED", "Managed", "Version"]

MANAGED = "system."
"""With which their names begin."""

_VERTEX = "system.google.vertex"  # where Pay-i puts the maker before the model's name
_MOST = 20  # versions before and after the present one
_LARGE = "_large_context"
_REST = 0.01  # seconds for each millisecond of work


class Version(NamedTuple):
    """The rates of a resource for a span of time, nanoseconds since the epoch; from 0 where nobody tells since when."""

    category: str
    resource: str
    start_ns: int
    end_ns: int | None
    units: dict[str, dict[str, Decimal | None]]
    large_context_threshold: int | None
    window: int | None
    """Tokens that a model takes and makes together, at most."""

    @property
    def resource_id(self) -> str:
        """The same wherever it is made."""
        return format_id(event_id(self.category, f"{self.resource}\n{self.start_ns}"))

    @property
    def mark(self) -> str:
        """By which versions are sorted."""
        return f"{self.resource}\n{self.start_ns:020}"

    def holds(self, now_ns: int) -> bool:
        """Whether these are the rates now."""
        return self.start_ns <= now_ns and (self.end_ns is None or now_ns < self.end_ns)

    def to_dict(self, now_ns: int) -> dict[str, Any]:
        """A `Resource` of Pay-i's."""
        return {
            "resource_id": self.resource_id,
            "category": self.category,
            "resource": self.resource,
            "active": self.holds(now_ns),
            "proxy_allowed": False,
            "start_timestamp": format_time(self.start_ns),
            "end_timestamp": None if self.end_ns is None else format_time(self.end_ns),
            "units": self.units,
            "max_input_units": None,
            "max_output_units": None,
            "max_total_units": self.window,
            "large_context_threshold": self.large_context_threshold,
        }


class _Table(NamedTuple):
    """What was made of one table of rates."""

    version: str
    categories: dict[str, dict[str, str]]
    """Category -> resource -> model, both sorted."""
    known: dict[tuple[str, str], tuple[int, tuple[Version, ...]]]
    """By category and resource: until when they are right, and the versions, oldest first."""


class Managed:
    """The categories that rates make.

    Args:
        prices: Loaded. They may be replaced while this is used.
    """

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._lock = threading.Lock()
        self._table = _Table("", {}, {})

    def categories(self, asked: Paging) -> Iterator[tuple[str, str]]:
        """The names from a mark on, each as its own mark."""
        return ((name, name) for name in _behind(list(self._now().categories), asked.mark, asked))

    def has(self, category: str, resource: str | None = None) -> bool:
        """Whether there is such a category, or such a resource of it."""
        found = self._now().categories.get(category)
        return found is not None and (resource is None or resource in found)

    def resources(
        self, category: str, asked: Paging, now_ns: int, active: bool | None
    ) -> Iterator[tuple[str, Version]]:
        """The versions of all resources of a category, from a mark on; `active` picks those that hold now, or do not."""
        names = list(self._now().categories.get(category, ()))
        mark = None if asked.mark is None else asked.mark.partition("\n")[0]
        for name in _behind(names, mark, asked, with_it=True):
            yield from self.versions(category, name, asked, now_ns, active)

    def versions(
        self, category: str, resource: str, asked: Paging, now_ns: int, active: bool | None
    ) -> Iterator[tuple[str, Version]]:
        """The versions of a resource, likewise."""
        some = self.all_versions(category, resource, now_ns)
        for version in some if asked.ascending else reversed(some):
            is_behind = asked.mark is None or (
                version.mark > asked.mark if asked.ascending else version.mark < asked.mark
            )
            if is_behind and (active is None or active == version.holds(now_ns)):
                yield version.mark, version

    def all_versions(self, category: str, resource: str, now_ns: int) -> tuple[Version, ...]:
        """Those of a resource, oldest first; none if there is no such resource, or nothing of it has a rate."""
        table = self._now()
        model = table.categories.get(category, {}).get(resource)
        if model is None:
            return ()
        until, found = table.known.get((category, resource), (0, ()))
        if now_ns >= until:
            plans = _plans(self._prices, provider_of(category), model, now_ns)
            window = self._prices.window(provider_of(category), model)
            found = tuple(_merged(_version(category, resource, plan, window) for plan in plans))
            until = next((plan.ends_ns for plan in plans if plan.starts_ns <= now_ns < plan.ends_ns), now_ns + DAY_NS)
            table.known[category, resource] = until, found
        return found

    def warm(self) -> None:
        """Make what there is of every resource, at rest for most of the time: the first who asks for a long page waits less."""
        for category, models in list(self._now().categories.items()):
            for resource in models:
                self.all_versions(category, resource, time.time_ns())
                time.sleep(_REST)

    def _now(self) -> _Table:
        """What belongs to the rates as they are."""
        with self._lock:
            if self._table.version != self._prices.version:
                self._table = _Table(self._prices.version, _categories(self._prices), {})
            return self._table


def _categories(prices: Prices) -> dict[str, dict[str, str]]:
    """Names that stand for many (`veo-3.0-generate-*`) are no resources."""
    of_provider: dict[str, list[str]] = {}
    for provider, model in prices.models():
        if "*" not in model:
            of_provider.setdefault(provider, []).append(model)
    names = {provider.category for provider in PROVIDERS} | {f"{MANAGED}{provider}" for provider in of_provider}
    found: dict[str, dict[str, str]] = {}
    for category in sorted(names):
        models = of_provider.get(provider_of(category), ())
        if models:
            found[category] = dict(sorted((_resource(category, model), model) for model in models))
    return found


def _resource(category: str, model: str) -> str:
    if category != _VERTEX:
        return model
    return ("anthropic." if model.startswith("claude") else "google.") + model


def _plans(prices: Prices, provider: str, model: str, now_ns: int) -> list[Plan]:
    """The plans of a model, oldest first."""
    present = prices.unremembered(provider, model, now_ns)
    if present is None:
        return []
    if present.starts_ns % DAY_NS or (present.ends_ns != FOREVER and present.ends_ns % DAY_NS):
        return [present]
    found = [present]
    while found[0].starts_ns > 0 and len(found) <= _MOST:
        before = prices.unremembered(provider, model, found[0].starts_ns - 1)
        if before is None:
            break
        found.insert(0, before)
    while found[-1].ends_ns != FOREVER and len(found) <= 2 * _MOST:
        after = prices.unremembered(provider, model, found[-1].ends_ns)
        if after is None:
            break
        found.append(after)
    return found


def _merged(versions: Iterable[Version]) -> Iterator[Version]:
    """Those that have rates; spans that follow one another with the same are one."""
    last: Version | None = None
    for version in versions:
        if last is not None and last.units == version.units and last.end_ns == version.start_ns:
            last = last._replace(end_ns=version.end_ns)
            continue
        if last is not None and last.units:
            yield last
        last = version
    if last is not None and last.units:
        yield last


def _version(category: str, resource: str, plan: Plan, window: int | None) -> Version:
    """The rates for large prompts have units of their own, as Pay-i names them: those above the first mark."""
    small, *large = plan.tables
    units: dict[str, dict[str, Decimal | None]] = {}
    for table, suffix in ((small, ""), *((table, _LARGE) for table in large[:1])):
        for (unit, side), rate in table.rates.items():
            if rate.doubt is None and not _repeats(table, unit, side) and (is_sized(unit) or not suffix):
                units.setdefault(unit + suffix, {})[f"{side}_price"] = (rate.usd / rate.per).normalize()
    end = None if plan.ends_ns == FOREVER else plan.ends_ns
    return Version(category, resource, plan.starts_ns, end, units, large[0].above if large else None, window)


def _repeats(table: RateTable, unit: str, side: Side) -> bool:
    """Whether a unit only has the rate of the one that counts where it has none."""
    others = (table.rates.get((other, side)) for other in (*ELSE.get((unit, side), ()), "text"))
    rate, other = table.rates[unit, side], next((other for other in others if other is not None), None)
    return unit != "text" and other is not None and (rate.usd, rate.per) == (other.usd, other.per)


def _behind(names: Sequence[str], mark: str | None, asked: Paging, *, with_it: bool = False) -> Iterator[str]:
    """Sorted names behind a mark in the order asked for, or from it on."""
    if asked.ascending:
        start = 0 if mark is None else (bisect.bisect_left if with_it else bisect.bisect_right)(names, mark)
        return (names[n] for n in range(start, len(names)))
    end = len(names) if mark is None else (bisect.bisect_right if with_it else bisect.bisect_left)(names, mark)
    return (names[n] for n in range(end - 1, -1, -1))
