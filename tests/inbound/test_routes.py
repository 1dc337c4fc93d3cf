"""The route of an event is a template, whatever is mounted where: a raw path may name a person."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from asking import Asking
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router

from payi_middleware import Meter, PayiMiddleware
from payi_middleware.routes import route_of
from payi_middleware.testing import Events
from payi_middleware.types import ASGIApp, Receive, Scope, Send


async def visit(app: ASGIApp, url: str, root: str = "") -> int:
    transport = httpx2.ASGITransport(app, root_path=root)  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://app.test" + root) as client:
        return (await client.get(url)).status_code


ROUTES = {
    "/users/jane@x.org/orders/7": "/users/{id}/orders/{id}",
    "/t/6F9619FF8B86D011B42D00C04FC964FF/x": "/t/{t:uuid}/x",
    "/n/007/x": "/n/{n:int}/x",
    "/f/1.50/x": "/f/{f:float}/x",
    "/api/api/x": "/api/{tenant}/x",
    "/secret/a/b/end/x": "/secret/{p:path}/end/x",
    "/deep/jane/er/tom/x": "/deep/{a}/er/{b}/x",
    "/same/same": "/same/same",
    "/within/jane/zipped": "/within/{name}/zipped",
    "/bare/jane/and/more": "/bare/{name}",
    "http://jane.example.org/on/7/x": "/on/{n}/x",
}


@pytest.mark.parametrize("root", ["", "/gateway"])
@pytest.mark.parametrize("path", ROUTES)
async def test_mounts(path: str, root: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """Parameters of mounts stand in the route by their names, however their values look."""

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await sdk.aask()
        await PlainTextResponse("ok")(scope, receive, send)

    x = [Route("/x", endpoint)]
    app = Starlette(
        routes=[
            Host("{user}.example.org", Router([Mount("/on/{n}", routes=x)])),
            Mount("/other", routes=x),
            Mount("/users/{id}", routes=[Route("/orders/{id}", endpoint)]),
            Mount("/t/{t:uuid}", routes=x),
            Mount("/n/{n:int}", routes=x),
            Mount("/f/{f:float}", routes=x),
            Mount("/api/{tenant}", routes=x),
            Mount("/secret/{p:path}/end", routes=x),
            Mount("/deep/{a}", routes=[Mount("/er/{b}", routes=x)]),
            Mount("/same", routes=[Route("/same", endpoint)]),
            Mount("/within/{name}", GZipMiddleware(Router([Mount("/", Router([Route("/zipped", endpoint)]))]))),
            Mount("/bare/{name}", bare),
        ],
        middleware=[Middleware(PayiMiddleware, meter)],
    )

    url = path.replace(".org/", f".org{root}/", 1) if path.startswith("http") else path
    assert await visit(app, url, root) == 200
    assert events.one().inbound.http_route == ROUTES[path]


FASTAPI_ROUTES = {
    "/tenants/jane@x.org/items/5": "/tenants/{tenant}/items/{tenant}",
    "/tenants/jane@x.org/more/6": "/tenants/{tenant}/more/{n}",
    "/v1/jane/mounted/tom/items/5": "/v1/{user}/mounted/{tenant}/items/{tenant}",
    "/v1/jane/bare/7/rest": "/v1/{user}/bare/{n}",
    "/v1/jane/plain/7": "/v1/{user}/plain/{n}",
    "/inside/jane/items/5": "/inside/{tenant}/items/{tenant}",
}


@pytest.mark.parametrize("path", FASTAPI_ROUTES)
async def test_fastapi_mounts(path: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """The same of applications mounted in FastAPI, by itself or by a router that it includes."""

    def sub(**arguments: Any) -> FastAPI:
        made, more = FastAPI(**arguments), APIRouter()

        @made.get("/items/{tenant}")
        async def items(tenant: str) -> None:
            await sdk.aask()

        @more.get("/{n}")
        async def number(n: int) -> None:
            await sdk.aask()

        made.include_router(more, prefix="/more")
        return made

    async def plain(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await sdk.aask()
        await PlainTextResponse("ok")(scope, receive, send)

    router = APIRouter()
    router.mount("/mounted/{tenant}", sub())
    router.mount("/bare/{n}", bare)
    router.add_route("/plain/{n}", plain)
    app = FastAPI()
    app.include_router(router, prefix="/v1/{user}")
    app.mount("/tenants/{tenant}", sub())
    app.mount("/inside/{tenant}", sub(middleware=[Middleware(PayiMiddleware, meter)]))
    if not path.startswith("/inside"):
        app.add_middleware(PayiMiddleware, meter)

    assert await visit(app, path) == 200
    assert events.one().inbound.http_route == FASTAPI_ROUTES[path]


@pytest.mark.parametrize("router", [None, object(), Router([Mount("/{other:int}", routes=[])])])
def test_a_tree_that_cannot_be_read(router: object) -> None:
    """Where the mounts cannot be told, the route is the inner one's template alone."""
    scope: Any = {
        "type": "http",
        "path": "/jane/x/5",
        "app_root_path": "",
        "root_path": "/jane/x",
        "route": Route("/{n}", print),
        "path_params": {"user": "jane"},
        "router": router,
    }
    assert route_of(scope) == "/{n}"
