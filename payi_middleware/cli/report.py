"""`payi report`: who spent what on what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .faults import WrongOption, told
from .moments import check_range, moment, timezone
from .source import opened

if TYPE_CHECKING:
    from ..store.report import Report

__all__ = ["command"]

_USUAL = 50  # rows of the table


def command(
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT", help="user, account, use-case, tag, model, provider, route, application or day; repeatable."
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="2026-09-21, 2026-09-21T14:00, 7d, 24h.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="The same; calls from then on are left out.")
    ] = None,
    zone: Annotated[str, typer.Option("--timezone", metavar="NAME", help="In which days begin.")] = "UTC",
    failures: Annotated[bool, typer.Option("--failures", help="What failed or was tried again, by kind.")] = False,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Costs as they were recorded, without later corrections.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Rows, at most; 0 for all. By default 50 of the table, all of others."),
    ] = None,
    offset: Annotated[int, typer.Option(metavar="N", min=0, help="Rows to leave out before the first.")] = 0,
) -> None:
    """Cost, calls, tokens, failures and latency, by user and whatever else."""
    with told():
        _check(by, failures=failures, as_json=as_json, as_csv=as_csv)
        most = (0 if as_json or as_csv else _USUAL) if limit is None else limit
        page = {"as_recorded": as_recorded, "limit": most or None, "offset": offset}
        found = _ask(store, by, since, until, zone, failures=failures, page=page)
        if as_json:
            _print_json(found)
        elif as_csv:
            from .csv import print_csv

            print_csv(found)
        else:
            from .report_table import print_report

            print_report(found, offset=offset, failures=failures)


def _check(by: list[str] | None, *, failures: bool, as_json: bool, as_csv: bool) -> None:
    if failures and by:
        raise WrongOption("--failures", "groups by kind of failure; leave out --by")
    if as_json and as_csv:
        raise WrongOption("--csv", "cannot be had together with --json; give one of the two")


def _ask(
    store: str | None,
    by: list[str] | None,
    since: str | None,
    until: str | None,
    zone: str,
    *,
    failures: bool,
    page: dict[str, Any],
) -> Report:
    place = timezone(zone)
    since_ns, until_ns = moment("--since", since, place), moment("--until", until, place)
    check_range(since_ns, until_ns)
    what = _checked_by(by or ["user"])
    with opened(store) as source:
        if failures:
            return source.failures(since_ns=since_ns, until_ns=until_ns, timezone=zone, **page)
        return source.report(what, since_ns=since_ns, until_ns=until_ns, timezone=zone, **page)


def _checked_by(by: list[str]) -> tuple[str, ...]:
    from ..store.query import BY

    names = tuple(dict.fromkeys(name.strip().lower().replace("_", "-") for part in by for name in part.split(",")))
    for name in names:
        if name not in BY:
            raise WrongOption("--by", f"{name!r} is none of {', '.join(BY)}")
    return names


def _print_json(found: Report) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(found.to_dict()))
