"""The health of each process that writes: what it hooked, what it dropped and why. `payi doctor` reads it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from .connection import Connection

__all__ = ["Process", "processes", "put"]

_MOST = 1_000  # processes remembered; workers that are recycled every minute must not fill the store

_PUT = """
INSERT INTO processes (process, seen_ns, events, health) VALUES (?, ?, ?, ?)
ON CONFLICT (process) DO UPDATE SET
    seen_ns = excluded.seen_ns, events = processes.events + excluded.events, health = excluded.health
"""
_IS_THERE = "SELECT 1 FROM processes WHERE process = ?"
_FORGET = """
DELETE FROM processes WHERE seen_ns < (SELECT seen_ns FROM processes ORDER BY seen_ns DESC LIMIT 1 OFFSET ?)
"""


class Process(NamedTuple):
    """One process as it last described itself."""

    process: str
    seen_ns: int
    events: int
    """How many events it has written to this store."""
    health: dict[str, Any]


def put(connection: Connection, health: dict[str, Any], events: int, *, known: str | None = None) -> str:
    """Store how a process is, and return its name, which may be `known` to be there. Within a transaction that writes."""
    process = str(health.get("process") or f"{health.get('host', '')}:{health.get('pid', '')}")
    row = (process, int(health.get("seen_ns") or 0), events, msgspec.json.encode(health))
    is_new = process != known and not connection.execute(_IS_THERE, (process,)).fetchone()
    connection.execute(_PUT, row)
    if is_new:
        connection.execute(_FORGET, (_MOST - 1,))
    return process


def processes(connection: Connection) -> list[Process]:
    """All processes, the last seen first."""
    rows = connection.execute("SELECT process, seen_ns, events, health FROM processes ORDER BY seen_ns DESC, process")
    return [Process(process, seen, n, msgspec.json.decode(health)) for process, seen, n, health in rows]
