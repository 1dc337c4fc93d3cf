"""`payi events`: finished calls, newest last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .faults import told
from .moments import moment, timezone
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
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="2026-09-21T14:00, 7d; calls from then on are left out.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Rows of the table; 0 for all.")] = 50,
) -> None:
    """Finished calls, newest last."""
    with told(), opened(store) as source:
        until_ns = moment("--until", until, timezone("UTC"))
        if as_json:
            for event in (
                source.events(until_ns=until_ns, as_recorded=as_recorded)
                if request is None
                else source.of_request(request, as_recorded=as_recorded)
            ):
                typer.echo(event.to_json())
            return
        if request is not None:
            _print(source.of_request(request, as_recorded=as_recorded))
            return
        held = source.count()
        events = source.latest(limit or held, until_ns=until_ns, as_recorded=as_recorded)
        _print(events)
        if len(events) == limit < held:
            _tell_page(events, None if until else held)


def _tell_page(events: list[CallEvent], held: int | None) -> None:
    from ..events import format_time
    from .amounts import count
    from .tables import console, say

    of = "" if held is None else f" of {count(held)}"
    say(
        console(),
        f"The last {count(len(events))}{of} calls; --until {format_time(events[0].started_ns)[:-1]} shows those before, "
        "--limit 0 all, --json all in full.",
    )


def _print(events: list[CallEvent]) -> None:
    from .tables import console, print_table

    print_table(
        console(),
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
