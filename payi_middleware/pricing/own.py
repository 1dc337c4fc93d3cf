"""The entries of `rows` that name a model, laid over the rates of genai-prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

from ..events import Side, Unpriced
from ..values import MONEY, plain
from .plan import Rate, RateTable
from .rows import ALTERING, Entry
from .spans import moment_of
from .tiers import STANDARD
from .units import ELSE, is_tokens

__all__ = ["Own"]

_Key: TypeAlias = tuple[str, Side]


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
        self.terms = terms
        conditions = frozenset(terms) if tier in STANDARD else frozenset((*terms, f"tier:{tier}"))
        day = moment_of(at_ns).date()
        in_force = [entry for entry in entries if entry.holds(conditions, day)]
        self._rates = [entry for entry in in_force if entry.times is None]
        self._factors = _strongest([entry for entry in in_force if entry.times is not None])
        self._known = frozenset[str]().union(*(entry.when for entry in in_force))
        self.carries = any(entry.carries and entry.holds(entry.when, day) for entry in entries)
        """Whether these entries alone make the model known, be it under conditions that do not hold."""
        self.named = any(entry.replaces and entry.rates and entry.models != ("*",) for entry in in_force)
        """Whether an entry that comes before all lists names the model, be it with fees alone: a service that nobody lists."""
        self.knows_tier = f"tier:{tier}" in self._known
        self.dates = [day for entry in entries for day in (entry.starts, entry.ends) if day is not None]
        """The days on which something changes."""

    def notes(self, model: str, made_for: frozenset[str] = frozenset()) -> tuple[Unpriced, ...]:
        """The conditions that change a price, and of which neither an entry nor the listed rates know how."""
        return tuple(
            Unpriced(term.partition(":")[0], 1, f"no rate for {term} of {model}; standard rate used")
            for term in self.terms
            if term.startswith(ALTERING) and term not in self._known and term not in made_for
        )

    def tables(self, listed: Sequence[RateTable], made_for: frozenset[str] = frozenset()) -> list[RateTable]:
        """The listed rates with the entries laid over them, a table for each stretch between two marks.

        `made_for` are the conditions that the listed rates meet already.
        """
        marks = sorted({table.above for table in listed} | {entry.above for entry in self._rates})
        return [RateTable(mark, self._laid(_rates_at(listed, mark), mark, made_for)) for mark in marks]

    def _laid(self, listed: Mapping[_Key, Rate], mark: int, made_for: frozenset[str]) -> dict[_Key, Rate]:
        rates = dict(listed)
        met = dict.fromkeys(listed, made_for)
        entries = [entry for entry in self._rates if entry.above <= mark]
        ours: set[_Key] = set()
        for entry in entries:
            _lay(entry, rates, met, ours)
        if self._rates:
            _fill(rates, met)
        for entry in entries:
            _multiply(entry, rates, met, listed, ours)
        for factor in self._factors:
            assert factor.times is not None
            for key, rate in rates.items():
                if (factor.all_units or is_tokens(key[0])) and met[key].isdisjoint(factor.when):
                    rates[key] = _times(rate, factor.times)
        return rates


def _strongest(factors: Sequence[Entry]) -> list[Entry]:
    """Of the factors with the same conditions the strongest, which stands last; of nested conditions the narrowest."""
    single = list({factor.when: factor for factor in factors}.values())
    return [factor for factor in single if not any(_is_within(other, factor) for other in single)]


def _is_within(narrow: Entry, wide: Entry) -> bool:
    """Whether a factor speaks of a special case of another's: of a data zone in Europe, beside any data zone."""
    owners = wide.replaces and not narrow.replaces
    return bool(wide.when) and wide.when < narrow.when and not owners


def _rates_at(tables: Sequence[RateTable], mark: int) -> Mapping[_Key, Rate]:
    return next(table.rates for table in reversed(tables) if table.above <= mark)


def _gives_way(listed: Rate | None, entry: Entry) -> bool:
    """Whether an entry comes before what is listed."""
    return listed is None or listed.doubt is not None or entry.replaces or bool(entry.when)


def _since(entry: Entry) -> str | None:
    return None if entry.starts is None else entry.starts.isoformat()


def _lay(entry: Entry, rates: dict[_Key, Rate], met: dict[_Key, frozenset[str]], ours: set[_Key]) -> None:
    for key, (usd, per) in entry.rates.items():
        if key in ours or _gives_way(rates.get(key), entry):
            rates[key] = Rate(usd, per, entry.source, _since(entry), entry.doubt)
            met[key] = entry.when
            ours.add(key)


def _fill(rates: dict[_Key, Rate], met: dict[_Key, frozenset[str]]) -> None:
    """Give units without a rate that of the unit whose kind they are; listed models have these already."""
    for (unit, side), others in ELSE.items():
        if (unit, side) not in rates:
            other = next((other for other in others if (other, side) in rates), None)
            if other is not None:
                rates[unit, side] = rates[other, side]
                met[unit, side] = met[other, side]


def _multiply(
    entry: Entry,
    rates: dict[_Key, Rate],
    met: dict[_Key, frozenset[str]],
    listed: Mapping[_Key, Rate],
    ours: set[_Key],
) -> None:
    for key, (times, other) in entry.multiples.items():
        base = rates.get(other)
        if base is not None and (key not in ours or entry.replaces) and _gives_way(listed.get(key), entry):
            rates[key] = Rate(
                plain(MONEY.multiply(base.usd, times)), base.per, entry.source, _since(entry), entry.doubt or base.doubt
            )
            met[key] = met[other] | entry.when


def _times(rate: Rate, times: Decimal) -> Rate:
    if times == 1:  # an entry that says there is no surcharge
        return rate
    return rate._replace(usd=plain(MONEY.multiply(rate.usd, times)), source=f"{rate.source} x {times}")
