"""`payi spool retry`: what a server refused, offered to it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .faults import told
from .source import settings_of

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["app"]

PATIENCE = 60.0
"""Seconds that are given to the server."""

app = typer.Typer(no_args_is_help=True, help="Events on their way to a server.")


@app.callback()
def _spool() -> None:
    """Makes `retry` a command of its own although it is the only one."""


@app.command("retry")
def retry(
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Offer again what a server refused, once the cause is mended. With PAYI_API_KEY set, at once; else running applications do."""
    with told():
        from ..store import open_store

        settings = settings_of(store)
        with open_store(settings, create=False):
            pass  # a store is never made here
        with open_store(settings, create=True) as found:
            offered = found.offer_again()
        delivered = _delivered(settings) if offered and settings.api_key else None
        with open_store(settings, create=False) as found:
            left = sum(place.rejected for place in found.deliveries())
        _print(offered, left, delivered=delivered, as_json=as_json)


def _delivered(settings: Settings) -> bool:
    """Hand over now; whether the server said something to everything."""
    from ..sinks.delivery import Delivery
    from .rates import loaded_prices

    delivery = Delivery(settings, loaded_prices(settings.store))
    delivered = delivery.flush(PATIENCE)
    delivery.close(1.0)
    return delivered


def _print(offered: int, left: int, *, delivered: bool | None, as_json: bool) -> None:
    from .amounts import count

    if as_json:
        import msgspec

        document: dict[str, Any] = {"schema": 1, "offered": offered, "delivered": delivered, "set_aside": left}
        typer.echo(msgspec.json.encode(document))
    elif not offered:
        typer.echo("No events are set aside.")
    elif delivered is None:
        typer.echo(f"{count(offered)} events are offered again; a running application sends them within half a minute.")
    elif delivered:
        typer.echo(f"{count(offered)} events were offered again, {count(left)} are set aside now.")
    else:
        typer.echo(f"{count(offered)} events are to be offered again; the server could not be had just now.")
