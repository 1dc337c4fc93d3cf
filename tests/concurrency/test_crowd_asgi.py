"""400 requests at once in one event loop, each with five calls made in five ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import crowd
import httpx
import httpx2
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from mocked import stored

from payi_middleware import Meter, PayiMiddleware, current, use_case
from payi_middleware.demo.serving import Serving
from payi_middleware.demo.standin import StandIn

pytestmark = pytest.mark.slow

PATH = "/v1/chat/completions"
CLIENTS = 16


class Calling:
    """Clients shared by all requests, as in any application; several, since a pool's work grows with the square of its queue."""

    def __init__(self, url: str) -> None:
        free: Any = {"base_url": url, "trust_env": False, "timeout": 60, "verify": False}
        self.newer = [httpx2.AsyncClient(**free) for _ in range(CLIENTS)]
        self.older = [httpx.AsyncClient(**free) for _ in range(CLIENTS)]
        self.plain = [httpx2.Client(**free) for _ in range(CLIENTS)]
        self.pool = ThreadPoolExecutor(16)
        self.arrived = 0
        self.everybody = asyncio.Event()

    async def aclose(self) -> None:
        for client in (*self.newer, *self.older):
            await client.aclose()
        for plain in self.plain:
            plain.close()
        self.pool.shutdown()

    async def come(self) -> None:
        """Nobody goes on before everybody is here."""
        self.arrived += 1
        if self.arrived == crowd.USERS:
            self.everybody.set()
        await self.everybody.wait()

    async def endpoint(self, number: int, background: BackgroundTasks) -> StreamingResponse:
        await self.come()
        await self.newer[number % CLIENTS].post(PATH, json=crowd.body(number, 0))
        await self.older[number % CLIENTS].post(PATH, json=crowd.body(number, 1))
        in_thread = asyncio.get_running_loop().run_in_executor(self.pool, self._from_a_thread, number)
        background.add_task(self._afterwards, number)
        await in_thread
        return StreamingResponse(self._streamed(number))

    def _from_a_thread(self, number: int) -> None:
        self.plain[number % CLIENTS].post(PATH, json=crowd.body(number, 2))

    async def _afterwards(self, number: int) -> None:
        await self.newer[number % CLIENTS].post(PATH, json=crowd.body(number, 3))

    async def _streamed(self, number: int) -> AsyncIterator[bytes]:
        async with self.newer[number % CLIENTS].stream("POST", PATH, json=crowd.body(number, 4, stream=True)) as answer:
            async for part in answer.aiter_bytes():
                yield part


def identify(connection: Any) -> str:
    return str(connection.headers["x-user"])


async def set_user(request: Request) -> None:
    current().set(user_id=request.headers["x-user"])


def make_app(meter: Meter, mode: str, url: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.calling = Calling(url)
        yield
        await app.state.calling.aclose()

    app = FastAPI(lifespan=lifespan, dependencies=[Depends(set_user)] if mode == "set" else [])
    app.add_middleware(PayiMiddleware, meter=meter, identify=identify if mode == "identify" else None)

    def route(case: str) -> None:
        @app.post(f"/{case}/{{number}}")
        @use_case(case)
        async def endpoint(number: int, background: BackgroundTasks) -> StreamingResponse:
            calling: Calling = app.state.calling
            return await calling.endpoint(number, background)

    for case in crowd.CASES:
        route(case)
    return app


async def visit(url: str, mode: str) -> None:
    """Everybody at once, over bare connections: a client's pool would take longer than all that is tested."""
    name = "xProxy-User-ID" if mode == "header" else "x-user"
    host, port = url.removeprefix("http://").split(":")

    async def one(number: int) -> bytes:
        reader, writer = await asyncio.open_connection(host, int(port))
        path = f"/{crowd.CASES[number % len(crowd.CASES)]}/{number}"
        head = (f"POST {path} HTTP/1.1", f"host: {host}", f"{name}: {crowd.user(number)}", "connection: close")
        writer.write("\r\n".join((*head, "content-length: 0", "", "")).encode())
        answer = await reader.read()
        writer.close()
        return answer

    for answer in await asyncio.gather(*map(one, range(crowd.USERS))):
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"[DONE]" in answer


@pytest.mark.parametrize("mode", crowd.MODES)
def test_no_call_is_on_a_wrong_user(tmp_path: Path, mode: str) -> None:
    """2,000 calls of 400 users at once: each on its user and use case, the total as worked out by hand."""
    with (
        StandIn() as provider,
        Meter(
            f"sqlite:///{tmp_path}/payi.db",
            hosts={provider.host: "openai"},
            trusted_hosts=("127.0.0.1",) if mode == "header" else (),
        ) as meter,
    ):
        with Serving(make_app(meter, mode, provider.url)) as serving:
            asyncio.run(visit(serving.url, mode))
        assert meter.flush(30)
        crowd.check(stored(tmp_path))
