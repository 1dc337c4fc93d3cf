"""`payi export`: calls as JSON lines or comma-separated values, one after the other, however many there are."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .faults import WrongOption, told
from .moments import check_range, moment, timezone
from .source import opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..events import CallEvent

__all__ = ["command"]


def command(
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="2026-09-21, 2026-09-21T14:00, 7d, 24h.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="The same; calls from then on are left out.")
    ] = None,
    zone: Annotated[str, typer.Option("--timezone", metavar="NAME", help="Of times without one.")] = "UTC",
    as_json: Annotated[bool, typer.Option("--json", help="A call a line, the default.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Comma-separated values, safe to open in a spreadsheet.")
    ] = False,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Costs as they were recorded, without later corrections.")
    ] = False,
) -> None:
    """Calls of a range of time, oldest first, to standard output."""
    with told():
        if as_json and as_csv:
            raise WrongOption("--csv", "not together with --json")
        where = timezone(zone)
        since_ns, until_ns = moment("--since", since, where), moment("--until", until, where)
        check_range(since_ns, until_ns)
        with opened(store) as source:
            found = source.events(since_ns, until_ns, as_recorded=as_recorded)
            _print_csv(found) if as_csv else _print_lines(found)


def _print_lines(found: Iterable[CallEvent]) -> None:
    for event in found:
        sys.stdout.write(event.to_json() + "\n")


_LEFT_OUT = frozenset(("schema", "cost"))


def _print_csv(found: Iterable[CallEvent]) -> None:
    """The members of a `CallEvent`, lists and mappings as JSON; of the cost the three sums, in USD."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    heading: list[str] | None = None
    for event in found:
        row = _row(event)
        if heading is None:
            heading = list(row)
            out.writerow(heading)
        out.writerow([_cell(value) for value in row.values()])


def _row(event: CallEvent) -> dict[str, Any]:
    told = event.to_dict()
    cost = told["cost"] or {}
    row = {name: value for name, value in told.items() if name not in _LEFT_OUT}
    return row | {f"cost_{side}_usd": cost.get(side) for side in ("input", "output", "total")}


def _cell(value: Any) -> Any:
    import msgspec

    from .harmless import for_spreadsheet

    if value is None:
        return ""
    if isinstance(value, list | dict):
        return for_spreadsheet(msgspec.json.encode(value).decode()) if value else ""
    return for_spreadsheet(value) if isinstance(value, str) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    """Whether it is money, which may begin with a minus."""
    return text.removeprefix("-").replace(".", "", 1).isdecimal() and text.isascii()
