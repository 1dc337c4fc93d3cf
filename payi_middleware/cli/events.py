"""`payi events`: finished calls, newest last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .faults import told
from .source import opened

if TYPE_CHECKING:
    from ..events import CallEvent

__all__ = ["command"]


def command(
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    request: Annotated[str | None, typer.Option(metavar="ID", help="Only calls of the web request of this id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A call a line, all of them.")] = False,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="Costs as they were recorded, without later corrections.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Rows of the table; 0 for all.")] = 50,
) -> None:
    """Finished calls, newest last."""
    with told(), opened(store) as source:
        if as_json:
            for event in (
                source.events(as_recorded=as_recorded)
                if request is None
                else source.of_request(request, as_recorded=as_recorded)
            ):
                typer.echo(event.to_json())
            return
        if request is not None:
            _print(source.of_request(request, as_recorded=as_recorded), None)
        else:
            _print(source.latest(limit or source.count(), as_recorded=as_recorded), source.count())


def _print(events: list[CallEvent], held: int | None) -> None:
    from .amounts import count
    from .tables import console, print_table, say

    on = console()
    print_table(
        on,
        [
            ("Began (UTC)", False),
            ("User", False),
            ("Use case", False),
            ("Model", False),
            ("Outcome", False),
            ("Units", False),
            ("Cost", True),
            ("Took", True),
            ("Request", False),
        ],
        [_cells(event) for event in events],
    )
    if held is not None and len(events) < held:
        say(on, f"The last {count(len(events))} of {count(held)} calls; --limit 0 shows all, --json all in full.")


def _cells(event: CallEvent) -> list[str]:
    from ..events import format_time
    from .amounts import milliseconds

    return [
        format_time(event.started_ns)[:19].replace("T", " "),
        event.user_id or "(unattributed)",
        event.use_case_name or "-",
        event.resource or event.requested_resource or "-",
        _outcome(event),
        ", ".join(f"{name} {sides[0]}/{sides[1]}" for name, sides in event.units.items()) or "-",
        _cost(event),
        milliseconds(event.duration_ns / 1e6),
        event.inbound.http_request_id or "-",
    ]


def _outcome(event: CallEvent) -> str:
    why = "" if event.outcome == "ok" else f"{event.http_status or ''} {event.error_type or ''}"
    again = f"attempt {event.attempt}" if event.attempt > 1 else ""
    return " ".join(f"{event.outcome} {why} {again}".split())


def _cost(event: CallEvent) -> str:
    from .amounts import usd_text

    if event.cost is None:
        return f"none: {event.reason}" if event.reason else "none"
    mark = {"estimate": " (estimate)", "provider": " (stated)"}.get(event.cost_source, "")
    return usd_text(event.cost.total_ticks) + mark + (" +unpriced" if event.unpriced else "")
