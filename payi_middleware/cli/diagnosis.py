"""The facts behind `payi doctor`, and the problems they show."""

from __future__ import annotations

import os
import platform
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..events import format_time
from ..exceptions import StoreError
from ..settings import Settings
from ..store import Store, open_store
from ..store.processes import Process
from ..store.schema import VERSION
from .cures import CURES, UNKNOWN

__all__ = ["SCHEMA", "examine"]

SCHEMA = 1
"""Version of the JSON form."""

_SILENT_NS = 120 * 10**9  # a living process reports every 20 seconds while it makes calls
_SHOWN = 20
_NO_FAULT = frozenset({"estimate_rough", "unattributed"})


def examine(settings: Settings, now_ns: int) -> dict[str, Any]:
    """Everything `payi doctor` tells, as JSON takes it."""
    store, processes = _store(settings)
    spool = _spool(settings.spool_path)
    counters = sum((Counter(_counters(process)) for process in processes), Counter[str]())
    told = [_process(process, now_ns) for process in processes]
    unattributed = store.pop("unattributed")
    return {
        "schema": SCHEMA,
        "version": _version("payi-middleware"),
        "store": store,
        "spool": spool,
        "prices": {
            "version": f"genai-prices {_version('genai-prices')}",
            "in_use": sorted({str(p.health["prices"]) for p in processes if p.health.get("prices")}),
        },
        "hosts": settings.hosts | {host: name for p in processes for host, name in _mapping(p, "hosts").items()},
        "processes": told[:_SHOWN],
        "counters": dict(sorted(counters.items())),
        "unattributed": unattributed,
        "problems": [
            {"problem": problem, "cure": cure}
            for problem, cure in [
                *_store_problems(store, unattributed),
                *_spool_problems(spool, told),
                *_process_problems(told),
                *_faults(counters),
            ]
        ],
    }


def _store(settings: Settings) -> tuple[dict[str, Any], list[Process]]:
    path = settings.store_path
    facts: dict[str, Any] = {
        "url": settings.store,
        "path": str(path or ":memory:"),
        "exists": path is not None and path.exists(),
        "error": None,
        "bytes": 0,
        "mode": None,
        "schema": None,
        "events": 0,
        "last_event": None,
        "last_write": None,
        "unattributed": {"calls": 0, "share": 0.0},
    }
    if path is None or not path.exists():
        return facts, []
    found = path.stat()
    facts |= {"bytes": found.st_size, "mode": f"{found.st_mode & 0o777:04o}"}
    try:
        with open_store(settings, create=False) as store:
            return facts | _contents(store), store.processes()
    except StoreError as error:
        return facts | {"error": str(error)}, []


def _contents(store: Store) -> dict[str, Any]:
    total = store.report(("application",)).total
    last, seen = store.latest(1), store.processes()
    return {
        "schema": VERSION,
        "events": total.calls,
        "last_event": format_time(last[0].started_ns) if last else None,
        "last_write": format_time(seen[0].seen_ns) if seen else None,
        "unattributed": {
            "calls": total.unattributed_calls,
            "share": round(total.unattributed_calls / total.calls, 4) if total.calls else 0.0,
        },
    }


def _spool(folder: Path | None) -> dict[str, Any]:
    sizes = [] if folder is None or not folder.is_dir() else [file.stat().st_size for file in folder.glob("*.spool")]
    return {
        "dir": str(folder or "none"),
        "exists": bool(folder and folder.is_dir()),
        "files": len(sizes),
        "bytes": sum(sizes),
    }


def _process(process: Process, now_ns: int) -> dict[str, Any]:
    health = process.health
    return {
        "process": process.process,
        "host": str(health.get("host") or "?"),
        "pid": health.get("pid"),
        "application": str(health.get("application") or "?"),
        "started": _time(health.get("started_ns")),
        "seen": _time(process.seen_ns),
        "state": _state(health, process.seen_ns, now_ns),
        "events": process.events,
        "versions": _mapping(process, "versions"),
        "hooks": _mapping(process, "hooks"),
        "counters": _counters(process),
        "spool": _mapping(process, "spool"),
    }


def _state(health: dict[str, Any], seen_ns: int, now_ns: int) -> str:
    """`running`, `silent` (lives, no report for long), `ended`, or `unknown` (elsewhere, no report for long)."""
    recent = now_ns - seen_ns < _SILENT_NS
    pid = health.get("pid")
    if health.get("host") != platform.node() or not isinstance(pid, int) or pid <= 0:
        return "running" if recent else "unknown"
    if not _lives(pid):
        return "ended"
    return "running" if recent else "silent"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives and is another user's
        return True
    return True


Problems = list[tuple[str, str]]


def _store_problems(store: dict[str, Any], unattributed: dict[str, Any]) -> Problems:
    path = store["path"]
    if store["error"] is not None:
        problem, _, cure = str(store["error"]).rpartition("; ")
        return [(problem or str(store["error"]), cure)]
    if not store["exists"]:
        return [
            (f"there is no store at {path}", "run the application so that it makes one, or name another with --store")
        ]
    problems: Problems = []
    if int(store["mode"], 8) & 0o077:
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
    living = sum(process["state"] in ("running", "silent") for process in processes)
    if spool["files"] and not living:
        return [
            (
                f"{spool['files']} spool files wait in {spool['dir']} and no process works on them",
                "run `payi report`, which takes them in",
            )
        ]
    return []


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
        if not process["hooks"] or set(process["hooks"].values()) <= {"absent"}:
            problems.append(
                (f"{name} has nothing hooked", "install httpx or httpx2 and add PayiMiddleware or call instrument()")
            )
        if process["spool"].get("durable") is False:
            problems.append(
                (
                    f"{name} has no spool on disk, a crash would lose events",
                    "set PAYI_SPOOL_DIR to a folder it may write",
                )
            )
    return problems


def _faults(counters: Counter[str]) -> Problems:
    problems: Problems = []
    for kind, n in sorted(counters.items()):
        if kind not in _NO_FAULT:
            problem, cure = CURES.get(kind, UNKNOWN)
            problems.append((problem.format(n=n, kind=kind), cure))
    return problems


def _counters(process: Process) -> dict[str, int]:
    return {str(kind): n for kind, n in _mapping(process, "counters").items() if isinstance(n, int)}


def _mapping(process: Process, name: str) -> dict[str, Any]:
    found = process.health.get(name)
    return found if isinstance(found, dict) else {}


def _time(ns: object) -> str:
    return format_time(ns) if isinstance(ns, int) and ns > 0 else "never"


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
