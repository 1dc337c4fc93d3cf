"""`payi prune`: old calls out of the store."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from .faults import WrongOption, told
from .moments import moment, timezone
from .server_tables import as_json as as_json_of
from .server_tables import pruned, text_of
from .source import opened, opened_to_write

if TYPE_CHECKING:
    from ..server.housekeeping import Done
    from ..store.compact import Compacted
    from ..store.prune import Pruned

__all__ = ["command"]

_DAY_NS = 86_400 * 10**9
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def command(
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="90d, 12w, or a date: calls of the days (UTC) before it go.")
    ],
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    ledger: Annotated[
        str | None, typer.Option(metavar="URL", help="Where limits are counted; by default beside the store.")
    ] = None,
    keep_sums: Annotated[
        bool, typer.Option("--keep-sums/--drop-sums", help="Whether the sums that reports read stay, or go too.")
    ] = True,
    undelivered: Annotated[
        bool, typer.Option("--undelivered", help="Also calls that a server, to which they are sent, does not have yet.")
    ] = False,
    vacuum: Annotated[bool, typer.Option("--vacuum", help="Give the space back: nobody can write meanwhile.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Remove old calls, a few at a time, while applications write. Reports go on, of their sums."""
    with told():
        day = _day(older_than)
        what = _What(day, keep_sums, undelivered)
        done = _dry(store, what) if dry_run else _prune(store, what, vacuum)
        rows = _limits(store, ledger, day, dry_run=dry_run)
        (_print_json if as_json else _print)(what, done, rows, dry_run=dry_run)


def _day(text: str) -> int:
    from ..store.prune import day_before

    found = moment("--older-than", text, timezone("UTC"))
    assert found is not None
    if found > time.time_ns():
        raise WrongOption("--older-than", "must be in the past")
    return day_before(found)


class _What(NamedTuple):
    day: int
    keep_sums: bool
    undelivered: bool


class _Done(NamedTuple):
    found: Pruned
    server: Done | None
    compacted: Compacted | None


def _dry(store: str | None, what: _What) -> _Done:
    from ..store.prune import would_prune

    with opened(store) as source:
        found = would_prune(source, what.day, keep_sums=what.keep_sums, undelivered=what.undelivered)
        return _Done(found, pruned(source, what.day, keep_sums=what.keep_sums, dry_run=True), None)


def _prune(store: str | None, what: _What, and_vacuum: bool) -> _Done:
    from ..store.compact import vacuum
    from ..store.patience import BUSY_TIMEOUT
    from ..store.prune import Pruned, prune
    from .progress import counted

    found = Pruned()
    with opened_to_write(store) as target:
        steps = prune(target, what.day, keep_sums=what.keep_sums, undelivered=what.undelivered)
        for step in counted(steps, "Pruning", lambda step: step.events + step.sums):
            found = found.plus(step)
        server = pruned(target, what.day, keep_sums=what.keep_sums, dry_run=False)
        return _Done(found, server, vacuum(target, BUSY_TIMEOUT) if and_vacuum else None)


def _limits(store: str | None, ledger: str | None, day: int, *, dry_run: bool) -> int:
    """How many windows of limits ended before a day."""
    from ..limits.keeping import old_rows
    from .limits import opened_ledger

    before_ns = day * _DAY_NS
    with opened_ledger(store, ledger) as (opened, _):
        return old_rows(opened, before_ns) if dry_run else opened.prune(before_ns)


def _print_json(what: _What, done: _Done, limit_rows: int, *, dry_run: bool) -> None:
    import msgspec

    document = {
        "schema": 1,
        "dry_run": dry_run,
        "before": _date(what.day),
        "keep_sums": what.keep_sums,
        **done.found._asdict(),
        "limit_rows": limit_rows,
        "server": as_json_of(done.server),
        "vacuum": None if done.compacted is None else done.compacted._asdict(),
    }
    typer.echo(msgspec.json.encode(document))


def _print(what: _What, done: _Done, limit_rows: int, *, dry_run: bool) -> None:
    from .amounts import calls, count
    from .keep import compacted_text

    found, verb = done.found, "would be removed" if dry_run else "removed"
    sums = "their sums stay" if what.keep_sums else f"{count(found.sums)} sums"
    typer.echo(
        f"{calls(found.events)} before {_date(what.day)} {verb}, {count(found.corrections)} of their corrections; {sums}."
    )
    if (line := text_of(done.server, verb)) is not None:
        typer.echo(line)
    if limit_rows:
        typer.echo(f"{count(limit_rows)} windows of limits that ended before it {verb}.")
    if found.waiting:
        typer.echo(f"{calls(found.waiting)} stay until a server has them: payi doctor; --undelivered removes them too.")
    if done.compacted is not None:
        typer.echo(compacted_text(done.compacted))
    elif found.events and not dry_run:
        typer.echo("New calls fill the space; `payi store vacuum` gives it back to the disk.")


def _date(day: int) -> str:
    return datetime.date.fromordinal(day + _EPOCH).isoformat()
