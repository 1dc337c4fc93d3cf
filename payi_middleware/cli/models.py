"""`payi models`: what is priced, at which rates, since when and by which source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..exceptions import PayiError
from .faults import told
from .moments import moment, timezone
from .rates import loaded_prices

if TYPE_CHECKING:
    from ..pricing import Prices
    from ..pricing.listing import Listed, ListedRate

__all__ = ["command"]


def command(
    pattern: Annotated[
        str | None, typer.Argument(metavar="PATTERN", help="A part of the name, or all of it with * and ?.")
    ] = None,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="One provider's only.")] = None,
    at: Annotated[str | None, typer.Option(metavar="DATE", help="Rates of this time; else of now.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A model a line, with all its rates.")] = False,
) -> None:
    """What is priced: models, rates, since when and by which source."""
    import time

    from ..pricing.listing import listing

    with told():
        at_ns = moment("--at", at, timezone("UTC"))
        prices = loaded_prices()
        found = list(listing(prices, time.time_ns() if at_ns is None else at_ns, pattern, provider))
        if not found:
            raise PayiError(_nothing(prices, pattern, provider))
        if as_json:
            import msgspec

            for listed in found:
                typer.echo(msgspec.json.encode(listed.to_dict()))
        else:
            _print(found, prices.version)


def _nothing(prices: Prices, pattern: str | None, provider: str | None) -> str:
    names = sorted({host for host, _ in prices.models()})
    if provider is not None and provider not in names:
        return f"no provider is named {provider!r}; use one of: {', '.join(names)}"
    return f"no model's name has {pattern!r} in it" + (f" at {provider}" if provider else "")


def _print(found: list[Listed], version: str) -> None:
    from .amounts import count
    from .tables import console, print_table, say

    on = console()
    print_table(
        on,
        [
            ("Provider", False),
            ("Model", False),
            ("Input, USD", True),
            ("Output, USD", True),
            ("Since", False),
            ("Source", False),
        ],
        [
            [
                listed.provider,
                listed.model,
                _cell(listed.main("input")),
                _cell(listed.main("output")),
                listed.since or "-",
                listed.source or listed.refusal or "-",
            ]
            for listed in found
        ],
    )
    say(
        on,
        f"{count(len(found))} models; USD for a million tokens unless said. --json tells all rates. Rates: {version}.",
    )


def _cell(main: ListedRate | None) -> str:
    if main is None:
        return "-"
    what = [] if main.unit == "text" else [main.unit]
    what += [] if main.rate.per == 1_000_000 else [f"for {main.rate.per:,}"]
    return " ".join((format(main.rate.usd, "f"), *what, *main.when))
