"""Who wins where several sources tell the same: the order of the Contract, field by field."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from asking import Asking, browser
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import Meter, PayiMiddleware, current, health, track, use_case
from payi_middleware.demo.standin import StandIn
from payi_middleware.fastapi import UseCase
from payi_middleware.testing import Events


async def visit(
    endpoint: Callable[[Request], Any],
    meter: Meter,
    *,
    identify: Callable[[Any], Any] | None = None,
    headers: dict[str, str] | None = None,
) -> None:
    """One request to an endpoint, which may be annotated."""
    app = Starlette(
        routes=[Route("/", endpoint, methods=["GET"])],
        middleware=[Middleware(PayiMiddleware, meter, identify=identify)],
    )
    async with browser(app) as client:
        assert (await client.get("/", headers=headers)).text == "ok"


SOURCES = ["header", "identify", "set", "block", "own"]
"""Weakest first; of the fields that all of them can tell."""


@pytest.mark.parametrize("strongest", range(len(SOURCES)))
@pytest.mark.parametrize("field", ["user_id", "account_name"])
async def test_order_of_sources(strongest: int, field: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """The SDK call's own header > the innermost block > `current().set` > `identify` > a trusted incoming header."""
    told = SOURCES[: strongest + 1]
    header = "xProxy-User-ID" if field == "user_id" else "xProxy-Account-Name"

    async def endpoint(request: Request) -> Response:
        if "set" in told:
            current().set(**{field: "set"})
        with (
            track(**{field: "outer" if "block" in told else None}),
            track(**{field: "block" if "block" in told else None}),
        ):
            await sdk.aask(extra_headers={header: "own"} if "own" in told else None)
        return PlainTextResponse("ok")

    await visit(
        endpoint,
        meter,
        identify=lambda _: {field: "identify"} if "identify" in told else None,
        headers={header: "header"},
    )

    assert getattr(events.one().attribution, field) == SOURCES[strongest]


@pytest.mark.parametrize("strongest", range(6))
async def test_order_of_use_cases(strongest: int, meter: Meter, events: Events, sdk: Asking) -> None:
    """For the use case the route's annotation stands between the incoming header and `identify`."""
    sources = ["Header", "Route", "Identify", "Set", "Block", "Own"]
    told = sources[: strongest + 1]

    async def endpoint(request: Request) -> Response:
        if "Set" in told:
            current().set(use_case_name="Set")
        own = {"xProxy-UseCase-Name": "Own"} if "Own" in told else None
        if "Block" in told:
            with use_case("Outer"), use_case("Block"):
                await sdk.aask(extra_headers=own)
        else:
            await sdk.aask(extra_headers=own)
        return PlainTextResponse("ok")

    await visit(
        use_case("Route")(endpoint) if "Route" in told else endpoint,
        meter,
        identify=lambda _: {"use_case_name": "Identify"} if "Identify" in told else None,
        headers={"xProxy-UseCase-Name": "Header", "xProxy-UseCase-ID": "incoming"},
    )

    who = events.one().attribution
    assert who.use_case_name == sources[strongest]
    if strongest == 0:
        assert who.use_case_id == "incoming"
    else:
        assert uuid.UUID(who.use_case_id)


async def test_fields_are_decided_one_by_one(meter: Meter, events: Events, sdk: Asking) -> None:
    """A source that tells one field leaves the others to weaker ones."""

    @use_case("Route", version=2)
    async def endpoint(request: Request) -> Response:
        current().set(use_case_step="set")
        with track(account_name="block"):
            await sdk.aask(extra_headers={"xProxy-Resource-Scope": "datazone"})
        return PlainTextResponse("ok")

    await visit(
        endpoint,
        meter,
        identify=lambda _: "identify",
        headers={"xProxy-UseCase-ID": "incoming", "xProxy-User-ID": "header", "xProxy-Account-Name": "header"},
    )

    who = events.one().attribution
    assert (who.user_id, who.account_name, who.resource_scope) == ("identify", "block", "datazone")
    assert (who.use_case_name, who.use_case_version, who.use_case_step, who.use_case_id) == (
        "Route",
        2,
        "set",
        "incoming",
    )


async def test_unions(meter: Meter, events: Events, sdk: Asking) -> None:
    """Tags and limit ids of all sources come together, each once; properties are merged, inner ones win."""

    @use_case("Route", tags=["route"], properties={"a": "route", "b": "route"})
    async def endpoint(request: Request) -> Response:
        current().set(request_tags=["set"], use_case_properties={"b": "set"})
        current().set(request_tags=["again", "set"], limit_ids=["lim-set"], request_properties={"x": "1"})
        with track(request_tags="block,route", limit_ids=["lim-block"], request_properties={"y": "2"}):
            await sdk.aask(extra_headers={"xProxy-Limit-IDs": "lim-own, lim-set", "xProxy-Request-Tags": "own"})
        return PlainTextResponse("ok")

    await visit(endpoint, meter, headers={"xProxy-Request-Tags": "header", "xProxy-Limit-IDs": "lim-header"})

    who = events.one().attribution
    assert who.request_tags == ("header", "route", "set", "again", "block", "own")
    assert who.limit_ids == ("lim-header", "lim-set", "lim-block", "lim-own")
    assert who.request_properties == {"x": "1", "y": "2"}
    assert who.use_case_properties == {"a": "route", "b": "set"}


async def test_empty_values_clear(meter: Meter, events: Events, sdk: Asking) -> None:
    """`[]`, `{}` and `""` clear what weaker sources told, and what is told inside is there again."""

    @use_case("Route", tags=["route"], step="one", properties={"a": "1"})
    async def endpoint(request: Request) -> Response:
        everything = {"user_id": "", "account_name": "", "request_tags": [], "limit_ids": [], "request_properties": {}}
        with track(**everything):
            await sdk.aask("first")
            with track(user_id="tom", request_tags=["inner"]):
                await sdk.aask("second")
        current().set(use_case_name="")
        await sdk.aask("third")
        return PlainTextResponse("ok")

    await visit(
        endpoint,
        meter,
        headers={
            "xProxy-User-ID": "jane",
            "xProxy-Account-Name": "acme",
            "xProxy-Limit-IDs": "lim",
            "xProxy-Request-Properties": '{"a": "b"}',
        },
    )

    first, second, third = (event.attribution for event in events)
    assert (first.user_id, first.account_name, first.request_tags, first.limit_ids) == (None, None, (), ())
    assert first.request_properties == {}
    assert (second.user_id, second.account_name, second.request_tags) == ("tom", None, ("inner",))
    assert (third.user_id, third.request_tags) == ("jane", ("route",))
    assert (third.use_case_name, third.use_case_id, third.use_case_step, third.use_case_properties) == (
        None,
        None,
        None,
        {},
    )


async def test_empty_own_headers_clear(meter: Meter, events: Events, sdk: Asking) -> None:
    """An empty xProxy header on the SDK's call suppresses what its surroundings tell."""

    @use_case("Route")
    async def endpoint(request: Request) -> Response:
        await sdk.aask(extra_headers={"xProxy-User-ID": "", "xProxy-UseCase-Name": "", "xProxy-Limit-IDs": ""})
        return PlainTextResponse("ok")

    await visit(endpoint, meter, headers={"xProxy-User-ID": "jane", "xProxy-Limit-IDs": "lim"})

    who = events.one().attribution
    assert (who.user_id, who.use_case_name, who.use_case_id, who.limit_ids) == (None, None, None, ())
    assert health.counters() == {}


async def test_another_use_case_starts_anew(meter: Meter, events: Events, sdk: Asking) -> None:
    """Another name starts id, version, step and properties anew; the same name keeps them."""

    @use_case("A", id="a-1", version=1, step="one", properties={"p": "a"})
    async def endpoint(request: Request) -> Response:
        with use_case("A", step="two"):
            await sdk.aask()
        with use_case("B", step="b"):
            await sdk.aask()
            with use_case("A"):
                await sdk.aask()
        return PlainTextResponse("ok")

    await visit(endpoint, meter)

    same, other, back = (event.attribution for event in events)
    assert (same.use_case_id, same.use_case_version, same.use_case_step) == ("a-1", 1, "two")
    assert same.use_case_properties == {"p": "a"}
    assert (other.use_case_version, other.use_case_step, other.use_case_properties) == (None, "b", {})
    assert uuid.UUID(other.use_case_id)
    assert (back.use_case_version, back.use_case_step) == (None, None)
    assert uuid.UUID(back.use_case_id)
    assert back.use_case_id != other.use_case_id


async def test_set_names_another_use_case(meter: Meter, events: Events, sdk: Asking) -> None:
    """`current().set` with another name drops the step that it was told for the one before."""

    async def endpoint(request: Request) -> Response:
        current().set(use_case_name="A", use_case_step="draft", use_case_version=1)
        current().set(use_case_name="B")
        await sdk.aask()
        current().set(use_case_step="final")
        await sdk.aask()
        return PlainTextResponse("ok")

    await visit(endpoint, meter)

    first, second = (event.attribution for event in events)
    assert (first.use_case_name, first.use_case_step, first.use_case_version) == ("B", None, None)
    assert (second.use_case_name, second.use_case_step) == ("B", "final")
    assert first.use_case_id == second.use_case_id


@pytest.mark.parametrize(
    ("name", "kept"),
    [("Route", True), (None, True), ("Other", False)],
)
async def test_incoming_instance(name: str | None, kept: bool, meter: Meter, events: Events, sdk: Asking) -> None:
    """An incoming UseCase-ID counts if its name is the route's, or none is given."""

    @use_case("Route")
    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    headers = {"xProxy-UseCase-ID": "incoming"} | ({"xProxy-UseCase-Name": name} if name else {})
    await visit(endpoint, meter, headers=headers)

    who = events.one().attribution
    assert who.use_case_name == "Route"
    assert (who.use_case_id == "incoming") is kept


async def test_own_headers_are_taken_off(standin: StandIn, meter: Meter, events: Events, sdk: Asking) -> None:
    """xProxy headers of an SDK's call count, and no provider ever sees one; others go through."""

    async def endpoint(request: Request) -> Response:
        headers = {
            "xProxy-User-ID": "jane",
            "XPROXY-USECASE-NAME": "Own",
            "xproxy-usecase-version": "4",
            "xProxy-Request-Properties": '{"plan": "pro"}',
            "xProxy-PriceAs-Category": "system.openai",
            "xProxy-PriceAs-Resource": "gpt-4o",
            "xProxy-Forward-Something": "x",
            "x-other": "stays",
        }
        await sdk.aask(extra_headers=headers)
        async for _ in sdk.aparts(extra_headers=headers):
            pass
        return PlainTextResponse("ok")

    await visit(endpoint, meter)

    assert len(standin.requests) == 2
    for request in standin.requests:
        assert not [name for name in request.headers if name.startswith("xproxy")]
        assert request.headers["x-other"] == "stays"
    for event in events:
        who = event.attribution
        assert (who.user_id, who.use_case_name, who.use_case_version) == ("jane", "Own", 4)
        assert who.request_properties == {"plan": "pro"}
        assert who.price_as == "system.openai/gpt-4o"
        assert uuid.UUID(who.use_case_id)


async def test_own_use_case_is_one_instance_of_the_request(meter: Meter, events: Events, sdk: Asking) -> None:
    """Calls of a request that name the same use case in their headers share its instance; a call outside has its own."""
    own = {"xProxy-UseCase-Name": "Own"}

    async def endpoint(request: Request) -> Response:
        await sdk.aask(extra_headers=own)
        with use_case("Own"):
            await sdk.aask()
        return PlainTextResponse("ok")

    await visit(endpoint, meter)
    await sdk.aask(extra_headers=own)
    await sdk.aask(extra_headers=own)

    instances = [event.attribution.use_case_id for event in events]
    assert instances[0] == instances[1]
    assert len({*instances}) == 3
    assert None not in instances


async def test_set_from_a_dependency(meter: Meter, events: Events, sdk: Asking) -> None:
    """What a dependency, sync or async, tells by `current().set` holds for calls begun afterwards, wherever they are made."""
    app = FastAPI()

    async def before() -> None:
        await sdk.aask("before")

    def account() -> None:
        current().set(account_name="acme")

    async def user() -> None:
        current().set(user_id="jane")

    @app.get("/", dependencies=[Depends(before), Depends(account), Depends(user)])
    async def endpoint() -> None:
        await sdk.aask("after")

    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/")

    assert [(event.user_id, event.account_name) for event in events] == [(None, None), ("jane", "acme")]


async def test_router_use_cases(meter: Meter, events: Events, sdk: Asking) -> None:
    """A router's use case holds for its routes; a nested router's is laid over it, and a route's own over both."""
    from fastapi import APIRouter

    async def asking() -> None:
        await sdk.aask()

    outer = APIRouter(prefix="/outer", dependencies=[Depends(UseCase("Outer", step="s", tags=["outer"], version=1))])
    inner = APIRouter(prefix="/inner", dependencies=[Depends(UseCase("Inner", tags=["inner"], properties={"a": "1"}))])
    outer.add_api_route("/plain", asking)
    inner.add_api_route("/plain", asking)
    inner.add_api_route("/own/{x}", use_case("Inner", step="own")(numbered(sdk)))
    outer.include_router(inner)
    app = FastAPI(dependencies=[Depends(asking)])
    app.include_router(outer, prefix="/v1")
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        for path in ("/v1/outer/plain", "/v1/outer/inner/plain", "/v1/outer/inner/own/3"):
            assert (await client.get(path)).status_code == 200

    told = [
        (e.use_case_name, e.attribution.use_case_step, e.attribution.use_case_version, e.attribution.request_tags)
        for e in events
    ]
    assert told == [
        (None, None, None, ()),  # the application's dependency runs before the router's
        ("Outer", "s", 1, ("outer",)),
        (None, None, None, ()),
        ("Inner", None, None, ("outer", "inner")),
        ("Inner", "own", None, ()),
        ("Inner", "own", None, ("outer", "inner")),
    ]
    assert [e.inbound.http_route for e in events][::2] == [
        "/v1/outer/plain",
        "/v1/outer/inner/plain",
        "/v1/outer/inner/own/{x}",
    ]


def numbered(sdk: Asking) -> Callable[[int], Any]:
    async def endpoint(x: int) -> None:
        await sdk.aask()

    return endpoint
