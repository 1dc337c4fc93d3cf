"""The catalogue as a list: what each provider charges for each model at a time. For people, so off the hot path."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from ..events import Side
from .plan import Plan, Rate
from .prices import Prices

if TYPE_CHECKING:
    from .rows import Entry

__all__ = ["Listed", "ListedRate", "listing"]


class ListedRate(NamedTuple):
    """The rate of one unit."""

    unit: str
    side: Side
    above: int
    """Holds for prompts of more tokens than this; 0 for all, or for those below the next mark."""
    rate: Rate
    when: tuple[str, ...] = ()
    """What must hold besides: a tier, a region, a size."""


class Listed(NamedTuple):
    """What a provider charges for a model."""

    provider: str
    model: str
    rates: tuple[ListedRate, ...]
    """Without the rates that only repeat the one of text: any unit of a model that has none of its own takes that."""
    refusal: str | None = None
    """Why there are none, if so."""

    def main(self, side: Side) -> ListedRate | None:
        """The rate that names the price of a side: that of text, else the first there is.

        What a model does comes before the fees of its tools, a rate without conditions before others, and one that is not free.
        """
        of_side = [listed for listed in self.rates if listed.side == side and listed.above == 0]
        return min(of_side, key=_rank, default=None)

    @property
    def since(self) -> str | None:
        """ISO date of the newest of the main rates; None where the source does not tell."""
        mains = (self.main("input"), self.main("output"))
        return max((main.rate.valid_from for main in mains if main and main.rate.valid_from), default=None)

    @property
    def source(self) -> str | None:
        """Where the main rates are from."""
        main = self.main("input") or self.main("output")
        return None if main is None else main.rate.source

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: rates as decimal strings, USD for `per` units."""
        taken, made = self.main("input"), self.main("output")
        return {
            "provider": self.provider,
            "model": self.model,
            "input": _main(taken),
            "output": _main(made),
            "since": self.since,
            "source": self.source,
            "rates": [
                {
                    "unit": listed.unit,
                    "side": listed.side,
                    "above": listed.above,
                    "when": list(listed.when),
                    "rate": format(listed.rate.usd, "f"),
                    "per": listed.rate.per,
                    "source": listed.rate.source,
                    "valid_from": listed.rate.valid_from,
                }
                for listed in self.rates
            ],
        }


def _rank(listed: ListedRate) -> tuple[bool, int, bool, bool]:
    return listed.unit.endswith("request"), len(listed.when), listed.rate.usd == 0, listed.unit != "text"


def listing(prices: Prices, at_ns: int, pattern: str | None = None, provider: str | None = None) -> Iterator[Listed]:
    """What is listed, by provider and model.

    Args:
        prices: The rates, loaded.
        at_ns: When they are to hold, nanoseconds since the epoch.
        pattern: A part of the model's name, or all of it with `*` and `?`; case does not matter.
        provider: The id of genai-prices.
    """
    wanted = None if pattern is None else pattern.lower()
    for host, model in sorted(prices.models()):
        if (provider is None or host == provider) and (wanted is None or _matches(model.lower(), wanted)):
            plan = prices.plan(host, model, at_ns) or prices.listed(host, model, at_ns)
            if plan is not None:
                rates = (*_rates(plan), *_conditional(prices.conditional(host, model, at_ns)))
                yield Listed(host, model, rates, plan.refusal)


def _matches(model: str, wanted: str) -> bool:
    return fnmatch.fnmatchcase(model, wanted) if any(sign in wanted for sign in "*?[") else wanted in model


def _rates(plan: Plan) -> Iterator[ListedRate]:
    for table in plan.tables:
        for (unit, side), rate in table.rates.items():
            text = table.rates.get(("text", side))
            repeats = unit != "text" and text is not None and (rate.usd, rate.per) == (text.usd, text.per)
            if rate.doubt is None and not repeats:
                yield ListedRate(unit, side, max(table.above, 0), rate)


def _conditional(entries: Iterable[Entry]) -> Iterator[ListedRate]:
    for entry in entries:
        since = None if entry.starts is None else entry.starts.isoformat()
        for (unit, side), (usd, per) in entry.rates.items():
            rate = Rate(usd, per, entry.source, since)
            yield ListedRate(unit, side, max(entry.above, 0), rate, tuple(sorted(entry.when)))


def _main(main: ListedRate | None) -> dict[str, Any] | None:
    return None if main is None else {"unit": main.unit, "rate": format(main.rate.usd, "f"), "per": main.rate.per}
