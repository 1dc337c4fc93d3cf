"""Applications whose every request makes five calls in five ways, each telling its user by its count of tokens.

For the crowd of `crowd`: in this process, or served by gunicorn, where the environment tells what else an argument would.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import crowd
import httpx
import httpx2
import openai
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from flask import Flask, Response, request

from payi_middleware import Meter, PayiMiddleware, current, use_case
from payi_middleware.flask import Payi

__all__ = ["AsyncClients", "Clients", "asgi", "wsgi"]

PATH = "/v1/chat/completions"
SHARES = 16


def _place(url: str) -> Any:
    return {"base_url": url + "/v1", "api_key": "none", "max_retries": 0, "timeout": 60}


class Clients:
    """What a Flask application shares between its threads."""

    def __init__(self, url: str) -> None:
        self.sdk = openai.OpenAI(**_place(url), http_client=openai.DefaultHttpxClient(verify=False, trust_env=False))
        self.plain = httpx.Client(base_url=url, trust_env=False, timeout=60)
        self.newer = httpx2.Client(base_url=url, trust_env=False, timeout=60)
        self.pool = ThreadPoolExecutor(16)

    def ask(self, number: int, call: int) -> None:
        """By the SDK, which sits on httpx2."""
        self.sdk.chat.completions.create(**crowd.body(number, call))

    def post(self, number: int, call: int) -> None:
        """By httpx itself."""
        self.plain.post(PATH, json=crowd.body(number, call))

    def post_newer(self, number: int, call: int) -> None:
        """By httpx2 itself."""
        self.newer.post(PATH, json=crowd.body(number, call))

    def parts(self, number: int, call: int) -> Iterator[bytes]:
        """A streamed answer; it is asked for when its first part is."""
        with self.sdk.chat.completions.create(**crowd.body(number, call, stream=True)) as stream:
            for chunk in stream:
                yield chunk.to_json(indent=None).encode() + b"\n"


class AsyncClients:
    """What a FastAPI application shares between its tasks."""

    def __init__(self, url: str) -> None:
        # Some of each: a pool looks through all its connections and waiting requests whenever one comes or goes.
        self.sdks = [
            openai.AsyncOpenAI(**_place(url), http_client=openai.DefaultAsyncHttpxClient(verify=False, trust_env=False))
            for _ in range(SHARES)
        ]
        self.plain = [httpx.AsyncClient(base_url=url, verify=False, trust_env=False, timeout=60) for _ in range(SHARES)]
        self.threads = Clients(url)

    async def ask(self, number: int, call: int) -> None:
        """By the SDK, which sits on httpx2."""
        await self.sdks[number % SHARES].chat.completions.create(**crowd.body(number, call))

    async def post(self, number: int, call: int) -> None:
        """By httpx itself."""
        await self.plain[number % SHARES].post(PATH, json=crowd.body(number, call))

    async def parts(self, number: int, call: int) -> AsyncIterator[bytes]:
        """A streamed answer; it is asked for when its first part is."""
        asked = self.sdks[number % SHARES].chat.completions.create(**crowd.body(number, call, stream=True))
        async with await asked as stream:
            async for chunk in stream:
                yield chunk.to_json(indent=None).encode() + b"\n"

    async def aclose(self) -> None:
        """Let go of the connections and threads."""
        for sdk, plain in zip(self.sdks, self.plain, strict=True):
            await sdk.close()
            await plain.aclose()
        self.threads.sdk.close()
        self.threads.plain.close()
        self.threads.newer.close()
        self.threads.pool.shutdown()


def _up() -> None:
    """Tell the test that this worker of a server is there."""
    if folder := os.environ.get("UP"):
        Path(folder, f"{os.getpid()}.up").touch()


def _identify(connection: Any) -> str:
    return str(connection.headers["x-user"])


def asgi(
    clients: AsyncClients | None = None, mode: str = "", meter: Meter | None = None, *, together: int = 0
) -> FastAPI:
    """A FastAPI application.

    Args:
        mode: One of `crowd.MODES`: how it knows its user.
        together: How many requests wait for each other before any makes its first call; 0 for none.
    """
    mode = mode or os.environ["MODE"]
    asking = clients or AsyncClients(os.environ["PROVIDER"])
    barrier = asyncio.Barrier(together) if together else None

    async def set_user(request: Request) -> None:
        if barrier:
            await barrier.wait()
        if mode == "set":
            current().set(user_id=request.headers["x-user"])

    app = FastAPI(dependencies=[Depends(set_user)])
    app.add_middleware(PayiMiddleware, meter=meter, identify=_identify if mode == "identify" else None)

    def route(case: str) -> None:
        @app.post(f"/{case}/{{number}}")
        @use_case(case)
        async def endpoint(number: int, background: BackgroundTasks) -> StreamingResponse:
            await asking.ask(number, 0)
            await asking.post(number, 1)
            await asyncio.to_thread(asking.threads.post_newer, number, 2)
            background.add_task(asking.post, number, 3)
            return StreamingResponse(
                asking.parts(number, 4), headers={"x-pid": str(os.getpid())}, background=background
            )

    for case in crowd.CASES:
        route(case)
    _up()
    return app


def wsgi() -> Flask:
    """A Flask application; its settings are the environment's."""
    mode = os.environ["MODE"]
    asking = Clients(os.environ["PROVIDER"])
    app = Flask("fiveways")
    Payi(app, identify=_identify if mode == "identify" else None)

    @app.before_request
    def set_user() -> None:
        if mode == "set":
            current().set(user_id=request.headers["x-user"])

    def route(case: str) -> None:
        @app.post(f"/{case}/<int:number>", endpoint=case)
        @use_case(case)
        def endpoint(number: int) -> Response:
            asking.ask(number, 0)
            asking.post(number, 1)
            asking.pool.submit(asking.post_newer, number, 2).result()
            response = Response(asking.parts(number, 4), headers={"x-pid": str(os.getpid())})
            response.call_on_close(lambda: asking.post(number, 3))
            return response

    for case in crowd.CASES:
        route(case)
    _up()
    return app
