"""`payi spool retry`: what a server refused, offered to it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .faults import told
from .source import settings_of

if TYPE_CHECKING:
    from ..settings import Settings
    from ..store.deliveries import Place

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
    """Offer again what a server refused, once the cause is mended: at once if the environment is the application's (PAYI_API_KEY,
    PAYI_BASE_URL, PAYI_APPLICATION); else running applications do."""
    with told():
        from ..store import open_store
        from ..store.deliveries import Place

        settings = settings_of(store)
        with open_store(settings, create=False):
            pass  # a store is never made here
        with open_store(settings, create=True) as found:
            refused = [delivered.place for delivered in found.deliveries() if delivered.rejected]
            offered = found.offer_again()
        mine = Place(settings.base_url, settings.application)
        # Another place has nothing to do with them: it would get the key, and every event of the store.
        delivered = _delivered(settings) if settings.api_key and mine in refused else None
        with open_store(settings, create=False) as found:
            left = sum(place.rejected for place in found.deliveries())
        _print(offered, left, delivered=delivered, as_json=as_json)
        if offered and settings.api_key and mine not in refused:
            _hint(refused, mine)


def _delivered(settings: Settings) -> bool:
    """Hand over now; whether the server said something to everything."""
    from ..sinks.delivery import Delivery
    from .rates import loaded_prices

    delivery = Delivery(settings, loaded_prices(settings.store))
    delivered = delivery.flush(PATIENCE)
    delivery.close(1.0)
    return delivered


def _hint(refused: list[Place], mine: Place) -> None:
    places = " and ".join(f"{place.url} refused of {place.application}" for place in refused)
    typer.echo(
        f"Nothing was sent from here: they are what {places}, and PAYI_BASE_URL is {mine.url}, PAYI_APPLICATION "
        f"{mine.application}. Set both as the application has them to send them now.",
        err=True,
    )


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
