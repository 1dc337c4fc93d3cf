"""`payi demo`: real applications and SDKs against a provider stand-in, and what they spent."""

from __future__ import annotations

from typing import Annotated

import typer

from .faults import told

__all__ = ["command"]


def command(
    serve: Annotated[bool, typer.Option("--serve", help="Keep the applications up afterwards, until Ctrl-C.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the real providers whose keys the environment has.")
    ] = False,
) -> None:
    """Drive real applications through the real SDKs, then show who spent what."""
    from ..demo import main

    with told():
        code = main(serve=serve, live=live)
    raise typer.Exit(code)
