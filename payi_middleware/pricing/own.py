"""The entries of `rows` that name a model, laid over the rates of genai-prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ..events import Side, Unpriced
from .plan import Rate, RateTable
from .rows import ALTERING, Entry
from .spans import moment_of
from .tiers import STANDARD
from .units import ELSE, is_tokens

__all__ = ["Own"]


class Own:
    """What our own entries say of a model under conditions.

    Args:
        entries: All that name the model, the stronger behind.
        at_ns: When the call was made, nanoseconds since the epoch.
        tier: The service tier as served, in lower case; empty for none.
        terms: What else the rates depend on.
    """

    def __init__(self, entries: Sequence[Entry], at_ns: int, tier: str, terms: tuple[str, ...]) -> None:
        self.tier = tier
        self._terms = terms
        conditions = frozenset(terms) if tier in STANDARD else frozenset((*terms, f"tier:{tier}"))
        day = moment_of(at_ns).date()
        in_force = [entry for entry in entries if entry.holds(conditions, day)]
        self._rates = [entry for entry in in_force if entry.times is None]
        self._factors = [entry for entry in in_force if entry.times is not None]
        self._known = frozenset[str]().union(*(entry.when for entry in in_force))
        self.carries = any(entry.carries for entry in self._rates)
        """Whether these entries alone make the model known."""
        self.knows_tier = f"tier:{tier}" in self._known
        self.dates = [day for entry in entries for day in (entry.starts, entry.ends) if day is not None]
        """The days on which something changes."""

    def notes(self, model: str) -> tuple[Unpriced, ...]:
        """The conditions that change a price, and of which no entry knows how."""
        return tuple(
            Unpriced(term.partition(":")[0], 1, f"no rate for {term} of {model}; standard rate used")
            for term in self._terms
            if term.startswith(ALTERING) and term not in self._known
        )

    def tables(self, listed: Sequence[RateTable]) -> list[RateTable]:
        """The listed rates with the entries laid over them, a table for each stretch between two marks."""
        marks = sorted({table.above for table in listed} | {entry.above for entry in self._rates})
        return [RateTable(mark, self._laid(_rates_at(listed, mark), mark)) for mark in marks]

    def _laid(self, listed: Mapping[tuple[str, Side], Rate], mark: int) -> dict[tuple[str, Side], Rate]:
        rates = dict(listed)
        for entry in self._rates:
            if entry.above <= mark:
                _lay(entry, rates)
        if self._rates:
            _fill(rates)
        for factor in self._factors:
            assert factor.times is not None
            for key, rate in rates.items():
                if factor.all_units or is_tokens(key[0]):
                    rates[key] = _times(rate, factor.times)
        return rates


def _rates_at(tables: Sequence[RateTable], mark: int) -> Mapping[tuple[str, Side], Rate]:
    return next(table.rates for table in reversed(tables) if table.above <= mark)


def _lay(entry: Entry, rates: dict[tuple[str, Side], Rate]) -> None:
    since = None if entry.starts is None else entry.starts.isoformat()
    for key, (usd, per) in entry.rates.items():
        before = rates.get(key)
        if before is None or before.doubt is not None or entry.replaces or entry.when or before.source == entry.source:
            rates[key] = Rate(usd, per, entry.source, since)


def _fill(rates: dict[tuple[str, Side], Rate]) -> None:
    """Give units without a rate that of the unit whose kind they are; listed models have these already."""
    for (unit, side), others in ELSE.items():
        if (unit, side) not in rates:
            rate = next((rates[other, side] for other in others if (other, side) in rates), None)
            if rate is not None:
                rates[unit, side] = rate


def _times(rate: Rate, times: Decimal) -> Rate:
    return rate._replace(usd=rate.usd * times, source=f"{rate.source} x {times}")
