"""Wherever in a web request a call is made, it belongs to the request: Starlette and FastAPI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from asking import Asking, browser, ids
from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket as StarletteWebSocket

from payi_middleware import Meter, PayiMiddleware, current, health, use_case
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.testing import Events
from payi_middleware.types import ASGIApp, Message, Receive, Scope, Send

Place = Callable[[FastAPI, Asking], None]


def endpoint_sync(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    def endpoint(number: int) -> None:
        sdk.ask()


def endpoint_async(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    async def endpoint(number: int) -> None:
        await sdk.aask()


def dependency_sync(app: FastAPI, sdk: Asking) -> None:
    def asked() -> None:
        sdk.ask()

    @app.get("/{number}", dependencies=[Depends(asked)])
    @use_case("Place")
    async def endpoint(number: int) -> None: ...


def dependency_async(app: FastAPI, sdk: Asking) -> None:
    async def asked() -> None:
        await sdk.aask()

    @app.get("/{number}", dependencies=[Depends(asked)])
    @use_case("Place")
    def endpoint(number: int) -> None: ...


def dependency_generator(app: FastAPI, sdk: Asking) -> None:
    def asked() -> Iterator[None]:
        yield
        sdk.ask()

    @app.get("/{number}", dependencies=[Depends(asked)])
    @use_case("Place")
    async def endpoint(number: int) -> None: ...


def dependency_async_generator(app: FastAPI, sdk: Asking) -> None:
    async def asked() -> AsyncIterator[None]:
        yield
        await sdk.aask()

    @app.get("/{number}", dependencies=[Depends(asked)])
    @use_case("Place")
    def endpoint(number: int) -> None: ...


def task(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    async def endpoint(number: int) -> None:
        await asyncio.create_task(sdk.aask())


def task_group(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    async def endpoint(number: int) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(sdk.aask())


def to_thread(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    async def endpoint(number: int) -> None:
        await asyncio.to_thread(sdk.ask)


def run_in_executor(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    async def endpoint(number: int) -> None:
        await asyncio.get_running_loop().run_in_executor(None, sdk.ask)


def thread(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    def endpoint(number: int) -> None:
        started = threading.Thread(target=sdk.ask)
        started.start()
        started.join()


def pool(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    def endpoint(number: int) -> None:
        with ThreadPoolExecutor() as executor:
            executor.submit(sdk.ask).result()


def background_async(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    async def endpoint(number: int, tasks: BackgroundTasks) -> None:
        tasks.add_task(sdk.aask)


def background_sync(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    def endpoint(number: int, tasks: BackgroundTasks) -> None:
        tasks.add_task(sdk.ask)


def stream_async(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    async def endpoint(number: int) -> StreamingResponse:
        return StreamingResponse(sdk.aparts())


def stream_sync(app: FastAPI, sdk: Asking) -> None:
    @app.get("/{number}")
    @use_case("Place")
    def endpoint(number: int) -> StreamingResponse:
        return StreamingResponse(sdk.parts())


def middleware_before_routing(app: FastAPI, sdk: Asking) -> None:
    """The route is unknown when the middleware calls before it, and known when it calls after it."""

    @app.middleware("http")
    async def asking(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        await sdk.aask()
        return response

    @app.get("/{number}")
    @use_case("Place")
    async def endpoint(number: int) -> None: ...


PLACES: list[Place] = [
    endpoint_sync,
    endpoint_async,
    dependency_sync,
    dependency_async,
    dependency_generator,
    dependency_async_generator,
    task,
    task_group,
    to_thread,
    run_in_executor,
    thread,
    pool,
    background_async,
    background_sync,
    stream_async,
    stream_sync,
    middleware_before_routing,
]


@pytest.mark.parametrize("place", PLACES)
async def test_call_belongs_to_its_request(place: Place, meter: Meter, events: Events, sdk: Asking) -> None:
    """Of concurrent requests of several users, each call has its own request's user, route and use case instance."""
    app = FastAPI()
    place(app, sdk)
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        answers = await asyncio.gather(*(client.get(f"/{n}", headers=ids(f"user-{n}")) for n in range(4)))

    assert [answer.status_code for answer in answers] == [200] * 4
    seen = events.all()
    assert sorted(event.user_id or "" for event in seen) == ["user-0", "user-1", "user-2", "user-3"]
    assert {event.use_case_name for event in seen} == {"Place"}
    assert {event.inbound.http_route for event in seen} == {"/{number}"}
    assert {event.outcome for event in seen} == {"ok"}
    assert {event.origin for event in seen} == {"request"}
    assert len({event.attribution.use_case_id for event in seen}) == 4


async def test_calls_of_one_request_share_the_instance(meter: Meter, events: Events, sdk: Asking) -> None:
    """However many calls a request makes, and in whatever tasks and threads, they are one instance of its use case."""
    app = FastAPI()

    @app.get("/")
    @use_case("Summary")
    async def summarize(tasks: BackgroundTasks) -> None:
        tasks.add_task(sdk.ask)
        await asyncio.gather(sdk.aask(), sdk.aask(), asyncio.to_thread(sdk.ask))

    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/")
        await client.get("/")

    seen = events.all()
    assert len(seen) == 8
    assert len({event.attribution.use_case_id for event in seen}) == 2


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_websocket(framework: str, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A call from a websocket endpoint has the user of the handshake, the route's template and use case."""

    @use_case("Chat")
    async def chat(websocket: StarletteWebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        await asyncio.to_thread(blocking_sdk.ask)
        await websocket.send_text("done")
        await websocket.close()

    app: FastAPI | Starlette
    if framework == "fastapi":
        app = FastAPI()

        @app.websocket("/rooms/{room}")
        @use_case("Chat")
        async def fast_chat(websocket: WebSocket, room: str) -> None:
            await chat(websocket)
    else:
        app = Starlette(routes=[WebSocketRoute("/rooms/{room}", chat)])
    app.add_middleware(PayiMiddleware, meter)

    with (
        TestClient(app, client=("127.0.0.1", 1)) as client,
        client.websocket_connect("/rooms/7", headers=ids("jane")) as websocket,
    ):
        websocket.send_text("go")
        assert websocket.receive_text() == "done"

    event = events.one()
    assert event.user_id == "jane"
    assert event.use_case_name == "Chat"
    assert (event.inbound.http_method, event.inbound.http_route) == ("WEBSOCKET", "/rooms/{room}")


async def test_mounted_applications(meter: Meter, events: Events, sdk: Asking) -> None:
    """A call below mounts has the whole template, with the names of the mounts' parameters instead of their values."""

    @use_case("Inner")
    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    inner = Starlette(routes=[Route("/items/{item}", endpoint)])
    fast = FastAPI()

    @fast.get("/things/{thing}")
    @use_case("Fast")
    async def fast_endpoint(thing: str) -> None:
        await sdk.aask()

    app = Starlette(routes=[Mount("/tenants/{tenant}", routes=[Mount("/shop", inner), Mount("/api", fast)])])
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/tenants/acme/shop/items/4711")
        await client.get("/tenants/acme/api/things/17")

    assert events.one(use_case_name="Inner").inbound.http_route == "/tenants/{tenant}/shop/items/{item}"
    assert events.one(use_case_name="Fast").inbound.http_route == "/tenants/{tenant}/api/things/{thing}"


class Neighbour(BaseHTTPMiddleware):
    """Starlette's own kind, which serves the application in another task."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


@pytest.mark.parametrize("position", ["outside", "inside", "both"])
async def test_beside_base_http_middleware(position: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """With `BaseHTTPMiddleware` before or behind ours, streams and background tasks keep their request."""

    @use_case("Stream")
    async def endpoint(request: Request) -> Response:
        tasks = BackgroundTasks()
        tasks.add_task(sdk.aask)
        return StreamingResponse(sdk.aparts(), background=tasks)

    neighbours = [Middleware(Neighbour)]
    middleware = [Middleware(PayiMiddleware, meter)]
    app = Starlette(
        routes=[Route("/", endpoint)],
        middleware=(neighbours if position != "inside" else [])
        + middleware
        + (neighbours if position != "outside" else []),
    )

    async with browser(app) as client:
        await asyncio.gather(client.get("/", headers=ids("jane")), client.get("/", headers=ids("tom")))

    assert len(events.all(user_id="jane", use_case_name="Stream")) == 2
    assert len(events.all(user_id="tom", use_case_name="Stream")) == 2


async def test_base_http_middleware_may_call_itself(meter: Meter, events: Events, sdk: Asking) -> None:
    """A call that a middleware behind ours makes before the application runs belongs to the request, without a route."""

    class Checking(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            await sdk.aask()
            return await call_next(request)

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    app = Starlette(
        routes=[Route("/pages/{page}", endpoint)], middleware=[Middleware(PayiMiddleware, meter), Middleware(Checking)]
    )

    async with browser(app) as client:
        await client.get("/pages/3", headers=ids("jane"))

    assert [(event.user_id, event.inbound.http_route) for event in events] == [
        ("jane", None),
        ("jane", "/pages/{page}"),
    ]


async def test_two_middlewares_with_one_meter_bind_once(meter: Meter, events: Events, sdk: Asking) -> None:
    """The outer of two middlewares binds the request; the inner one lets it pass, and says once that nobody asks it."""
    asked: list[str] = []
    costs: list[int] = []

    def outer(connection: object) -> str:
        asked.append("outer")
        return "jane"

    def inner(connection: object) -> str:
        asked.append("inner")
        return "nobody"

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        costs.append(current().calls)
        return PlainTextResponse("ok")

    app: ASGIApp = Starlette(routes=[Route("/", endpoint)])
    app = PayiMiddleware(PayiMiddleware(app, meter, identify=inner), meter, identify=outer)

    async with browser(app) as client:
        await client.get("/")
        await client.get("/")

    assert asked == ["outer", "outer"]
    assert costs == [1, 1]
    assert [event.user_id for event in events] == ["jane", "jane"]
    assert health.counters() == {"second_face": 1}


async def test_a_request_that_is_served_again(meter: Meter, events: Events, sdk: Asking) -> None:
    """A middleware outside of ours that has a scope served again, as one that retries, has each serving attributed."""

    statuses = [503, 200]

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok", status_code=statuses.pop(0))

    async def retrying(scope: Scope, receive: Receive, send: Send) -> None:
        sent: list[Message] = []

        async def keep(message: Message) -> None:
            sent.append(message)

        while not sent or sent[0]["status"] == 503:
            sent.clear()
            await app(scope, receive, keep)
        for message in sent:
            await send(message)

    app = PayiMiddleware(Starlette(routes=[Route("/", endpoint)]), meter, identify=lambda connection: "jane")

    async with browser(retrying) as client:
        assert (await client.get("/")).status_code == 200

    assert [(event.user_id, event.inbound.http_route) for event in events] == [("jane", "/"), ("jane", "/")]
    assert not health.counters()


async def test_two_meters_bind_each(meter: Meter, sink: MemorySink, events: Events, sdk: Asking) -> None:
    """With another meter the inner middleware binds anew, and the innermost counts."""
    other_sink = MemorySink()

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    with Meter("sqlite:///:memory:", sinks=[other_sink], hosts=meter.settings.hosts, application="inner") as other:
        app: ASGIApp = Starlette(routes=[Route("/", endpoint)])
        app = PayiMiddleware(PayiMiddleware(app, other, identify=lambda _: "jane"), meter)
        async with browser(app) as client:
            await client.get("/")
        other.flush()

        assert [(event.application, event.user_id) for event in other_sink.events] == [("inner", "jane")]
        assert len(events) == 0


async def test_application_called_in_process(meter: Meter, events: Events, sdk: Asking) -> None:
    """An application that calls another one by `ASGITransport` leaves it to bind its own request, and has its own back after."""

    @use_case("Service")
    async def service(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    inner = PayiMiddleware(Starlette(routes=[Route("/service", service)]), meter)

    @use_case("Front")
    async def front(request: Request) -> Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(inner), base_url="http://inner.test") as client:
            await client.get("/service", headers=ids("tom"))
        await sdk.aask()
        return PlainTextResponse("ok")

    app = PayiMiddleware(Starlette(routes=[Route("/front", front)]), meter)

    async with browser(app) as client:
        await client.get("/front", headers=ids("jane"))

    assert events.one(use_case_name="Service").user_id == "tom"
    assert events.one(use_case_name="Front").user_id == "jane"


async def test_plain_asgi_application(meter: Meter, events: Events, sdk: Asking) -> None:
    """An application without a framework is attributed too; it has no route."""

    async def app(scope: object, receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        await sdk.aask()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async with browser(PayiMiddleware(app, meter)) as client:  # type: ignore[arg-type]
        answer = await client.get("/secret/4711", headers=ids("jane"))

    assert answer.text == "ok"
    assert events.one().user_id == "jane"
    assert events.one().inbound.http_route is None


async def test_a_dependency_sees_the_same_request(meter: Meter, events: Events, sdk: Asking) -> None:
    """A dependency's value and the endpoint's call are of the same request, whatever thread each runs in."""
    app = FastAPI()

    def calls_before() -> int:
        sdk.ask()
        return current().calls

    @app.get("/")
    async def endpoint(before: int = Depends(calls_before)) -> list[int]:
        await sdk.aask()
        return [before, current().calls]

    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        answer = await client.get("/")

    assert answer.json() == [1, 2]
    assert len(events) == 2
