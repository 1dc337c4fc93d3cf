"""`payi reprice`: what recorded calls cost by the rates of now, and the corrections that come of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .faults import told
from .moments import check_range, moment, timezone
from .source import opened, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..events import CallEvent
    from ..store import Store

__all__ = ["command"]


class Change(NamedTuple):
    """What changes of one model's calls on one day (UTC)."""

    day: str
    provider: str
    model: str | None
    calls: int
    recorded_ticks: int
    corrected_ticks: int
    lost: int
    """Calls that had a cost, and for which no rate is known now."""


def command(
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="2026-09-21, 2026-09-21T14:00, 7d, 24h.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="The same; calls from then on are left as they are.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Price recorded calls anew, each at its own date. Corrections are kept beside what was recorded, never over it."""
    with told():
        zone = timezone("UTC")
        since_ns, until_ns = moment("--since", since, zone), moment("--until", until, zone)
        check_range(since_ns, until_ns)
        with opened(store) as source:
            looked, changes, version = _reprice(store, source, since_ns, until_ns, dry_run=dry_run)
        _print_json(looked, changes, version, dry_run=dry_run) if as_json else _print(looked, changes, dry_run=dry_run)


def _reprice(
    url: str | None, source: Store, since_ns: int | None, until_ns: int | None, *, dry_run: bool
) -> tuple[int, list[Change], str]:
    """(calls looked at, what changes, the version of the rates); written batch by batch unless it is a dry run."""
    from ..repricing import repriced
    from ..store import open_store
    from .progress import counted
    from .rates import loaded_prices

    prices = loaded_prices(url)
    looked, changes = 0, dict[tuple[str, str, str | None], list[int]]()
    target = None if dry_run else open_store(settings_of(url), create=True)
    try:
        for batch in counted(source.walk(since_ns, until_ns), "Pricing anew", len):
            looked += len(batch)
            changed = [(number, event, new) for number, event in batch if (new := repriced(event, prices)) is not None]
            if target is not None and changed:
                written = target.correct(changed)  # not what somebody else corrects at the same time
                changed = [one for one in changed if one[0] in written]
            _add(changes, ((event, new) for _, event, new in changed))
    finally:
        if target is not None:
            target.close()
    return looked, [Change(*key, *sums) for key, sums in sorted(changes.items(), key=_by_day)], prices.version


def _by_day(item: tuple[tuple[str, str, str | None], list[int]]) -> tuple[str, ...]:
    return tuple(text or "" for text in item[0])


def _add(changes: dict[tuple[str, str, str | None], list[int]], pairs: Iterable[tuple[CallEvent, CallEvent]]) -> None:
    from ..events import format_time

    for before, after in pairs:
        key = format_time(before.started_ns)[:10], before.provider, before.resource or before.requested_resource
        sums = changes.setdefault(key, [0, 0, 0, 0])
        sums[0] += 1
        sums[1] += 0 if before.cost is None else before.cost.total_ticks
        sums[2] += 0 if after.cost is None else after.cost.total_ticks
        sums[3] += before.cost is not None and after.cost is None


def _print_json(looked: int, changes: list[Change], version: str, *, dry_run: bool) -> None:
    import msgspec

    from ..store.sums import money

    rows: list[dict[str, Any]] = [
        {
            "day": change.day,
            "provider": change.provider,
            "model": change.model,
            "calls": change.calls,
            "recorded": money(change.recorded_ticks),
            "corrected": money(change.corrected_ticks),
            "lost": change.lost,
        }
        for change in changes
    ]
    document = {"schema": 1, "dry_run": dry_run, "price_version": version, "calls": looked, "changes": rows}
    typer.echo(msgspec.json.encode(document))


def _print(looked: int, changes: list[Change], *, dry_run: bool) -> None:
    from .amounts import calls, usd_text
    from .tables import console, print_table, say

    on = console()
    if not changes:
        say(on, f"Nothing changes: {calls(looked)} cost what they are recorded with.")
        return
    columns = [
        ("Day", False),
        ("Model", False),
        ("Calls", True),
        ("Recorded", True),
        ("Corrected", True),
        ("Change", True),
    ]
    print_table(on, columns, [_cells(change) for change in changes])
    number = sum(change.calls for change in changes)
    more = sum(change.corrected_ticks - change.recorded_ticks for change in changes)
    would = "would change" if dry_run else "were corrected"
    sign = "+" if more >= 0 else "-"
    say(on, f"{calls(number)} of {looked:,} {would}, by {sign}{usd_text(abs(more))} in all.")
    if lost := sum(change.lost for change in changes):
        say(
            on,
            f"{calls(lost)} of them {'loses its' if lost == 1 else 'lose their'} cost, as no rate is known now: rates of your own "
            "are read from the files that PAYI_PRICES names.",
            loud=True,
        )
    if dry_run:
        say(on, "Nothing was written; without --dry-run the corrections are kept beside what was recorded.")
    else:
        say(on, "Reports show the corrected costs; --as-recorded shows the original ones.")


def _cells(change: Change) -> list[str]:
    from .amounts import count, usd_text

    more = change.corrected_ticks - change.recorded_ticks
    return [
        change.day,
        change.model or "(no model)",
        count(change.calls),
        usd_text(change.recorded_ticks),
        usd_text(change.corrected_ticks) if change.lost < change.calls else "unpriced",
        ("+" if more >= 0 else "-") + usd_text(abs(more)),
    ]
