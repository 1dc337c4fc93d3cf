"""`payi price`: what recorded exchanges cost, a request that was not sent, or so many tokens of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .faults import WrongOption, told
from .moments import moment, timezone

__all__ = ["command"]


def command(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="A model, for a quick answer.")] = None,
    exchanges: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Recorded exchanges: JSON lines, HAR or a VCR cassette; also .xz, .gz."),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A request's JSON body, or - for standard input: what it would cost."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="PATH", help="With --request: where it goes; else told by its shape.")
    ] = None,
    use_case: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --request: whose earlier calls tell what is likely.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="With --request: the store; else PAYI_STORE or payi.db here.")
    ] = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST=PROVIDER", help="With --exchanges: as the setting hosts; repeatable."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Rates of this time: 2026-09-21, 7d; else the recording's, or now."),
    ] = None,
    provider: Annotated[str | None, typer.Option(metavar="NAME", help="Whose rates; else the model's maker's.")] = None,
    taken: Annotated[int, typer.Option("--input", metavar="N", min=0, help="Tokens in, cached ones included.")] = 0,
    made: Annotated[int, typer.Option("--output", metavar="N", min=0, help="Tokens out, reasoning included.")] = 0,
    cached: Annotated[int, typer.Option(metavar="N", min=0, help="Of the tokens in, those read from the cache.")] = 0,
    reasoning: Annotated[int, typer.Option(metavar="N", min=0, help="Of the tokens out, those of reasoning.")] = 0,
    tier: Annotated[str | None, typer.Option(metavar="NAME", help="Service tier: batch, flex, priority, ...")] = None,
    term: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND:VALUE", help="What else the rate depends on, such as region:us; repeatable."),
    ] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=IN/OUT", help="Another unit, such as web_search_request=0/2; repeatable."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Reasons in the summary; 0 for all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="JSON: a line an exchange, or one object.")] = False,
) -> None:
    """What recorded exchanges cost, a request that was not sent, or so many tokens of a model."""
    with told():
        at_ns = moment("--at", at, timezone("UTC"))
        if sum(given is not None for given in (model, exchanges, request)) != 1:
            raise WrongOption("MODEL", "give a MODEL, --exchanges FILE or --request FILE; one of the three")
        if request is not None:
            if taken or made or cached or reasoning or tier or term or unit or hosts or at:
                raise WrongOption("--request", "is priced as it would be now; leave out options of the others")
            from .price_request import price_request

            price_request(request, provider, endpoint, use_case, store, as_json=as_json)
            return
        if endpoint or use_case or store:
            raise WrongOption("--request", "is missing, to which --endpoint, --use-case and --store belong")
        if exchanges is not None:
            if taken or made or cached or reasoning or tier or term or unit or provider:
                raise WrongOption("--exchanges", "tells its own models and units; leave out those options")
            from .price_exchanges import price_exchanges

            price_exchanges(exchanges, hosts or [], at_ns, as_json=as_json, limit=limit)
            return
        from .price_model import price_model, units_of

        assert model is not None
        if hosts:
            raise WrongOption("--hosts", "is for --exchanges; to name a provider use --provider")
        units = units_of(taken, made, cached, reasoning, unit or [])
        price_model(model, units, provider=provider, tier=tier, terms=tuple(term or ()), at_ns=at_ns, as_json=as_json)
