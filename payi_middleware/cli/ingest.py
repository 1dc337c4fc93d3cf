"""`payi ingest FILE`: events that somebody else wrote down, into the store."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .faults import told, warn
from .source import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..events import CallEvent
    from ..manual.files import Read
    from ..manual.loading import Loading
    from ..manual.summary import Summary
    from ..manual.target import Target

__all__ = ["command"]

_AT_ONCE = 1_000
"""Events of a transaction: the store is another's for a moment, not for a minute."""
_SHOWN = 20
"""Complaints about single events that are shown."""


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, a JSON array or CSV; also .gz, .xz, .bz2.")],
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    ledger: Annotated[
        str | None, typer.Option(metavar="URL", help="Where limits are counted; by default beside the store.")
    ] = None,
    application: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose they are, if they do not tell; else PAYI_APPLICATION.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be stored.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Store a file's events, each priced at its own date. Run again, it stores nothing twice."""
    with told():
        from ..limits.counted import counted as counted_by
        from ..limits.dearest import Dearest
        from ..manual.files import read
        from ..manual.loading import Loading
        from ..manual.summary import Summary
        from ..manual.target import Target
        from .ledger_source import opened_ledger_of
        from .progress import counted
        from .rates import loaded_prices

        settings, prices, summary = settings_of(store, ledger), loaded_prices(store), Summary()
        loading = Loading(application or settings.application, prices, settings.pseudonymize)
        reads = counted(read(file), "Reading" if dry_run else "Storing")
        dearest = Dearest(prices)
        with (
            opened_ledger_of(settings) as opened,
            Target(settings, dry_run=dry_run, counted=lambda events: counted_by(opened, events, dearest)) as target,
        ):
            while part := list(itertools.islice(reads, _AT_ONCE)):
                _load(part, loading, target, summary)
        if as_json:
            import msgspec

            document = {"schema": 1, "dry_run": dry_run, "price_version": prices.version} | summary.to_dict()
            typer.echo(msgspec.json.encode(document))
        else:
            _print(summary, file.name, dry_run=dry_run)
    if summary.refused:
        raise typer.Exit(1)


def _load(part: Sequence[Read], loading: Loading, target: Target, summary: Summary) -> None:
    """Store what is good of a part of a file, in one transaction."""
    from ..exceptions import EventError

    events: list[CallEvent] = []
    for read in part:
        try:
            if isinstance(read.told, EventError):
                raise read.told
            events.append(loading.event(read.told))
        except EventError as error:
            summary.refuse(read, error.message)
    summary.add(len(events), target.new(events))


def _print(summary: Summary, name: str, *, dry_run: bool) -> None:
    from .amounts import count, usd_text
    from .tables import console, say

    for read, why in summary.errors[:_SHOWN]:
        warn(f"{name}, {read.kind} {read.number}: {why}")
    if summary.refused > _SHOWN:
        warn(f"{name}: {count(summary.refused - _SHOWN)} more are refused; --json tells the first 1,000")
    on = console()
    would = "would be stored" if dry_run else "stored"
    say(on, f"{_events(summary.stored)} {would}, {usd_text(summary.cost_ticks)} in all.")
    if summary.already_there:
        say(on, f"{_events(summary.already_there)} {'is' if summary.already_there == 1 else 'are'} there already.")
    if summary.refused:
        say(on, f"{_events(summary.refused)} refused.")
    if summary.without_cost or summary.partly_priced:
        say(on, f"{count(summary.without_cost)} without a cost, {count(summary.partly_priced)} with a part of it:")
        _print_reasons(summary.reasons.most_common(_SHOWN), on_more=len(summary.reasons) - _SHOWN)


def _print_reasons(reasons: Iterable[tuple[str, int]], *, on_more: int) -> None:
    from .amounts import count
    from .tables import console, say

    on = console()
    for reason, number in reasons:
        say(on, f"  {count(number)} x {reason}")
    if on_more > 0:
        say(on, f"  and {count(on_more)} other reasons")


def _events(n: int) -> str:
    from .amounts import count

    return "1 event" if n == 1 else f"{count(n)} events"
