"""What the ASGI middleware does to a response (cost headers, waiting for the store), and what survives a broken request."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asking import COST, Asking, browser, ids
from fastapi import FastAPI
from garbage import collect
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from payi_middleware import Meter, PayiMiddleware, context, current, health
from payi_middleware.demo.standin import StandIn
from payi_middleware.events import usd
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.store import open_store
from payi_middleware.testing import Events
from payi_middleware.types import Message


def app_of(endpoint: Callable[[Request], Any], meter: Meter, **settings: Any) -> Starlette:
    return Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter, **settings)])


async def test_cost_headers(meter: Meter, events: Events, sdk: Asking) -> None:
    """A response whose calls are all priced before its headers go out tells their cost."""

    async def endpoint(request: Request) -> Response:
        await sdk.aask("#input=8")
        await sdk.aask("#input=8")
        return PlainTextResponse("ok", headers={"server-timing": "db;dur=3"})

    async with browser(app_of(endpoint, meter, cost_headers=True)) as client:
        answer = await client.get("/")

    assert answer.headers["x-payi-cost"] == "0.0000312"
    assert answer.headers.get_list("server-timing") == ["db;dur=3", 'payi;desc="2 calls, 0.0000312 USD"']
    assert events.cost == usd(2 * COST)


@pytest.mark.parametrize("question", ["none", "pending", "estimated", "unpriced"])
async def test_no_cost_headers(question: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """No call, a call in flight, an estimate, a model without a price: the cost is not known, and not told."""

    async def endpoint(request: Request) -> Response:
        if question == "pending":
            return StreamingResponse(await started(sdk))
        if question == "estimated":
            await sdk.aask("#no-usage")
        if question == "unpriced":
            await sdk.aask("#model=nobody-knows-it")
        return PlainTextResponse("ok")

    async with browser(app_of(endpoint, meter, cost_headers=True)) as client:
        answer = await client.get("/")

    assert "x-payi-cost" not in answer.headers
    assert "server-timing" not in answer.headers
    assert len(events) == (question != "none")


async def started(sdk: Asking) -> AsyncIterator[str]:
    """A stream whose first part has come."""
    parts = sdk.aparts()
    first = await anext(parts)

    async def rest() -> AsyncIterator[str]:
        yield first
        async for part in parts:
            yield part

    return rest()


async def test_failed_calls_cost_nothing(meter: Meter, events: Events, sdk: Asking) -> None:
    """A failed call is known to cost nothing."""

    async def endpoint(request: Request) -> Response:
        with contextlib.suppress(Exception):
            await sdk.aask("#fail-500")
        return PlainTextResponse("ok")

    async with browser(app_of(endpoint, meter, cost_headers=True)) as client:
        answer = await client.get("/")

    assert answer.headers["x-payi-cost"] == "0"
    assert events.one().outcome == "error"


async def test_no_headers_unless_asked_for(meter: Meter, sdk: Asking) -> None:
    """Without `cost_headers` the response is the application's own."""

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    async with browser(app_of(endpoint, meter)) as client:
        answer = await client.get("/")

    assert set(answer.headers) == {"content-length", "content-type"}


@pytest.fixture
def stored(tmp_path: Path, standin: StandIn) -> Any:
    """A meter over a store on disk whose requests wait for it."""
    url = f"sqlite:///{tmp_path}/payi.db"
    with Meter(url, hosts={standin.host: "openai"}, flush="request", flush_interval=60) as meter:
        meter.prices.load()
        yield meter


def count(meter: Meter) -> int:
    """Events in the store now."""
    path = meter.settings.store_path
    assert path is not None
    if not path.exists():
        return 0
    with open_store(meter.settings.store, create=False) as store:
        return len(list(store.events()))


def watching(app: Any, meter: Meter, seen: list[tuple[str, int]]) -> Any:
    """Notes how many events are stored as each message goes out."""

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def noting(message: Message) -> None:
            more = "+" if message.get("more_body") else ""
            seen.append((message["type"].rpartition(".")[2] + more, count(meter)))
            await send(message)

        await app(scope, receive, noting)

    return watched


async def test_last_message_waits_for_the_store(stored: Meter, sdk: Asking) -> None:
    """With flush="request" the last body message goes out when the store has the events; what a task calls later follows."""
    seen: list[tuple[str, int]] = []

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return StreamingResponse(sdk.aparts(), background=BackgroundTask(sdk.aask))

    async with browser(watching(app_of(endpoint, stored), stored, seen)) as client:
        await client.get("/")

    assert seen[0] == ("start", 0)
    assert {n for kind, n in seen if kind == "body+"} == {0}
    assert seen[-1] == ("body", 2)
    assert count(stored) == 3


async def test_request_without_calls_waits_for_nothing(stored: Meter) -> None:
    """Without a call nothing is flushed."""

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("ok")

    async with browser(app_of(endpoint, stored)) as client:
        assert (await client.get("/")).text == "ok"

    assert count(stored) == 0


async def test_endpoint_that_raises_is_flushed(stored: Meter, sdk: Asking) -> None:
    """The error response of an application that raises comes after its calls are stored."""

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        raise RuntimeError("the endpoint's own")

    async with browser(app_of(endpoint, stored)) as client:
        assert (await client.get("/")).status_code == 500

    assert count(stored) == 1


def test_websocket_close_waits_for_the_store(stored: Meter, blocking_sdk: Asking) -> None:
    """With flush="request" a websocket is closed when the store has its calls."""
    seen: list[tuple[str, int]] = []

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.to_thread(blocking_sdk.ask)
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/", endpoint)], middleware=[Middleware(PayiMiddleware, stored)])
    client = TestClient(watching(app, stored, seen))
    with client.websocket_connect("/") as websocket, pytest.raises(WebSocketDisconnect):
        websocket.receive_text()

    assert seen == [("accept", 0), ("close", 1)]


async def test_store_that_refuses_does_not_hold_the_response(
    stored: Meter, sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the flush fails or raises, the response goes out; the fault is counted."""

    def refusing(timeout: float | None = None) -> bool:
        raise sqlite3.OperationalError("disk on fire")

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    with monkeypatch.context() as patch:
        patch.setattr(stored, "flush", refusing)
        async with browser(app_of(endpoint, stored)) as client:
            assert (await client.get("/")).text == "ok"

    assert health.counters() == {"flush": 1}


@pytest.mark.parametrize("failing", [False, True])
def test_lifespan_shutdown_flushes(failing: bool, tmp_path: Path, standin: StandIn, blocking_sdk: Asking) -> None:
    """At lifespan shutdown, even a failing one, the events are in the store before the server hears of it."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(blocking_sdk.ask)
        if failing:
            raise RuntimeError("the lifespan's own")

    seen: list[tuple[str, int]] = []
    with Meter(f"sqlite:///{tmp_path}/payi.db", hosts={standin.host: "openai"}, flush_interval=60) as meter:
        app = Starlette(lifespan=lifespan, middleware=[Middleware(PayiMiddleware, meter)])
        with contextlib.suppress(RuntimeError), TestClient(watching(app, meter, seen)):
            pass

        assert seen == [("complete", 0), ("failed" if failing else "complete", 1)]


def test_endpoint_that_raises(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """An endpoint's error is its own, and the calls made before are recorded."""

    def endpoint(request: Request) -> Response:
        blocking_sdk.ask()
        raise LookupError("the endpoint's own")

    app = PayiMiddleware(Starlette(routes=[Route("/", endpoint)]), meter)

    with pytest.raises(LookupError, match="the endpoint's own"):
        TestClient(app).get("/")

    assert events.one().outcome == "ok"


async def test_client_that_goes_away(meter: Meter, events: Events, sdk: Asking) -> None:
    """A client that disconnects in the middle of a streamed answer: the call is recorded as aborted, with what was received."""
    sent: list[Message] = []
    gone = asyncio.Event()

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(sdk.aparts("#output=200 #pause=0.01"))

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) > 3:
            gone.set()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "query_string": b"",
        "client": ("127.0.0.1", 1),
    }
    await app_of(endpoint, meter)(scope, receive, send)
    collect()

    assert len(sent) < 100
    event = events.one()
    assert event.outcome == "aborted"
    assert event.cost_source == "estimate"
    assert event.inbound.http_route == "/"


async def test_cancelled_request(meter: Meter, events: Events, sdk: Asking) -> None:
    """A request whose task is cancelled leaves the calls it made, and the one in flight as aborted."""

    async def endpoint(request: Request) -> Response:
        await sdk.aask("first")
        await sdk.aask("#slow=30")
        return PlainTextResponse("never")

    async with browser(app_of(endpoint, meter)) as client:
        request = asyncio.create_task(client.get("/", headers=ids("jane")))
        while len(events) < 1:
            await asyncio.sleep(0.005)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request

    assert [event.outcome for event in events] == ["ok", "aborted"]
    assert [event.user_id for event in events] == ["jane", "jane"]


async def test_context_is_as_before_after_a_request(meter: Meter, sdk: Asking) -> None:
    """A request leaves no variable set in its server's task, whether it ends well or not."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert context.frame.get() is not None
        if scope["path"] == "/bad":
            raise RuntimeError

    bound = PayiMiddleware(app, meter)
    scope = {"type": "http", "headers": []}

    await bound({**scope, "path": "/"}, None, None)  # type: ignore[arg-type]
    assert context.frame.get() is None
    with pytest.raises(RuntimeError):
        await bound({**scope, "path": "/bad"}, None, None)  # type: ignore[arg-type]
    assert context.frame.get() is None


def test_abandoned_request(meter: Meter) -> None:
    """A request whose coroutine is thrown away by another context is closed without a word."""
    import contextvars

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    async def step() -> None:
        coroutine = PayiMiddleware(app, meter)({"type": "http", "headers": []}, None, None)  # type: ignore[arg-type]
        contextvars.copy_context().run(coroutine.__await__().send, None)
        coroutine.close()

    asyncio.run(step())


async def test_costs_of_the_running_request(meter: Meter, sdk: Asking) -> None:
    """`current()` counts calls, cost and what is in flight as they go on."""
    app = FastAPI()
    seen: list[tuple[int, int, str, bool]] = []

    def note() -> None:
        now = current()
        seen.append((now.calls, now.pending, format(now.cost, "f"), now.complete))

    @app.get("/")
    async def endpoint() -> None:
        note()
        await sdk.aask("#input=8")
        note()
        parts = sdk.aparts("#input=8")
        await anext(parts)
        note()
        async for _ in parts:
            pass
        note()
        await sdk.aask("#no-usage")
        note()

    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        assert (await client.get("/")).status_code == 200

    assert [(calls, pending, complete) for calls, pending, _, complete in seen] == [
        (0, 0, True),
        (1, 0, True),
        (1, 1, False),
        (2, 0, True),
        (3, 0, False),
    ]
    assert [cost for _, _, cost, _ in seen[:4]] == ["0", "0.0000156000", "0.0000156000", "0.0000312000"]


async def test_late_calls_are_nobodys(
    meter: Meter, events: Events, sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that goes on after its request still calls for it, but not 15 minutes later."""
    goes_on, later = asyncio.Event(), asyncio.Event()
    left: list[asyncio.Task[None]] = []

    async def going_on() -> None:
        await goes_on.wait()
        await sdk.aask()
        await later.wait()
        await sdk.aask()

    async def endpoint(request: Request) -> Response:
        left.append(asyncio.create_task(going_on()))
        return PlainTextResponse("ok")

    app = Starlette(
        routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter, identify=lambda _: "jane")]
    )
    async with browser(app) as client:
        await client.get("/")
    goes_on.set()
    while len(events) < 1:
        await asyncio.sleep(0.005)
    monkeypatch.setattr("payi_middleware.frames.LATE_SECONDS", -1)
    later.set()
    await left[0]

    assert [event.user_id for event in events] == ["jane", None]
    assert health.counters()["late"] == 1


async def test_events_are_delivered_once(sink: MemorySink, meter: Meter, sdk: Asking) -> None:
    """Two requests make two events, however often they are flushed."""

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    async with browser(app_of(endpoint, meter)) as client:
        await client.get("/")
        await client.get("/")
    meter.flush()
    meter.flush()

    assert len({event.event_id for event in sink.events}) == len(sink.events) == 2
