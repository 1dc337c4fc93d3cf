"""Tables and sentences on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .harmless import harmless

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Column", "console", "print_table", "say"]

Column = tuple[str, bool]
"""Heading, and whether it holds numbers."""

_UNBOUNDED = 200  # columns where there is no terminal that would wrap


def console() -> Console:
    """The terminal, or the file that stands for it."""
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:  # rich's exits with 1
            raise BrokenPipeError

    found = Quiet(highlight=False, markup=False, emoji=False)
    return found if found.is_terminal else Quiet(highlight=False, markup=False, emoji=False, width=_UNBOUNDED)


def print_table(
    on: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, total: Sequence[str] | None = None
) -> None:
    """A table of plain text; nothing in a cell is read as markup or control."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_footer=total is not None, pad_edge=False)
    for n, (heading, is_number) in enumerate(columns):
        footer = Text("" if total is None else harmless(total[n]))
        table.add_column(
            Text(heading),
            footer,
            justify="right" if is_number else "left",
            no_wrap=is_number,
            overflow="fold",
            footer_style="bold",
        )
    for row in rows:
        table.add_row(*(Text(harmless(cell)) for cell in row))
    on.print(table)


def say(on: Console, sentence: str, *, loud: bool = False) -> None:
    """A sentence on a line of its own."""
    from rich.text import Text

    on.print(Text(harmless(sentence), style="bold red" if loud else ""), soft_wrap=True)
