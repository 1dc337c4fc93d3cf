"""The facts behind `payi doctor`."""

from __future__ import annotations

import os
import platform
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..events import format_time
from ..exceptions import SettingsError, StoreError
from ..hosts import Hosts
from ..label import label_of
from ..leftovers import own_files
from ..pricing.rows import last_checked
from ..segment import DAMAGED
from ..settings import Settings
from ..store import Store, open_store
from ..store.deliveries import Delivered
from ..store.processes import Process
from ..store.schema import VERSION
from ..store.store import exists
from ..store_url import shown_store
from .ledger_facts import ledger_facts
from .problems import problems_of

__all__ = ["SCHEMA", "examine"]

SCHEMA = 1
"""Version of the JSON form."""

_SILENT_NS = 120 * 10**9  # a living process reports every 20 seconds while it makes calls
_SHOWN = 20


def examine(settings: Settings, now_ns: int) -> dict[str, Any]:
    """Everything `payi doctor` tells, as JSON takes it."""
    store, processes = _store(settings)
    spool = _spool(settings)
    counters = sum((Counter(_counters(process)) for process in processes), Counter[str]())
    told = [_process(process, now_ns) for process in processes]
    unattributed = store.pop("unattributed")
    delivery = store.pop("delivery")
    ledger = ledger_facts(settings)
    return {
        "schema": SCHEMA,
        "version": _version("payi-middleware"),
        "store": store,
        "spool": spool,
        "prices": {
            "version": f"genai-prices {_version('genai-prices')}",
            "rows_checked": last_checked(),
            "in_use": sorted({str(p.health["prices"]) for p in processes if p.health.get("prices")}),
        },
        "hosts": settings.hosts | {host: name for p in processes for host, name in _mapping(p, "hosts").items()},
        "delivery": delivery,
        "ledger": ledger,
        "processes": told[:_SHOWN],
        "counters": dict(sorted(counters.items())),
        "unattributed": unattributed,
        "problems": [
            {"problem": problem, "cure": cure}
            for problem, cure in [
                *_wrong_hosts(settings),
                *problems_of(store, unattributed, spool, delivery, ledger, told, counters),
            ]
        ],
    }


def _wrong_hosts(settings: Settings) -> list[tuple[str, str]]:
    """What an application with these settings would not start for."""
    try:
        Hosts(settings.hosts)
    except SettingsError as error:
        return [
            (str(error), "mend PAYI_HOSTS, for example 127.0.0.1:9001=openai; the application cannot start with it")
        ]
    return []


def _store(settings: Settings) -> tuple[dict[str, Any], list[Process]]:
    path = settings.store_path
    facts: dict[str, Any] = {
        "url": shown_store(settings.store),
        "path": ":memory:" if settings.in_memory else str(path or shown_store(settings.store)),
        "exists": False,
        "error": None,
        "bytes": 0,
        "mode": None,
        "schema": None,
        "events": 0,
        "last_event": None,
        "last_write": None,
        "unattributed": {"calls": 0, "share": 0.0},
        "delivery": [],
    }
    try:
        facts |= _of_file(path) if path is not None else {"exists": exists(settings)}
    except OSError as error:
        assert path is not None
        return facts | {"error": _forbidden(path, error)}, []
    except StoreError as error:
        return facts | {"error": str(error)}, []
    if not facts["exists"]:
        return facts, []
    try:
        with open_store(settings, create=False) as store:
            if path is None:
                facts["bytes"] = store.size()
            return facts | _contents(store), store.processes()
    except StoreError as error:
        return facts | {"error": str(error)}, []


def _of_file(path: Path) -> dict[str, Any]:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {"exists": False}
    written = path.with_name(f"{path.name}-wal")  # what is in the store and not yet in its place
    size = found.st_size + (written.stat().st_size if written.exists() else 0)
    return {"exists": True, "bytes": size, "mode": f"{found.st_mode & 0o777:04o}"}


def _contents(store: Store) -> dict[str, Any]:
    total = store.report(("application",)).total
    last, seen = store.latest(1), store.processes()
    return {
        "schema": VERSION,
        "events": total.calls,
        "last_event": format_time(last[0].started_ns) if last else None,
        "last_write": format_time(seen[0].seen_ns) if seen else None,
        "delivery": [_delivery(place) for place in store.deliveries()],
        "unattributed": {
            "calls": total.unattributed_calls,
            "share": round(total.unattributed_calls / total.calls, 4) if total.calls else 0.0,
        },
    }


def _delivery(place: Delivered) -> dict[str, Any]:
    return {
        "url": place.place.url,
        "application": place.place.application,
        "waiting": place.waiting,
        "set_aside": place.rejected,
        "reasons": [
            {"code": why.code, "message": why.message, "calls": why.events} for why in place.rejections[:_SHOWN]
        ],
        "last": format_time(place.at_ns) if place.at_ns else None,
    }


def _spool(settings: Settings) -> dict[str, Any]:
    folder = settings.spool_path
    facts: dict[str, Any] = {
        "dir": str(folder or "none"),
        "exists": False,
        "files": 0,
        "bytes": 0,
        "of_other_stores": 0,
        "damaged": 0,
        "error": None,
    }
    if folder is None:
        return facts
    try:
        own = own_files(folder, label_of(settings))
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return facts
    except OSError as error:
        return facts | {"error": _forbidden(folder, error)}
    return facts | {
        "exists": True,
        "files": len(own),
        "bytes": sum(map(_size, own)),
        "of_other_stores": sum(name.endswith(".spool") for name in names) - len(own),
        "damaged": sum(name.endswith(DAMAGED) for name in names),
    }


def _size(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_size
    except OSError:  # its owner is done with it
        return 0


def _forbidden(path: Path, error: OSError) -> str:
    return f"{path} cannot be looked at: {error.strerror or error}; give this user the right to read it and its folder"


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
        "delivery": _mapping(process, "delivery"),
        "limits": _mapping(process, "limits"),
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
