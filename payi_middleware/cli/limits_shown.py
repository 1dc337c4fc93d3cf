"""Limits on a terminal and as JSON. Money is a decimal string there, as in events; calls and tokens are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .amounts import count, usd_text

if TYPE_CHECKING:
    from ..limits.ledger import Ledger, Past, Totals, Unreadable
    from ..limits.limit import Definition, Limit

__all__ = [
    "PAST",
    "amount_json",
    "amount_text",
    "clock_text",
    "definition_json",
    "echo",
    "key_text",
    "lines_of",
    "past_json",
    "past_row",
    "print_changed",
    "print_deleted",
    "print_limit",
    "print_limits",
    "print_made",
    "print_reset",
    "print_unreadable",
    "print_whole",
]

_LIMITS = [
    ("Limit", False),
    ("Type", False),
    ("Per", False),
    ("Window", False),
    ("Spent", True),
    ("Held", True),
    ("Max", True),
    ("Left", True),
    ("Resets", False),
    ("State", False),
]
_ACCOUNTS = [
    ("Account", False),
    ("Spent", True),
    ("Held", True),
    ("Left", True),
    ("Calls", True),
    ("Refused", True),
    ("State", False),
]
PAST = [
    ("Account", False),
    ("From", False),
    ("To", False),
    ("Spent", True),
    ("Max", True),
    ("Calls", True),
    ("", False),
]


def print_limit(ledger: Ledger, definition: Definition, *, as_json: bool) -> None:
    """One limit as it stands."""
    print_limits(ledger, [definition], as_json=as_json)


def print_made(ledger: Ledger, definition: Definition, *, as_json: bool) -> None:
    """One limit that is new, and whose it is."""
    from .tables import console, say

    print_limit(ledger, definition, as_json=as_json)
    if not as_json:
        say(console(), f"It is of the application {definition.application}: calls of no other come to it.")


def print_changed(ledger: Ledger, definition: Definition, *, as_json: bool) -> None:
    """One limit that was changed; whether that stays."""
    from .tables import console, say

    print_limit(ledger, definition, as_json=as_json)
    if definition.is_codes and not as_json:
        whose = f"The code of {definition.application} made this limit"
        say(console(), f"{whose}: what is changed here stays until the code says something else of it.")
    if definition.is_of_instances and not as_json:
        say(
            console(),
            "A use case's limit_config made this limit: `payi serve` makes it as that says when it next starts.",
        )


def print_limits(ledger: Ledger, definitions: Sequence[Definition], *, as_json: bool) -> None:
    """Limits as they stand, one a line."""
    from .tables import console, print_table, say

    standing = [(one, ledger.totals(one.application, one.limit_id)) for one in definitions]
    if as_json:
        for definition, running in standing:
            echo(_document(definition, running))
        return
    on = console()
    if not standing:
        say(on, "There are no limits. Make one: payi limits create NAME MAX --per user --window month")
        return
    applications = {definition.application for definition in definitions}
    columns, rows = list(_LIMITS), [_row(definition, running) for definition, running in standing]
    if len(applications) > 1:
        columns.insert(0, ("Application", False))
        rows = [[definition.application, *row] for (definition, _), row in zip(standing, rows, strict=True)]
    print_table(on, columns, rows)
    if any(definition.limit.per for definition in definitions):
        say(on, "Calls that lack what a limit is per (a user, say) pass that limit, and count to nobody.")


def print_whole(ledger: Ledger, definition: Definition, most: int, *, history: bool, as_json: bool) -> None:
    """A limit with its accounts, dearest first, and what is over."""
    from .tables import console, print_table, say

    limit = definition.limit
    running = sorted(ledger.totals(definition.application, definition.limit_id), key=lambda one: (-one.spent, one.key))
    past = ledger.history(definition.application, definition.limit_id) if history else []
    if as_json:
        document = _document(definition, running) | {"running": [_account(limit, one) for one in running[:most]]}
        if history:
            document["history"] = [past_json(limit, one) for one in past]
        echo(document)
        return
    on = console()
    print_table(on, _LIMITS, [_row(definition, running)])
    for line in lines_of(definition):
        say(on, line)
    if limit.per and not running:
        say(on, "No account yet: each is made with the first call that it counts.")
    elif limit.per:
        print_table(on, _ACCOUNTS, [_account_row(limit, one) for one in running[:most]])
        if len(running) > most:
            say(on, f"{count(len(running) - most)} more accounts: --accounts {len(running)}")
    if history:
        print_table(on, PAST, [past_row(limit, one) for one in past])


def print_reset(definition: Definition, past: Sequence[Past], *, as_json: bool) -> None:
    """What accounts had come to."""
    import typer

    from .harmless import harmless

    limit = definition.limit
    if as_json:
        accounts = [past_json(limit, one) for one in past]
        echo({"schema": 1, "limit_id": definition.limit_id, "name": limit.name, "accounts": accounts})
        return
    spent = amount_text(limit, sum(one.totals.spent for one in past))
    many = "1 account" if len(past) == 1 else f"{count(len(past))} accounts"
    typer.echo(f"{harmless(limit.name)}: counting begins anew, {many} had spent {spent}.")


def print_unreadable(unreadable: Sequence[tuple[str, Unreadable]], *, as_json: bool) -> None:
    """Limits that hold nothing back, with their applications."""
    from .tables import console, say

    for application, one in unreadable:
        if as_json:
            echo(
                {
                    "schema": 1,
                    "limit_id": one.limit_id,
                    "application": application,
                    "name": one.name,
                    "error": one.why,
                }
            )
        else:
            say(
                console(),
                f"{one.name} of {application} cannot be read, so it holds no call back: {one.why}. Delete it: payi limits delete "
                f"{one.limit_id} --application {application}",
            )


def print_deleted(limit_id: str, name: str, *, as_json: bool) -> None:
    """Which limit is no more."""
    import typer

    from .harmless import harmless

    if as_json:
        echo({"schema": 1, "limit_id": limit_id, "name": name, "deleted": True})
    else:
        typer.echo(f"{harmless(name)} is deleted.")


def amount_text(limit: Limit, counted: int) -> str:
    """An amount as a person reads it."""
    return usd_text(counted) if limit.unit == "usd" else f"{count(counted)} {limit.unit}"


def key_text(key: str) -> str:
    """Whose account it is."""
    import msgspec

    return ", ".join(msgspec.json.decode(key)) if key else "(all)"


def _row(definition: Definition, running: Sequence[Totals]) -> list[str]:
    limit = definition.limit
    each = " each" if limit.per else ""
    return [
        limit.name,
        f"{limit.type}, strict" if limit.strict else limit.type,
        ", ".join(limit.per) or "-",
        limit.window or "-",
        amount_text(limit, sum(one.spent for one in running)),
        amount_text(limit, sum(one.held for one in running)),
        amount_text(limit, limit.most) + each,
        amount_text(limit, _left(limit, running)),
        _resets(limit, running),
        _state(limit, running),
    ]


def _left(limit: Limit, running: Sequence[Totals]) -> int:
    """Of the fullest account."""
    return min((max(0, limit.most - one.spent - one.held) for one in running), default=limit.most)


def _state(limit: Limit, running: Sequence[Totals]) -> str:
    """Of the fullest account."""
    from ..limits.ledger import state_of

    return state_of(max((one.spent for one in running), default=0), limit.most, limit.threshold)


def _resets(limit: Limit, running: Sequence[Totals]) -> str:
    from ..limits.limit import CALENDAR

    if limit.window is None:
        return "by hand"
    if limit.window not in CALENDAR:
        return "rolling"
    ends = running[0].ends_ns if running else _ends_now(limit)
    return "-" if ends is None else clock_text(limit, ends)


def _ends_now(limit: Limit) -> int:
    """When the window ends that is running, for a limit without accounts."""
    import time

    from ..limits.windows import span

    assert limit.window is not None
    return span(limit.window, limit.timezone, time.time_ns()).ends_ns


def clock_text(limit: Limit, ns: int) -> str:
    """To the minute, in the limit's own time zone."""
    import datetime
    from zoneinfo import ZoneInfo

    return f"{datetime.datetime.fromtimestamp(ns // 10**9, ZoneInfo(limit.timezone)):%Y-%m-%d %H:%M %Z}"


def lines_of(definition: Definition) -> list[str]:
    """What the table does not tell."""
    from ..limits.limit import differences

    limit = definition.limit
    match = ", ".join(f"{field} = {value}" for field, value in limit.match.items())
    applies = [f"calls with {match}"] if match else []
    applies += [f"calls with one of the limit tags {', '.join(limit.tags)}"] if limit.tags else []
    if not definition.attaches:
        applies = ["calls that name it in limit_ids"]
    by = {"code": "code", "api": "REST or command", "instance": "a use case's limit_config"}[definition.source]
    changes = [] if definition.code is None else differences(definition.code, limit)
    return [
        f"Id {definition.limit_id}, of {definition.application}, made by {by}.",
        *([f"Changed since the code said it, until it says something else: {', '.join(changes)}."] if changes else []),
        f"Applies to {' and '.join(applies) or 'every call'}.",
        *([] if definition.only is None else [f"New instances get none: {len(definition.only):,} of before go on."]),
        *([f"A call without {_members(limit)} passes it, and counts to nobody."] if limit.per else []),
        *([f"Is exceeded from {limit.threshold:g} of its maximum."] if limit.threshold is not None else []),
        *([f"Tells at {', '.join(map(str, limit.alerts))}."] if limit.alerts else []),
        f"When the ledger is out of reach it is {'closed' if limit.closed_on_error else 'open'}; "
        f"models without a price: {limit.unknown_price}.",
    ]


def _members(limit: Limit) -> str:
    """What a call must have to be charged."""
    return " or ".join(per.replace("_", " ") for per in limit.per)


def _account_row(limit: Limit, totals: Totals) -> list[str]:
    from ..limits.ledger import state_of

    return [
        key_text(totals.key),
        amount_text(limit, totals.spent),
        amount_text(limit, totals.held),
        amount_text(limit, max(0, limit.most - totals.spent - totals.held)),
        count(_calls(totals)),
        count(totals.requests.get("blocked", 0)),
        state_of(totals.spent, limit.most, limit.threshold),
    ]


def past_row(limit: Limit, past: Past) -> list[str]:
    """The same, as a line of a table."""
    totals = past.totals
    return [
        key_text(totals.key),
        "-" if totals.starts_ns is None else clock_text(limit, totals.starts_ns),
        clock_text(limit, past.closed_ns),
        amount_text(limit, totals.spent),
        amount_text(limit, past.most),
        count(_calls(totals)),
        "reset" if past.reset else "",
    ]


def _calls(totals: Totals) -> int:
    """That went out."""
    return sum(totals.requests.get(state, 0) for state in ("ok", "exceeded", "overrun", "failed"))


def _document(definition: Definition, running: Sequence[Totals]) -> dict[str, Any]:
    limit = definition.limit
    return definition_json(definition) | {
        "accounts": len(running),
        "spent": amount_json(limit, sum(one.spent for one in running)),
        "held": amount_json(limit, sum(one.held for one in running)),
        "left": amount_json(limit, _left(limit, running)),
        "state": _state(limit, running),
        **_bounds(limit, running[0] if running else None),
    }


def definition_json(definition: Definition) -> dict[str, Any]:
    """A limit without how it stands."""
    import msgspec

    from ..events import format_time

    limit = definition.limit
    fields = {name: getattr(limit, name) for name in limit.__struct_fields__ if name != "max"}
    return {
        "schema": 1,
        "limit_id": definition.limit_id,
        "application": definition.application,
        **msgspec.to_builtins(fields),
        "max": amount_json(limit, limit.most),
        "source": definition.source,
        "properties": definition.properties,
        "created_at": format_time(definition.created_ns),
        "updated_at": format_time(definition.updated_ns),
    }


def _account(limit: Limit, totals: Totals) -> dict[str, Any]:
    import msgspec

    from ..limits.ledger import state_of

    return {
        "key": msgspec.json.decode(totals.key) if totals.key else [],
        "spent": amount_json(limit, totals.spent),
        "held": amount_json(limit, totals.held),
        "left": amount_json(limit, max(0, limit.most - totals.spent - totals.held)),
        "state": state_of(totals.spent, limit.most, limit.threshold),
        "requests": totals.requests,
        **_bounds(limit, totals),
    }


def past_json(limit: Limit, past: Past) -> dict[str, Any]:
    """A row that is over."""
    from ..events import format_time

    told = _account(limit, past.totals)
    del told["left"], told["state"]
    return told | {"max": amount_json(limit, past.most), "closed_at": format_time(past.closed_ns), "reset": past.reset}


def _bounds(limit: Limit, totals: Totals | None) -> dict[str, Any]:
    from ..events import format_time
    from ..limits.limit import rolling_ns

    starts, ends = (None, None) if totals is None else (totals.starts_ns, totals.ends_ns)
    if rolling_ns(limit.window) is not None:
        ends = None  # it goes along
    return {
        "window_starts_at": None if starts is None else format_time(starts),
        "window_ends_at": None if ends is None else format_time(ends),
    }


def amount_json(limit: Limit, counted: int) -> str | int:
    """Money as a decimal string, calls and tokens as a number."""
    from ..events import usd

    return f"{usd(counted).normalize():f}" if limit.unit == "usd" else counted


def echo(document: dict[str, Any]) -> None:
    """One object, on a line."""
    import msgspec
    import typer

    typer.echo(msgspec.json.encode(document))
