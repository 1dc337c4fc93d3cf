"""Under trio, which Starlette and the SDKs can run on, everything is as under asyncio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from asking import Asking, browser
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import Meter, PayiMiddleware, health
from payi_middleware.demo.standin import StandIn
from payi_middleware.store import open_store
from payi_middleware.testing import Events

pytest.importorskip("trio")


def visit(
    standin: StandIn, meter: Meter, identify: Any, calls: Callable[[Asking], Awaitable[None]], **settings: Any
) -> None:
    """One request whose endpoint makes some calls."""

    async def run() -> None:
        sdk = Asking(standin)

        async def endpoint(request: Request) -> Response:
            await calls(sdk)
            return PlainTextResponse("ok")

        middleware = [Middleware(PayiMiddleware, meter, identify=identify, **settings)]
        async with browser(Starlette(routes=[Route("/", endpoint)], middleware=middleware)) as client:
            assert (await client.get("/", headers={"user": "jane"})).text == "ok"
        await sdk.close()

    anyio.run(run, backend="trio")


async def several(sdk: Asking) -> None:
    """From tasks and threads, at the same time."""
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(sdk.aask)
            group.start_soon(anyio.to_thread.run_sync, sdk.ask)


def test_identify(standin: StandIn, meter: Meter, events: Events) -> None:
    """An async `identify` is asked once, whoever calls first."""
    asked: list[HTTPConnection] = []

    async def identify(connection: HTTPConnection) -> str:
        asked.append(connection)
        return connection.headers["user"]

    visit(standin, meter, identify, several)

    assert [event.user_id for event in events] == ["jane"] * 6
    assert len(asked) == 1
    assert health.counters() == {}


def test_others_wait_for_the_one_who_asks(standin: StandIn, meter: Meter, events: Events) -> None:
    """A call that comes while `identify` runs waits for its answer."""
    sent: list[object] = []
    asked: list[object] = []

    async def noted(request: object) -> None:
        sent.append(request)

    async def identify(connection: HTTPConnection) -> str:
        asked.append(connection)
        while len(sent) < 2:
            await anyio.sleep(0.001)
        return "jane"

    async def two(sdk: Asking) -> None:
        sdk.asynchronous._client.event_hooks["request"].append(noted)
        async with anyio.create_task_group() as group:
            group.start_soon(sdk.aask)
            group.start_soon(sdk.aask)

    visit(standin, meter, identify, two)

    assert [event.user_id for event in events] == ["jane", "jane"]
    assert len(asked) == 1


def test_response_waits_for_the_store(standin: StandIn, tmp_path: Path) -> None:
    """With flush="request" the events are in the store when the request is over."""
    url = f"sqlite:///{tmp_path}/payi.db"
    with Meter(url, hosts={standin.host: "openai"}, flush="request", flush_interval=60) as meter:
        visit(standin, meter, None, lambda sdk: sdk.aask())

        with open_store(url, create=False) as store:
            assert len(list(store.events())) == 1
