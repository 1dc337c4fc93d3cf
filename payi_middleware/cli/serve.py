"""`payi serve`: the server, until it is told to end."""

from __future__ import annotations

from typing import Annotated

import typer

from .faults import told
from .needing import extra

__all__ = ["command"]


def command(
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    ledger: Annotated[
        str | None, typer.Option(metavar="URL", help="Where limits are counted; by default beside the store.")
    ] = None,
    host: Annotated[str, typer.Option(metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="The port to listen on; 0 for any.")
    ] = 8600,
    requests_per_second: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many requests a key may make a second; 0 for no bound.")
    ] = 5_000,
    events_per_second: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many events a key may send a second; 0 for no bound.")
    ] = 200_000,
) -> None:
    """Serve Pay-i's REST API on a store: applications send their events here."""
    with told():
        with extra("server"):
            from ..server.rates import Rates
            from ..server.start import serve
        from .source import settings_of

        serve(settings_of(store, ledger), host, port, typer.echo, Rates(requests_per_second, events_per_second))
