"""`payi price MODEL`: what so many units of a model cost, line by line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from ..events import Units, format_time, usd
from .faults import WrongOption
from .rates import loaded_prices

if TYPE_CHECKING:
    from ..costing import Costed

__all__ = ["price_model", "units_of"]


def units_of(taken: int, made: int, cached: int, reasoning: int, more: list[str]) -> Units:
    """The units of the command's options.

    Raises:
        WrongOption: A part is larger than its whole, a unit is malformed, or there is nothing to price.
    """
    if cached > taken:
        raise WrongOption("--cached", f"{cached} is more than the {taken} of --input, which includes it")
    if reasoning > made:
        raise WrongOption("--reasoning", f"{reasoning} is more than the {made} of --output, which includes it")
    units: Units = {}
    for name, sides in (
        ("text", (taken - cached, made - reasoning)),
        ("text_cache_read", (cached, 0)),
        ("reasoning", (0, reasoning)),
        *map(_unit, more),
    ):
        known = units.get(name, (0, 0))
        units[name] = (known[0] + sides[0], known[1] + sides[1])
    units = {name: sides for name, sides in units.items() if any(sides)}
    if not units:
        raise WrongOption("--input", "there is nothing to price; give --input, --output or --unit")
    return units


def _unit(text: str) -> tuple[str, tuple[int, int]]:
    name, equals, amounts = text.partition("=")
    taken, _, made = amounts.partition("/")
    sides = taken or "0", made or "0"
    if not (name.strip() and equals and amounts and all(side.isdecimal() and len(side) < 16 for side in sides)):
        raise WrongOption("--unit", f"{text!r} is not NAME=IN/OUT, for example web_search_request=0/2")
    return name.strip(), (int(sides[0]), int(sides[1]))


def price_model(
    model: str,
    units: Units,
    *,
    provider: str | None,
    tier: str | None,
    terms: tuple[str, ...],
    at_ns: int | None,
    as_json: bool,
) -> None:
    """Price the units and print them; exits with 1 if there is no price."""
    from ..costing import cost_of

    prices = loaded_prices()
    at = time.time_ns() if at_ns is None else at_ns
    host = provider or prices.provider_of(model) or "openai"  # if nobody lists it, the message is the same
    costed = cost_of(prices, host, model, units, at, tier, terms=terms)
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(_told(model, host, units, tier, terms, at, costed, prices.version)))
    else:
        heading = ", ".join((f"{model} of {host}", f"{tier or 'standard'} tier", *terms, format_time(at)[:10]))
        _print(heading, costed, prices.version)
    if costed.cost is None:
        raise typer.Exit(1)


def _told(
    model: str,
    provider: str,
    units: Units,
    tier: str | None,
    terms: tuple[str, ...],
    at: int,
    costed: Costed,
    version: str,
) -> dict[str, Any]:
    return {
        "model": model,
        "provider": provider,
        "service_tier": tier,
        "terms": list(terms),
        "at": format_time(at),
        "units": {name: {"input": sides[0], "output": sides[1]} for name, sides in units.items()},
        "cost": None if costed.cost is None else costed.cost.to_dict(),
        "unpriced": [{"unit": u.unit, "quantity": u.quantity, "reason": u.reason} for u in costed.unpriced],
        "reason": costed.reason,
        "price_version": version,
    }


def _print(heading: str, costed: Costed, version: str) -> None:
    from .amounts import count
    from .tables import console, print_table, say

    on, cost = console(), costed.cost
    if cost is not None:
        print_table(
            on,
            [
                ("Unit", False),
                ("Side", False),
                ("Quantity", True),
                ("Rate, USD", True),
                ("For", True),
                ("Amount, USD", True),
                ("Since", False),
                ("Source", False),
            ],
            [
                [
                    line.unit,
                    line.side,
                    count(line.quantity),
                    line.rate,
                    count(line.per),
                    format(line.amount.normalize(), "f"),
                    line.valid_from or "-",
                    line.source,
                ]
                for line in cost.lines
            ],
        )
        say(on, f"{heading}: {format(usd(cost.total_ticks).normalize(), 'f')} USD. Rates: {version}.")
    else:
        say(on, f"{heading}: no price; {costed.reason}.", loud=True)
    for entry in costed.unpriced:
        say(on, f"UNPRICED: {count(entry.quantity)} {entry.unit}: {entry.reason}.", loud=True)
