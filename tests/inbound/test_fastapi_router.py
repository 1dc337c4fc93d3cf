"""A use case for a whole router of FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from asking import Asking, browser, ids
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import payi_middleware
from payi_middleware import Meter, UseCaseError, fastapi, starlette, use_case
from payi_middleware.fastapi import PayiMiddleware, UseCase
from payi_middleware.testing import Events


def test_faces_hand_on_the_middleware() -> None:
    """One middleware, whatever framework it is imported for."""
    assert fastapi.PayiMiddleware is starlette.PayiMiddleware is payi_middleware.PayiMiddleware


@pytest.mark.parametrize("kind", ["sync", "async", "stream", "background", "dependency"])
async def test_router_carries_a_use_case(kind: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """Every route of the router has its use case, with version, step, properties and tags."""
    carried = UseCase("Summary", version=3, step="read", properties={"language": "da"}, tags=["batch"])
    router = APIRouter(prefix="/papers", dependencies=[Depends(carried)])

    if kind == "sync":

        @router.get("/{paper}")
        def endpoint(paper: str) -> None:
            sdk.ask()

    elif kind == "async":

        @router.get("/{paper}")
        async def endpoint_async(paper: str) -> None:
            await sdk.aask()

    elif kind == "stream":

        @router.get("/{paper}")
        def endpoint_stream(paper: str) -> StreamingResponse:
            return StreamingResponse(sdk.parts())

    elif kind == "background":

        @router.get("/{paper}")
        async def endpoint_background(paper: str, tasks: BackgroundTasks) -> None:
            tasks.add_task(sdk.ask)

    else:

        def asked() -> Iterator[None]:
            yield
            sdk.ask()

        @router.get("/{paper}", dependencies=[Depends(asked)])
        async def endpoint_dependency(paper: str) -> None: ...

    app = FastAPI()
    app.include_router(router, prefix="/api")
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        answers = await asyncio.gather(*(client.get(f"/api/papers/{n}", headers=ids(f"user-{n}")) for n in range(4)))

    assert [answer.status_code for answer in answers] == [200] * 4
    seen = events.all(use_case_name="Summary", use_case_version=3, use_case_step="read", request_tags=["batch"])
    assert sorted(event.user_id or "" for event in seen) == ["user-0", "user-1", "user-2", "user-3"]
    assert {event.inbound.http_route for event in seen} == {"/api/papers/{paper}"}
    assert {event.attribution.use_case_properties["language"] for event in seen} == {"da"}
    assert len({event.attribution.use_case_id for event in seen}) == 4


async def test_route_beside_the_router_has_none(meter: Meter, events: Events, sdk: Asking) -> None:
    """The use case stays with its router."""
    router = APIRouter(dependencies=[Depends(UseCase("Inside"))])

    @router.get("/inside")
    async def inside() -> None:
        await sdk.aask()

    app = FastAPI()
    app.include_router(router)

    @app.get("/outside")
    async def outside() -> None:
        await sdk.aask()

    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/inside")
        await client.get("/outside")

    assert [event.use_case_name for event in events] == ["Inside", None]


async def test_nested_routers(meter: Meter, events: Events, sdk: Asking) -> None:
    """An inner router's use case is laid over the outer's, a route's over both; a new name starts anew, tags add up."""
    outer = APIRouter(prefix="/a/{tenant}", dependencies=[Depends(UseCase("Outer", version=1, tags="outer"))])
    inner = APIRouter(prefix="/b", dependencies=[Depends(UseCase("Inner", tags="inner"))])
    again = APIRouter(prefix="/c", dependencies=[Depends(UseCase("Outer", step="again"))])

    @inner.get("/plain/{x}")
    async def plain(x: str) -> None:
        await sdk.aask()

    @inner.get("/own")
    @use_case("Own", tags=["own"])
    async def own() -> None:
        await sdk.aask()

    @again.get("/step")
    async def stepped() -> None:
        await sdk.aask()

    outer.include_router(inner)
    outer.include_router(again)
    app = FastAPI()
    app.include_router(outer, prefix="/v1")
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        for path in ("b/plain/7", "b/own", "c/step"):
            assert (await client.get(f"/v1/a/acme/{path}")).status_code == 200

    seen = [
        (event.use_case_name, event.attribution.use_case_version, event.attribution.request_tags) for event in events
    ]
    assert seen == [
        ("Inner", None, ("outer", "inner")),
        ("Own", None, ("outer", "inner", "own")),
        ("Outer", 1, ("outer",)),
    ]
    assert [event.inbound.http_route for event in events] == [
        "/v1/a/{tenant}/b/plain/{x}",
        "/v1/a/{tenant}/b/own",
        "/v1/a/{tenant}/c/step",
    ]
    assert events.one(use_case_step="again")


async def test_application_and_route_carry_one_too(meter: Meter, events: Events, sdk: Asking) -> None:
    """The dependency works on the application and on a single route too; one object used twice counts once."""
    whole = UseCase("Whole", tags=["a"])
    app = FastAPI(dependencies=[Depends(whole)])
    router = APIRouter(dependencies=[Depends(whole)])

    @router.get("/whole")
    async def endpoint() -> None:
        await sdk.aask()

    @router.get("/single", dependencies=[Depends(UseCase("Single"))])
    async def single() -> None:
        await sdk.aask()

    app.include_router(router)
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/whole")
        await client.get("/single")

    assert [(event.use_case_name, event.attribution.request_tags) for event in events] == [
        ("Whole", ("a",)),
        ("Single", ("a",)),
    ]


async def test_precedence(meter: Meter, events: Events, sdk: Asking) -> None:
    """The router's use case stands over a trusted header's, whose id counts if the name is the same; blocks over it."""
    router = APIRouter(dependencies=[Depends(UseCase("Router"))])

    @router.get("/")
    async def endpoint() -> None:
        await sdk.aask()
        with use_case("Block"):
            await sdk.aask()

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/", headers=ids("jane", usecase_name="Router", usecase_id="run-1"))
        await client.get("/", headers=ids("jane", usecase_name="Other", usecase_id="run-2"))

    names = [(event.use_case_name, event.attribution.use_case_id) for event in events]
    assert [name for name, _ in names] == ["Router", "Block", "Router", "Block"]
    assert names[0][1] == "run-1"
    assert "run-2" not in [instance for _, instance in names]


async def test_call_before_the_dependency(meter: Meter, events: Events, sdk: Asking) -> None:
    """A dependency that runs before the router's has no use case yet; the calls after it have."""

    async def asked() -> None:
        await sdk.aask()

    app = FastAPI(dependencies=[Depends(asked)])
    router = APIRouter(dependencies=[Depends(UseCase("Router"))])

    @router.get("/")
    async def endpoint() -> None:
        await sdk.aask()

    app.include_router(router)
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/", headers=ids("jane"))

    assert [(event.user_id, event.use_case_name) for event in events] == [("jane", None), ("jane", "Router")]


async def test_mounted_applications(meter: Meter, events: Events, sdk: Asking) -> None:
    """Routers of mounted applications carry theirs, and the route has the mounts and the prefixes; all bind once."""
    router = APIRouter(prefix="/papers", dependencies=[Depends(UseCase("Paper"))])

    @router.get("/{paper}")
    def paper(paper: str) -> None:
        sdk.ask()

    inner = FastAPI()
    inner.include_router(router, prefix="/v2")
    inner.add_middleware(PayiMiddleware, meter)
    outer = FastAPI()
    outer.mount("/sub", inner)
    app = Starlette(routes=[Mount("/tenants/{tenant}", outer)])
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        answer = await client.get("/tenants/acme/sub/v2/papers/17", headers=ids("jane"))
    assert answer.status_code == 200

    event = events.one()
    assert (event.user_id, event.use_case_name) == ("jane", "Paper")
    assert event.inbound.http_route == "/tenants/{tenant}/sub/v2/papers/{paper}"


def test_websocket(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A websocket route of the router has its use case."""
    router = APIRouter(prefix="/rooms", dependencies=[Depends(UseCase("Chat"))])

    @router.websocket("/{room}")
    async def chat(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        await asyncio.to_thread(blocking_sdk.ask)
        await websocket.close()

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(PayiMiddleware, meter)

    with TestClient(app) as client, client.websocket_connect("/rooms/7") as websocket:
        assert websocket.receive()["type"] == "websocket.close"

    event = events.one()
    assert (event.use_case_name, event.inbound.http_route) == ("Chat", "/rooms/{room}")


async def test_without_the_middleware(meter: Meter, events: Events, sdk: Asking) -> None:
    """Without the middleware the dependency does nothing, and says nothing."""
    app = FastAPI(dependencies=[Depends(UseCase("Unused"))])

    @app.get("/")
    async def endpoint() -> str:
        return "ok"

    async with browser(app) as client:
        assert (await client.get("/")).json() == "ok"

    assert len(events) == 0


async def test_openapi_stays_as_it_is() -> None:
    """The dependency adds no parameter to the application's description."""
    plain, carrying = FastAPI(), FastAPI(dependencies=[Depends(UseCase("Any"))])
    for app in (plain, carrying):

        @app.get("/")
        async def endpoint() -> None: ...

    assert carrying.openapi() == plain.openapi()


@pytest.mark.parametrize("name", ["", "two words", "x" * 65, "ö", None, 7])
def test_bad_name(name: object) -> None:
    """A name that is not valid is an error where the router is made, with a valid example."""
    with pytest.raises(UseCaseError, match="use 1 to 64 of"):
        UseCase(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(("tags", "left"), [((), ("from-a-header",)), ([], ())])
async def test_a_router_that_clears_tags(
    tags: Sequence[str], left: tuple[str, ...], meter: Meter, events: Events, sdk: Asking
) -> None:
    """As with the decorator, an empty list clears what a header tells, and no tags leave it."""
    router = APIRouter(dependencies=[Depends(UseCase("Summary", tags=tags))])

    @router.get("/")
    async def endpoint() -> None:
        await sdk.aask()

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/", headers={"xProxy-Request-Tags": "from-a-header"})

    assert events.one().attribution.request_tags == left
