"""The command line, `payi`: a file a command."""

from __future__ import annotations

from typing import Annotated

import typer

from . import (
    demo,
    doctor,
    events,
    export,
    forget,
    ingest,
    keep,
    keys,
    limits,
    limits_audit,
    models,
    price,
    prices,
    prune,
    report,
    reprice,
    serve,
    spool,
)

__all__ = ["app", "main"]

# Plain help and errors: rich's boxes take a third of a second to load and break a message over several lines.
app = typer.Typer(
    name="payi", no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
)
app.command("report")(report.command)
app.command("events")(events.command)
app.command("ingest")(ingest.command)
app.add_typer(prices.app, name="prices")
app.command("reprice")(reprice.command)
app.add_typer(spool.app, name="spool")
app.command("export")(export.command)
app.command("prune")(prune.command)
app.command("forget")(forget.command)
app.add_typer(keep.app, name="store")
app.command("doctor")(doctor.command)
app.command("demo")(demo.command)
app.command("price")(price.command)
app.command("models")(models.command)
app.command("serve")(serve.command)
app.add_typer(keys.app, name="keys")
app.add_typer(limits.app, name="limits")
limits.app.command("audit")(limits_audit.command)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"payi-middleware {version('payi-middleware')}")
        raise typer.Exit


@app.callback()
def _payi(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Who spends what on GenAI calls: reads what payi-middleware has stored."""


def main() -> None:
    """Run the command of this process's arguments, and exit."""
    app()
