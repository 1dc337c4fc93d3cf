"""gunicorn's workers that serve many requests at once: the token counts of each exchange tell whose it was.

What a server keeps when it is stopped is the matter of `durability/test_servers.py`, where all users ask the same.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import crowd
import httpx2
import pytest
from children import UNMEASURED, environment
from mocked import stored

from payi_middleware.demo.standin import StandIn
from payi_middleware.intake import take_in
from payi_middleware.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="gunicorn needs fork")]

AT_ONCE = 64
WORKERS = 2


async def visit(url: str, folder: Path) -> set[str]:
    """Send the crowd once every worker is up; which processes answered."""
    pids: set[str] = set()
    left = iter(range(crowd.USERS))

    async def visitor(client: httpx2.AsyncClient) -> None:
        for number in left:
            path = f"/{crowd.CASES[number % len(crowd.CASES)]}/{number}"
            answer = await client.post(path, headers={"x-user": crowd.user(number), "connection": "close"})
            assert answer.status_code == 200, answer.text
            assert f'"prompt_tokens":{10 * (number + 1) + 4}'.encode() in answer.content.replace(b" ", b"")
            pids.add(answer.headers["x-pid"])

    async with asyncio.timeout(60):
        while len(list(folder.glob("*.up"))) < WORKERS:
            await asyncio.sleep(0.05)
    # Without `connection: close` the connections would stay with the worker that took them first.
    async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        await asyncio.gather(*(visitor(client) for _ in range(AT_ONCE)))
    assert pids <= {path.stem for path in folder.glob("*.up")}
    return pids


@pytest.mark.parametrize(
    ("worker", "app", "mode"),
    [("uvicorn.workers.UvicornWorker", "asgi", "identify"), ("gevent", "wsgi", "set")],
    ids=["uvicorn", "gevent"],
)
def test_each_of_five_calls_is_on_its_user(tmp_path: Path, worker: str, app: str, mode: str) -> None:
    """2,000 calls of 400 users in two workers: each once, on its user and use case, the total as worked out by hand."""
    with StandIn() as provider, socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        settings = {
            "PAYI_STORE": f"sqlite:///{tmp_path}/payi.db", "PAYI_HOSTS": f"{provider.host}=openai",
            "PROVIDER": provider.url, "MODE": mode, "UP": str(tmp_path),
        }  # fmt: skip
        fd = listening.fileno()
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--log-level", "warning", "--no-control-socket", "--workers", str(WORKERS),
             "--graceful-timeout", "30", "--worker-class", worker, "--bind", f"fd://{fd}", f"fiveways:{app}()"],
            env=environment(**settings, **UNMEASURED), pass_fds=[fd], cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            pids = asyncio.run(visit(f"http://127.0.0.1:{listening.getsockname()[1]}", tmp_path))
        finally:
            server.send_signal(signal.SIGTERM)
            _, err = server.communicate(timeout=60)
    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))

    assert err == ""
    assert len(pids) == WORKERS
    crowd.check(stored(tmp_path))
