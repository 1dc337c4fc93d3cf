"""What is wrong, of the facts that `payi doctor` found, each with its cure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..events import format_time
from .cures import CURES, UNKNOWN

__all__ = ["NO_FAULT", "problems_of"]

Problems = list[tuple[str, str]]

NO_FAULT = frozenset({"estimate_rough", "unattributed"})
"""Kinds that are counted and told elsewhere, and need no cure."""


def problems_of(
    store: dict[str, Any],
    unattributed: dict[str, Any],
    spool: dict[str, Any],
    delivery: list[dict[str, Any]],
    ledger: dict[str, Any],
    processes: list[dict[str, Any]],
    counters: Counter[str],
) -> Problems:
    """Problem and cure, of store, spool, delivery, ledger, processes and what they counted."""
    return [
        *_store_problems(store, unattributed),
        *_spool_problems(spool, processes),
        *_delivery_problems(delivery, processes),
        *([_parted(ledger["error"])] if ledger["error"] is not None else []),
        *_unreadable_limits(ledger),
        *_process_problems(processes),
        *_limit_problems(processes),
        *_faults(counters),
    ]


def _store_problems(store: dict[str, Any], unattributed: dict[str, Any]) -> Problems:
    path = store["path"]
    if store["error"] is not None:
        return [_parted(store["error"])]
    if not store["exists"]:
        return [
            (f"there is no store at {path}", "run the application so that it makes one, or name another with --store")
        ]
    problems: Problems = []
    if store["mode"] is not None and int(store["mode"], 8) & 0o077:
        problems.append((f"other users of this machine may read {path} (mode {store['mode']})", f"chmod 600 {path}"))
    if not store["events"]:
        problems.append(
            ("the store holds no calls", "check that the application calls a provider that is hooked (see `Process`)")
        )
    if unattributed["share"] > 0.5:
        problems.append(
            (
                f"{100 * unattributed['share']:.0f} % of the calls are of no known user",
                "give the middleware `identify`, or put `track(user_id=...)` around work outside requests",
            )
        )
    return problems


def _spool_problems(spool: dict[str, Any], processes: list[dict[str, Any]]) -> Problems:
    if spool["error"] is not None:
        return [_parted(spool["error"])]
    problems: Problems = []
    if spool["files"] and not any(process["state"] in ("running", "silent") for process in processes):
        problems.append(
            (
                f"{spool['files']} spool files wait in {spool['dir']} and no process works on them",
                "run `payi report`, which takes them in",
            )
        )
    if spool["damaged"]:
        problems.append(
            (
                f"{spool['damaged']} damaged spool files are kept in {spool['dir']}; what was whole in them is delivered",
                "check the disk; a power cut does this too. Delete the *.damaged files when nobody is to look at them",
            )
        )
    return problems


def _delivery_problems(delivery: list[dict[str, Any]], processes: list[dict[str, Any]]) -> Problems:
    problems: Problems = [
        (
            f"{place['url']} refused {why['calls']} calls of {place['application']}: {why['code'] or 'no code'}, {why['message']}",
            "mend the cause (docs/delivery.md), then run `payi spool retry`",
        )
        for place in delivery
        for why in place["reasons"]
    ]
    errors = {
        (str(process["delivery"].get("url")), str(process["delivery"]["error"]))
        for process in processes
        if process["state"] in ("running", "silent") and process["delivery"].get("error")
    }
    problems += [
        (
            f"calls wait, {url} cannot be had: {error}",
            "check PAYI_BASE_URL, PAYI_API_KEY and the network; nothing is lost",
        )
        for url, error in sorted(errors)
    ]
    return problems


def _parted(error: str) -> tuple[str, str]:
    """Our messages end with the cure."""
    problem, _, cure = error.rpartition("; ")
    return problem or error, cure


def _process_problems(processes: list[dict[str, Any]]) -> Problems:
    problems: Problems = []
    for process in processes:
        name = f"process {process['pid']} on {process['host']}"
        if process["state"] == "silent":
            problems.append(
                (
                    f"{name} lives and has not written since {process['seen']}",
                    "it may just have nothing to do; if it makes calls, see its log",
                )
            )
        if process["state"] not in ("running", "silent"):
            continue
        if set(process["hooks"].values()) <= {"absent"}:
            problems.append((f"{name} has nothing hooked", "add PayiMiddleware or call instrument()"))
        for library, how in process["hooks"].items():
            if how == "unsupported":
                problems.append(
                    (
                        f"{name} has a {library} that cannot be hooked; calls through it are not seen",
                        "install a newer one",
                    )
                )
        if process["spool"].get("durable") is False:
            problems.append(
                (
                    f"{name} has no spool on disk, a crash would lose events",
                    "set PAYI_SPOOL_DIR to a folder it may write",
                )
            )
    return problems


def _unreadable_limits(ledger: dict[str, Any]) -> Problems:
    return [
        (
            f"limit {one['name']} of {one['application']} cannot be read, so it holds no call back",
            "see `payi limits list`; define it anew, or delete it with `payi limits delete`",
        )
        for one in ledger["unreadable"]
    ]


def _limit_problems(processes: list[dict[str, Any]]) -> Problems:
    return [
        (
            f"process {process['pid']} on {process['host']} cannot reach the ledger of its limits, "
            f"{process['limits'].get('place')}, since {format_time(since)}",
            "see its log; meanwhile block limits refuse calls and allow limits let them pass, unless their on_error "
            "says otherwise",
        )
        for process in processes
        if process["state"] in ("running", "silent")
        and isinstance(since := process["limits"].get("away_since_ns"), int)
    ]


def _faults(counters: Counter[str]) -> Problems:
    problems: Problems = []
    for kind, n in sorted(counters.items()):
        if kind not in NO_FAULT:
            problem, cure = CURES.get(kind, UNKNOWN)
            problems.append((problem.format(n=n, kind=kind), cure))
    return problems
