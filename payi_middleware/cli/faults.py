"""How a command fails: one line on standard error, no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ..exceptions import PayiError
from .harmless import harmless

__all__ = ["WrongOption", "told", "warn"]


class WrongOption(Exception):  # noqa: N818 - it reads as what it is
    """An option's value cannot be used; exit code 2, as for options that do not exist."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")


@contextmanager
def told() -> Iterator[None]:
    """Tell what we raise on purpose in one line, and exit: 2 for a wrong option, else 1; 0 if the reader has enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader was `head`, say; without this, Python complains again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except WrongOption as error:
        warn(str(error))
        raise typer.Exit(2) from None
    except PayiError as error:
        warn(str(error))
        raise typer.Exit(1) from None


def warn(message: str) -> None:
    """One line on standard error."""
    typer.echo(f"payi: {harmless(message)}", err=True)
