"""Events into one server process: single, and 1,000 at a time by both routes; on SQLite and on PostgreSQL, in turn.

Client, server and database share the machine. The plain insert of the same rows alone stands beside.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from figures import Figure
from outages import Server

SECONDS = 3.0
CONNECTIONS = {"single": 32, "bulk of 1,000": 4, "/events of 1,000": 4}
BOUNDS = {"single": 800, "bulk of 1,000": 12_000, "/events of 1,000": 12_000}
"""Events a second on SQLite; on PostgreSQL 60 % of that."""
USERS = 5_000


def measure(rounds: int) -> list[Figure]:
    """Each way on each database, `rounds` times but at most 3, the median of them."""
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for turn in range(min(3, rounds)):
            for kind, store in stores(Path(name), turn):
                for way, rate in rates(store, Path(name)):
                    found.setdefault((way, kind), []).append(rate)
    return [
        Figure(f"ingest on {kind}: {way}", f"{statistics.median(told):,.0f}/s", f"{bound(way, kind):,.0f}/s")
        for (way, kind), told in sorted(found.items())
    ]


def bound(way: str, kind: str) -> float:
    return BOUNDS[way] * (0.6 if kind == "PostgreSQL" else 1)


def stores(folder: Path, turn: int) -> Iterator[tuple[str, str]]:
    """(kind, URL of a new store)"""
    yield "SQLite", f"sqlite:///{folder}/{turn}.db"
    import postgres

    server = postgres.Server(durable=True)
    try:
        yield "PostgreSQL", server.url()
    finally:
        server.close()


def rates(store: str, folder: Path) -> Iterator[tuple[str, float]]:
    """(way, events a second)"""
    server = Server(store, folder)
    server.start()
    try:
        for way, path, body, size in ways():
            yield way, asyncio.run(_rate(server, path, body, size, CONNECTIONS[way]))
    finally:
        server.kill()


def ways() -> list[tuple[str, str, Callable[[], bytes], int]]:
    """(name, path, makes a body, events in it)"""
    return [
        ("single", "/api/v1/ingest", lambda: json.dumps(plain_item()).encode(), 1),
        ("bulk of 1,000", "/api/v1/ingest/bulk", lambda: json.dumps([item() for _ in range(1000)]).encode(), 1000),
        ("/events of 1,000", "/api/v1/events", lambda: "\n".join(event() for _ in range(1000)).encode(), 1000),
    ]


def plain_item() -> dict[str, object]:
    """A call in Pay-i's shape, of a single ingest: the headers tell for whom."""
    return {
        "category": "system.openai",
        "resource": random.choice(["gpt-4o", "gpt-4o-mini"]),
        "units": {"text": {"input": random.randrange(5000), "output": random.randrange(900)}},
        "end_to_end_latency_ms": random.randrange(100, 9000),
    }


def item() -> dict[str, object]:
    """The same of a bulk."""
    return plain_item() | {
        "user_id": f"user-{random.randrange(USERS)}",
        "use_case_name": random.choice(["chat", "search", "mail"]),
        "request_tags": ["a", "b"],
    }


def event() -> str:
    """A call of ours, as a line."""
    from made import call

    made = call(
        application="outage",
        started_ns=time.time_ns() - random.randrange(86_400 * 10**9),
        user_id=f"user-{random.randrange(USERS)}",
        http_route=random.choice(["/chat", "/search"]),
        request_tags=("a", "b"),
        duration_ns=random.randrange(10**8, 9 * 10**9),
    )
    return made.to_json()


async def _rate(server: Server, path: str, body: Callable[[], bytes], size: int, connections: int) -> float:
    """Events a second that are answered, over connections that each send when they have their answer."""
    bodies = [[body() for _ in range(400 if size == 1 else 12)] for _ in range(connections)]
    taken = await asyncio.gather(*[_sent(server, path, some) for some in bodies])
    return size * sum(n for n, _ in taken) / max(seconds for _, seconds in taken)


async def _sent(server: Server, path: str, bodies: list[bytes]) -> tuple[int, float]:
    """(requests that were answered, in how many seconds)"""
    reader, writer = await asyncio.open_connection(urlsplit(server.url).hostname, urlsplit(server.url).port)
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nxProxy-api-key: {server.key}\r\nContent-Type: application/json\r\n"
    began, n = time.monotonic(), 0
    for body in bodies:
        whom = f"xProxy-User-ID: user-{random.randrange(USERS)}\r\n" if path.endswith("ingest") else ""
        writer.write(f"{head}{whom}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer + await reader.read(400)
        length = int(answer.lower().partition(b"content-length: ")[2].split()[0])
        told = await reader.readexactly(length)
        assert b'"error_count":0' in told or path.endswith("ingest"), told[:500]
        n += 1
        if time.monotonic() - began > SECONDS:
            break
    seconds = time.monotonic() - began
    writer.close()
    return n, seconds
