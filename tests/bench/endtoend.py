"""Two real servers, the plain application and the same with the middleware, visited in turn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from figures import Figure, ratio

HERE = Path(__file__).parent
KINDS = ("plain", "payi")


class Connection:
    """A blocking keep-alive client that adds as little noise as it can."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str, mark: bytes = b"") -> tuple[float, float, bytes]:
        """(seconds to the mark, seconds to the end, body)"""
        start, buffer, marked = time.perf_counter(), b"", 0.0
        self.socket.sendall(request(path))
        while not complete(buffer):
            buffer += self.socket.recv(1 << 18)
            if not marked and mark in buffer:
                marked = time.perf_counter() - start
        if b" 200 " not in buffer[:20]:
            raise RuntimeError(buffer[:300])
        return marked, time.perf_counter() - start, buffer.split(b"\r\n\r\n", 1)[1]


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: x\r\nxproxy-user-id: u1\r\nxproxy-usecase-name: bench\r\n\r\n".encode()


def complete(buffer: bytes) -> bool:
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return False
    at = buffer.find(b"content-length:", 0, end)
    if at >= 0:
        return len(buffer) >= end + 4 + int(buffer[at + 15 : buffer.index(b"\r\n", at)])
    return buffer.endswith(b"0\r\n\r\n")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def servers() -> Iterator[dict[str, int]]:
    started: list[subprocess.Popen[bytes]] = []
    provider, ports = free_port(), {kind: free_port() for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        try:
            pinned = hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1
            if pinned:
                os.sched_setaffinity(0, {(os.cpu_count() or 1) - 1})
            started.append(subprocess.Popen([sys.executable, HERE / "provider.py", str(provider)]))
            for kind, port in ports.items():
                started.append(
                    subprocess.Popen([sys.executable, HERE / "app.py", kind, str(port), str(provider), folder])
                )
            for port in ports.values():
                await_port(port)
            yield ports
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(15)


def await_port(port: int) -> None:
    for _ in range(300):
        try:
            Connection(port).get("/ping")
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing listens on {port}")


class Load(asyncio.Protocol):
    """One of the concurrent connections; they share a countdown."""

    def __init__(self, path: str, left: dict[str, int], done: asyncio.Future[None]) -> None:
        self.request, self.left, self.done = request(path), left, done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.out = transport
        self.next()

    def next(self) -> None:
        self.buffer = b""
        if self.left["to send"] > 0:
            self.left["to send"] -= 1
            self.out.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if complete(self.buffer):
            self.left["to answer"] -= 1
            if self.left["to answer"] == 0:
                self.done.set_result(None)
            self.next()


async def hammer(port: int, path: str, total: int, concurrent: int) -> float:
    """Seconds for `total` requests."""
    loop = asyncio.get_running_loop()
    left, done = {"to send": total, "to answer": total}, loop.create_future()
    start = time.perf_counter()
    made = [await loop.create_connection(lambda: Load(path, left, done), "127.0.0.1", port) for _ in range(concurrent)]
    await asyncio.wait_for(done, 120)
    spent = time.perf_counter() - start
    for transport, _ in made:
        transport.close()
    return spent


def measure(rounds: int) -> list[Figure]:
    """All rows that need servers."""
    with servers() as ports:
        connections = {kind: Connection(port) for kind, port in ports.items()}
        latency = sequential(connections, rounds * 3)
        streamed = streams(connections, rounds)
        loaded = load(connections, ports, rounds)
    return [*latency, *streamed, *loaded]


def turns(rounds: int) -> Iterator[str]:
    for _ in range(rounds):
        yield from random.sample(KINDS, len(KINDS))


def sequential(connections: dict[str, Connection], rounds: int) -> list[Figure]:
    seen: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        for _ in range(100):
            connections[kind].get("/chat")
    for kind in turns(rounds):
        seen[kind].append(statistics.median(connections[kind].get("/chat")[1] for _ in range(25)))
    return [ratio("web request with one call, median latency", seen["payi"], seen["plain"], "<= 1.03 x")]


def streams(connections: dict[str, Connection], rounds: int) -> list[Figure]:
    first: dict[str, list[float]] = {kind: [] for kind in KINDS}
    whole: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind in turns(rounds * 2):
        got = [connections[kind].get("/stream", b"tok0 ")[:2] for _ in range(3)]
        first[kind].append(statistics.median(a for a, _ in got))
        whole[kind].append(statistics.median(b - a for a, b in got))
    added = statistics.median(a - b for a, b in zip(whole["payi"], whole["plain"], strict=True)) / 499
    return [
        ratio("stream of 500 chunks, time to the first", first["payi"], first["plain"], "<= 1.05 x"),
        ratio("stream of 500 chunks, the rest", whole["payi"], whole["plain"], ""),
        Figure("stream of 500 chunks, added a chunk, end to end", f"{added * 1e6:+.2f} µs", "(see in process)"),
    ]


def load(connections: dict[str, Connection], ports: dict[str, int], rounds: int) -> list[Figure]:
    rate: dict[str, list[float]] = {kind: [] for kind in KINDS}
    cpu: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        asyncio.run(hammer(ports[kind], "/chat", 128, 64))
    for kind in turns(rounds):
        before = json.loads(connections[kind].get("/spent")[2])["cpu"]
        rate[kind].append(256 / asyncio.run(hammer(ports[kind], "/chat", 256, 64)))
        cpu[kind].append((json.loads(connections[kind].get("/spent")[2])["cpu"] - before) / 256)
    return [
        ratio("64 concurrent, CPU a request, flush included", cpu["payi"], cpu["plain"], "<= 1.03 x"),
        ratio("64 concurrent, throughput", rate["payi"], rate["plain"], ">= 0.97 x"),
    ]
