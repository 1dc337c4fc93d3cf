"""`payi doctor`: what is hooked, stored, waiting, dropped, and how to cure what is wrong."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .faults import told
from .source import settings_of

__all__ = ["command"]


def command(
    store: Annotated[str | None, typer.Option(metavar="URL", help="The store, for example sqlite:///payi.db.")] = None,
    ledger: Annotated[
        str | None, typer.Option(metavar="URL", help="Where limits are counted; by default beside the store.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """What is hooked, stored, waiting and dropped, each problem with its cure."""
    import time

    from .diagnosis import examine

    with told():
        found = examine(settings_of(store, ledger), time.time_ns())
        if as_json:
            import msgspec

            typer.echo(msgspec.json.encode(found))
        else:
            _print(found)


def _print(found: dict[str, Any]) -> None:
    from .tables import console, say

    on = console()
    for line in _lines(found):
        say(on, line)
    if not found["problems"]:
        say(on, "No problems found.")
    for problem in found["problems"]:
        say(on, f"PROBLEM: {problem['problem']}", loud=True)
        say(on, f"   Cure: {problem['cure']}")


def _lines(found: dict[str, Any]) -> list[str]:
    from .amounts import calls, count, percent, size

    store, spool, prices = found["store"], found["spool"], found["prices"]
    lines = [f"payi-middleware {found['version']}", f"Store    {store['path']}"]
    if store["exists"] and store["error"] is None:
        nobodys = found["unattributed"]
        lines += [
            f"         {size(store['bytes'])}, schema {store['schema']}, {calls(store['events'])}, last began "
            f"{store['last_event'] or 'never'}, last written {store['last_write'] or 'never'}",
            f"         {calls(nobodys['calls'])} of no known user ({percent(nobodys['calls'], store['events'])})",
        ]
    named = ", ".join(f"{host} = {name}" for host, name in found["hosts"].items())
    lines += [
        f"Spool    {spool['dir']}: {_files(spool['files'])}, {size(spool['bytes'])}{_others(spool)}",
        f"Prices   {prices['version']}, rows of ours checked until {prices['rows_checked']}"
        + (f"; in use: {', '.join(prices['in_use'])}" if prices["in_use"] else ""),
        f"Hosts    {named or 'none named beside the known providers'}",
    ]
    lines += [f"Delivery {_delivery(place)}" for place in found["delivery"]]
    lines += _ledger(found["ledger"])
    lines += [f"Process  {_process(process)}" for process in found["processes"]]
    lines += [f"Limits   {_limits(process)}" for process in found["processes"] if process["limits"]]
    lines += [f"Counted  {name}: {count(n)}" for name, n in found["counters"].items()]
    return lines


def _files(n: int) -> str:
    return "1 file" if n == 1 else f"{n:,} files"


def _others(spool: dict[str, Any]) -> str:
    return f"; {spool['of_other_stores']} more of other stores" if spool["of_other_stores"] else ""


def _hook(library: str, how: str, versions: dict[str, Any]) -> str:
    if how == "waiting":
        return f"{library} once it is imported"
    if how == "absent":
        return f"{library} is not installed"
    return f"{library} {versions.get(library, '')} by {how}"


def _ledger(ledger: dict[str, Any]) -> list[str]:
    from .amounts import calls, count

    if ledger["error"] is not None or not ledger["limits"]:
        return []
    lines = [f"Ledger   {ledger['id']}: {_limits_in(ledger['limits'])}, held by {calls(ledger['held'])} that run"]
    for over in ledger["over"]:
        accounts = "1 account" if over["accounts"] == 1 else f"{count(over['accounts'])} accounts"
        effect = "its calls are refused" if over["type"] == "block" else "it only tells"
        lines.append(f"         {over['name']} ({over['application']}): {accounts} at the maximum, {effect}")
    return lines


def _limits_in(n: int) -> str:
    return "1 limit" if n == 1 else f"{n:,} limits"


def _delivery(place: dict[str, Any]) -> str:
    from .amounts import count

    taken = "none was taken yet" if place["last"] is None else f"last taken {place['last']}"
    return (
        f"{place['url']} ({place['application']}): {count(place['waiting'])} calls wait, {count(place['set_aside'])} are set "
        f"aside, {taken}"
    )


def _limits(process: dict[str, Any]) -> str:
    told = process["limits"]
    whose = (
        "shared by all who name it"
        if told.get("shared")
        else "of this application alone: a server that it sends to does not know it"
        if told.get("sends") or process["delivery"]  # which it tells of only when it has delivered
        else "shared by what uses this store"
    )
    unsettled = f"; {told['unsettled']} calls wait to be counted" if told.get("unsettled") else ""
    return (
        f"{process['host']} {process['pid']} ({process['application']}): {_limits_in(told.get('limits', 0))}, counted in "
        f"{told.get('place', '?')}, {whose}{unsettled}"
    )


def _process(process: dict[str, Any]) -> str:
    from .amounts import calls

    hooks = ", ".join(_hook(name, how, process["versions"]) for name, how in process["hooks"].items())
    return (
        f"{process['host']} {process['pid']} ({process['application']}): {process['state']}, "
        f"last seen {process['seen']}, {calls(process['events'])}; hooked: {hooks or 'nothing'}"
    )
