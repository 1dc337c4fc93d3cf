"""`payi prices update`: the newest rates, kept beside the store."""

from __future__ import annotations

from typing import Annotated

import typer

from .faults import told
from .source import settings_of

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The rates by which calls are priced.")


@app.callback()
def _prices() -> None:
    """Makes `update` a command of its own although it is the only one."""


@app.command("update")
def update(
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    url: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="Where to fetch; default: genai-prices' own list.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Fetch the newest rates. Running applications take them over when they start, or with the setting `update_prices`."""
    with told():
        from ..fetched import URL, Fetched, fetched_at
        from ..pricing import Prices, owners

        settings = settings_of(store)
        kept = Fetched(fetched_at(settings.files_path))
        prices = Prices(owners(settings.prices), fetched=kept.snapshot)
        prices.load()
        before = prices.version
        models = sum(len(provider.models) for provider in kept.fetch(url or URL).providers)
        prices.load()
        if as_json:
            import msgspec

            document = {"schema": 1, "price_version": prices.version, "before": before, "models": models}
            typer.echo(msgspec.json.encode(document))
            return
        typer.echo(f"{models:,} models: {prices.version} (before: {before}).")
        typer.echo("What is recorded keeps its costs; `payi reprice --dry-run` shows what would change.")
