"""Real servers, stopped as they are stopped in production: every call of every worker is kept, once, for its user."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from children import GREENLETS, UNMEASURED, environment
from mocked import stored

from payi_middleware.demo.standin import StandIn
from payi_middleware.intake import take_in
from payi_middleware.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs fork")]

CALLS = 1000
REQUEST = b"GET /ask HTTP/1.1\r\nHost: app.test\r\nxProxy-User-ID: %b\r\nConnection: close\r\n\r\n"
UVICORN = ["uvicorn", "--factory", "served:asgi", "--log-level", "warning"]
GUNICORN = ["gunicorn", "--log-level", "warning", "--graceful-timeout", "10", "--no-control-socket"]


@pytest.fixture
def provider() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


async def drive(port: int, *, at_once: int) -> Counter[bytes]:
    """Send the requests, each for a user of its own and by itself (a client library takes longer than the server)."""
    answers: Counter[bytes] = Counter()
    left = iter(range(CALLS))

    async def visitor() -> None:
        for number in left:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST % f"user-{number:04}".encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            answers[head[:12] + b": " + body] += 1
            writer.close()
            await writer.wait_closed()

    async with asyncio.timeout(120):
        await asyncio.gather(*(visitor() for _ in range(at_once)))
    return answers


def serve(
    command: list[str], folder: Path, provider: StandIn, *, at_once: int = 16, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a server, send it the requests, end it by SIGTERM."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        fd = listening.fileno()
        place = ["--fd", str(fd)] if command[0] == "uvicorn" else ["--bind", f"fd://{fd}"]
        settings = {
            "PAYI_STORE": f"sqlite:///{folder}/payi.db",
            "PAYI_HOSTS": f"{provider.host}=openai",
            "PAYI_TRUSTED_HOSTS": "127.0.0.1",
            "PROVIDER": provider.url,
        } | more
        server = subprocess.Popen(
            [sys.executable, "-m", *command, *place],
            env=environment(**settings), pass_fds=[fd], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            answers = asyncio.run(drive(listening.getsockname()[1], at_once=at_once))
        finally:
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=60)
    assert answers == {b"HTTP/1.1 200: 200": CALLS}, err
    return subprocess.CompletedProcess(command, server.returncode, out, err)


def check(folder: Path) -> None:
    take_in(Settings(store=f"sqlite:///{folder}/payi.db"))
    events = stored(folder)
    assert sorted(event.user_id or "" for event in events) == [f"user-{number:04}" for number in range(CALLS)]
    assert {(event.outcome, event.use_case_name, event.inbound.http_route) for event in events} == {
        ("ok", "Asked", "/ask")
    }
    assert len({event.event_id for event in events}) == CALLS
    each = {event.cost.total if event.cost else Decimal(0) for event in events}
    assert len(each) == 1
    assert each > {0} or min(each) > 0


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_uvicorn_stopped_by_sigterm(tmp_path: Path, provider: StandIn, lifespan: str) -> None:
    """uvicorn raises SIGTERM again after its shutdown, so no exit handler runs: with and without lifespan, nothing is lost."""
    serve([*UVICORN, "--lifespan", lifespan], tmp_path, provider)

    check(tmp_path)


def test_gunicorn_preloaded_with_recycled_workers(tmp_path: Path, provider: StandIn) -> None:
    """An application loaded before the fork, in workers that end after 50 requests each."""
    serve(
        [*GUNICORN, "--preload", "--workers", "4", "--max-requests", "50", "served:wsgi()"],
        tmp_path,
        provider,
        **UNMEASURED,
    )

    check(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers", "2", "served:wsgi()"],
        ["--workers", "2", "--threads", "8", "--worker-class", "gthread", "served:wsgi()"],
        ["--workers", "1", "--worker-class", "gevent", "served:wsgi()"],
        ["--workers", "2", "--worker-class", "uvicorn.workers.UvicornWorker", "served:asgi()"],
    ],
    ids=["sync", "gthread", "gevent", "uvicorn"],
)
def test_gunicorn_stopped_by_sigterm(tmp_path: Path, provider: StandIn, arguments: list[str]) -> None:
    """gunicorn's kinds of workers, stopped while their last events may still wait."""
    serve([*GUNICORN, *arguments], tmp_path, provider, **(GREENLETS if "gevent" in arguments else {}))

    check(tmp_path)
