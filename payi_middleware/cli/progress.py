"""Progress of long work, on standard error and only where a person looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["counted"]

T = TypeVar("T")


def counted(items: Iterable[T], label: str, weight: Callable[[T], int] = lambda _: 1) -> Iterator[T]:
    """The items, with a line that counts them; `weight` tells for how many one counts."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=None)
        for item in items:
            yield item
            shown.advance(task, weight(item))
