"""Rates made ready for counting: a plan turns units into a cost with integers alone, about 1 µs a call.

Every rate of a plan becomes an integer over one common denominator, so nothing is rounded before the sum; the sum is
rounded once, half to even, to ticks. The rates come as data (`RateTable`), whatever their source. Units that have
a rate are priced in one short loop, fees are added behind it; long prompts, doubts and units without a rate take another.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple, TypeAlias

from ..events import TICKS_PER_USD, Cost, Line, Side, Units, Unpriced
from .units import INPUT_TOKENS

__all__ = ["FOREVER", "REQUEST", "Plan", "Priced", "Rate", "RateTable", "cost_of_lines"]

FOREVER = 1 << 63
"""The end of a plan that no later date replaces, nanoseconds."""

REQUEST = "request"
"""The unit of a fee for each call, whatever it consumed (Perplexity)."""


class Rate(NamedTuple):
    """The price of one unit."""

    usd: Decimal
    """USD for `per` units."""
    per: int
    source: str
    valid_from: str | None = None
    """ISO date since which the rate holds; None where the source does not tell."""
    doubt: str | None = None
    """Set if the rate is a stand-in for one that is missing: it is used, and said in `unpriced`."""


class RateTable(NamedTuple):
    """The rates for prompts of more than `above` tokens."""

    above: int
    rates: Mapping[tuple[str, Side], Rate]


class Priced(NamedTuple):
    """What a call cost, and what the cost leaves out."""

    cost: Cost | None
    """None if something was consumed and nothing of it has a rate."""
    unpriced: tuple[Unpriced, ...]


_Compiled: TypeAlias = tuple[int, str, int, str, str | None]
"""Numerator of the ticks over the plan's denominator, USD as text, per, source, valid from."""


class _Table(NamedTuple):
    """The rates for prompts of more than `above` tokens, compiled."""

    above: int
    rates: dict[tuple[str, Side], _Compiled]
    doubts: dict[tuple[str, Side], str]


_SIDES: tuple[Side, Side] = ("input", "output")
_NOTHING = Priced(Cost(0, 0, 0), ())

# The named tuple's own __new__ is written in Python and takes a fifth of a microsecond more.
_new: Callable[[type[Priced], tuple[Cost | None, tuple[Unpriced, ...]]], Priced] = tuple.__new__


class Plan:
    """The rates of a model for a span of time, `starts_ns <= at < ends_ns`.

    Args:
        model: The model's id at the source of the rates.
        tables: Rates by size of the prompt, ascending, the first with `above=-1`. Crossing a mark changes the rate
            of all tokens, as providers bill long context.
        starts_ns, ends_ns: The span, nanoseconds since the epoch.
        notes: What every call under this plan leaves out.
        refusal: Why nothing has a rate, for a plan that only says so.
    """

    __slots__ = (
        "_common",
        "_compiled",
        "_denominator",
        "_fee",
        "_mark",
        "_notes",
        "_refusal",
        "_tables",
        "_turn",
        "ends_ns",
        "model",
        "starts_ns",
    )

    def __init__(
        self,
        model: str,
        tables: Sequence[RateTable] = (RateTable(-1, {}),),
        *,
        starts_ns: int = 0,
        ends_ns: int = FOREVER,
        notes: tuple[Unpriced, ...] = (),
        refusal: str | None = None,
    ) -> None:
        self.model = model
        self.starts_ns = starts_ns
        self.ends_ns = ends_ns
        self._tables = tuple(tables)
        self._notes = notes
        self._refusal = refusal
        self._denominator = math.lcm(*(_ticks(rate).denominator for table in tables for rate in table.rates.values()))
        self._compiled = tuple(self._table(table) for table in tables)
        first = self._compiled[0]
        sure = {key: rate for key, rate in first.rates.items() if key not in first.doubts}
        self._common = tuple({unit: rate for (unit, of), rate in sure.items() if of == side} for side in _SIDES)
        self._fee = first.rates.get((REQUEST, "input"))
        self._mark = tables[1].above if len(tables) > 1 else FOREVER
        self._turn = self._mark if self._fee is None else -1

    @property
    def tables(self) -> tuple[RateTable, ...]:
        """The rates by size of the prompt, ascending."""
        return self._tables

    @property
    def notes(self) -> tuple[Unpriced, ...]:
        """What every call under this plan leaves out."""
        return self._notes

    @property
    def refusal(self) -> str | None:
        """Why nothing has a rate, if so."""
        return self._refusal

    def noted(self, note: Unpriced) -> Plan:
        """The same plan, of which every call says one thing more."""
        plan = copy.copy(self)
        plan._notes = (*self._notes, note)
        return plan

    def price(self, units: Units) -> Priced:
        """The cost of `units`, whose quantities are 0 or more. Never raises for a unit it does not know."""
        inputs, outputs = self._common
        lines: list[Line] = []
        prompt = input_amount = output_amount = 0
        try:
            for unit, (taken, made) in units.items():
                if taken > 0:
                    numerator, usd, per, source, since = inputs[unit]
                    prompt += taken
                    input_amount += numerator * taken
                    lines.append(Line(unit, "input", taken, usd, per, source, since))
                if made > 0:
                    numerator, usd, per, source, since = outputs[unit]
                    output_amount += numerator * made
                    lines.append(Line(unit, "output", made, usd, per, source, since))
        except KeyError:
            return self._price_any(units)
        if prompt > self._turn:
            return self._price_with_fee(units, prompt, input_amount, output_amount, lines)
        if not lines:
            return _NOTHING
        total = input_amount + output_amount
        if self._denominator != 1:
            input_amount = round_half_even(input_amount, self._denominator)
            total = round_half_even(total, self._denominator)
        cost = Cost(input_amount, total - input_amount, total, tuple(lines))
        return _new(Priced, (cost, self._notes))

    def _price_with_fee(
        self, units: Units, prompt: int, input_amount: int, output_amount: int, lines: list[Line]
    ) -> Priced:
        """The same for a prompt that may be long, and for a plan of which a call has a fee."""
        if prompt > self._mark:
            return self._price_any(units)
        if not lines:
            return _NOTHING
        unpriced = self._notes
        if self._fee is not None and REQUEST not in units:  # an event told by hand may count them itself
            numerator, usd, per, source, since = self._fee
            input_amount += numerator
            lines.append(Line(REQUEST, "input", 1, usd, per, source, since))
            doubt = self._compiled[0].doubts.get((REQUEST, "input"))
            if doubt is not None:
                unpriced += (Unpriced(REQUEST, 1, doubt),)
        return _new(Priced, (self._cost(input_amount, output_amount, lines), unpriced))

    def _price_any(self, units: Units) -> Priced:
        """The same for every case: long prompts, units without a rate of their own, rates in doubt."""
        used = _used(units)
        table = self._table_for(sum(taken for unit, side, taken in used if side == "input" and unit in INPUT_TOKENS))
        if (REQUEST, "input") in table.rates and REQUEST not in units:
            used.append((REQUEST, "input", 1))
        lines: list[Line] = []
        unpriced = list(self._notes)
        amounts: dict[Side, int] = {"input": 0, "output": 0}
        for unit, side, quantity in used:
            rate = table.rates.get((unit, side))
            reason = self._no_rate(unit, side) if rate is None else table.doubts.get((unit, side))
            if reason is not None:
                unpriced.append(Unpriced(unit, quantity, reason))
            if rate is not None:
                numerator, usd, per, source, since = rate
                amounts[side] += numerator * quantity
                lines.append(Line(unit, side, quantity, usd, per, source, since))
        cost = self._cost(amounts["input"], amounts["output"], lines) if lines else None
        return Priced(cost, tuple(unpriced))

    def _table_for(self, prompt: int) -> _Table:
        """The rates for a prompt of so many tokens: "more than", so the mark itself is still cheap."""
        return next(table for table in reversed(self._compiled) if prompt > table.above)

    def _cost(self, input_amount: int, output_amount: int, lines: list[Line]) -> Cost:
        given = round_half_even(input_amount, self._denominator)
        total = round_half_even(input_amount + output_amount, self._denominator)
        return Cost(given, total - given, total, tuple(lines))

    def _no_rate(self, unit: str, side: Side) -> str:
        return self._refusal or f"no rate for {unit} {side} of {self.model}"

    def _table(self, table: RateTable) -> _Table:
        rates: dict[tuple[str, Side], _Compiled] = {}
        doubts: dict[tuple[str, Side], str] = {}
        for key, rate in table.rates.items():
            numerator = int(_ticks(rate) * self._denominator)
            rates[key] = (numerator, _text(rate.usd), rate.per, rate.source, rate.valid_from)
            if rate.doubt is not None:
                doubts[key] = rate.doubt
        return _Table(table.above, rates, doubts)


def cost_of_lines(lines: Iterable[Line]) -> Cost:
    """The exact sum of the lines, rounded once, half to even."""
    lines = tuple(lines)
    given, made, denominator = 0, 0, 1
    for line in lines:
        numerator, below = _ticks_of(line.rate, line.per)
        if denominator % below:
            wider = math.lcm(denominator, below)
            given, made, denominator = given * (wider // denominator), made * (wider // denominator), wider
        amount = numerator * (denominator // below) * line.quantity
        if line.side == "input":
            given += amount
        else:
            made += amount
    total, given = round_half_even(given + made, denominator), round_half_even(given, denominator)
    return Cost(given, total - given, total, lines)


@functools.lru_cache(maxsize=4096)
def _ticks_of(usd: str, per: int) -> tuple[int, int]:
    """Ticks for one unit, as numerator and denominator."""
    return (Fraction(usd) * TICKS_PER_USD / per).as_integer_ratio()


def _used(units: Units) -> list[tuple[str, Side, int]]:
    used: list[tuple[str, Side, int]] = []
    for unit, (taken, made) in units.items():
        if taken > 0:
            used.append((unit, "input", taken))
        if made > 0:
            used.append((unit, "output", made))
    return used


def round_half_even(numerator: int, denominator: int) -> int:
    """`numerator / denominator` to the nearest integer, ties to the even one; neither is negative."""
    quotient, rest = divmod(numerator, denominator)
    twice = rest * 2
    return quotient + 1 if twice > denominator or (twice == denominator and quotient & 1) else quotient


def _text(usd: Decimal) -> str:
    """A plain decimal string, never with an exponent."""
    return format(usd, "f")


def _ticks(rate: Rate) -> Fraction:
    """Ticks for one unit, exact."""
    return Fraction(rate.usd) * TICKS_PER_USD / rate.per
