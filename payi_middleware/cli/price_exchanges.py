"""`payi price --exchanges FILE`: results line by line, or what they come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..exceptions import RecordingError
from .faults import WrongOption, warn
from .progress import counted

if TYPE_CHECKING:
    from ..recorded import Pricer, Recorded, Result, Unreadable

__all__ = ["price_exchanges"]

_TOLD = 20
"""Complaints about single exchanges that are shown."""


def price_exchanges(path: Path, hosts: list[str], at_ns: int | None, *, as_json: bool, limit: int) -> None:
    """Price a file's exchanges and print a JSON line each, or a summary.

    Raises:
        WrongOption: A host is named wrongly.
        RecordingError: The file cannot be read, or nothing in it.
    """
    from ..recorded import Pricer, read

    pricer = Pricer(_named(hosts), at_ns)
    results = _priced(read(path), pricer, path)
    if as_json:
        import msgspec

        for result in counted(results, "Pricing"):
            typer.echo(msgspec.json.encode(result.to_dict()))
    else:
        from ..recorded.summary import Summary
        from .price_summary import print_summary

        summary = Summary()
        for result in counted(results, "Pricing"):
            summary.add(result)
        print_summary(summary, pricer.version, limit=limit)


def _named(hosts: list[str]) -> dict[str, str] | None:
    """The setting `hosts` as the option spells it; None to leave it to the environment."""
    found: dict[str, str] = {}
    for pair in hosts:
        host, equals, name = pair.rpartition("=")
        if not (host and equals and name):
            raise WrongOption("--hosts", f"{pair!r} is not HOST=PROVIDER, for example llm.internal=openai")
        found[host.strip()] = name.strip()
    return found or None


def _priced(exchanges: Iterable[Recorded | Unreadable], pricer: Pricer, path: Path) -> Iterator[Result]:
    """The results; what cannot be read is told on standard error and left out."""
    from ..recorded import Recorded

    read = bad = 0
    for exchange in exchanges:
        if isinstance(exchange, Recorded):
            read += 1
            yield pricer.price(exchange)
            continue
        bad += 1
        if bad <= _TOLD:
            warn(f"{exchange.where}: {exchange.why}; left out")
    if bad > _TOLD:
        warn(f"{path.name}: {bad - _TOLD} more could not be read; left out")
    if not read:
        raise RecordingError(f"{path}: no exchange could be read; docs/prices.md tells the kinds of files")
