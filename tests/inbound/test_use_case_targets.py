"""What `use_case` may stand over, and what stands over it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from asking import Asking, browser
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import Meter, PayiMiddleware, UseCaseError, current, instrument, track, use_case
from payi_middleware.annotation import annotation_of
from payi_middleware.testing import Events


@pytest.fixture(autouse=True)
def _hooked(meter: Meter) -> None:
    instrument(meter)


def named() -> str | None:
    return current().attribution.use_case_name


def app_of(meter: Meter, **endpoints: Any) -> Starlette:
    routes = [Route(f"/{path}", endpoint) for path, endpoint in endpoints.items()]
    return Starlette(routes=routes, middleware=[Middleware(PayiMiddleware, meter)])


async def test_bound_methods(meter: Meter, events: Events, sdk: Asking) -> None:
    """A bound method can be a route's function, under a name for each of its routes."""

    class Pages:
        async def show(self, request: Request) -> Response:
            await sdk.aask()
            return PlainTextResponse("ok")

    pages = Pages()
    async with browser(app_of(meter, a=use_case("A")(pages.show), b=use_case("B")(pages.show))) as client:
        await client.get("/a")
        await client.get("/b")

    assert [event.use_case_name for event in events] == ["A", "B"]
    assert annotation_of(pages.show) is None


def test_builtins() -> None:
    """So can a function of C."""
    assert use_case("A")(len)("four") == 4


async def test_one_function_for_two_routes(meter: Meter, events: Events, sdk: Asking) -> None:
    """A function shared by two routes may have a name for each; by itself it then has none."""

    async def shared(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    app = app_of(meter, a=use_case("A")(shared), b=use_case("B")(shared), c=use_case("C")(shared), plain=shared)
    async with browser(app) as client:
        for path in "abc":
            await client.get(f"/{path}")
        await client.get("/plain")

    assert [event.use_case_name for event in events] == ["A", "B", "C", None]


def test_classes_inherit_and_replace() -> None:
    """A class inherits the use case of its base, and may have another one; so may a method that overrides."""

    @use_case("Base")
    class Base:
        @use_case("Base-Run")
        def run(self) -> list[str | None]:
            return [named()]

    class Plain(Base):
        pass

    @use_case("Child")
    class Child(Base):
        @use_case("Child-Run")
        def run(self) -> list[str | None]:
            return [named(), *super().run(), named()]

    names = [found.given.use_case_name for kind in (Base, Plain, Child) if (found := annotation_of(kind))]
    assert names == ["Base", "Base", "Child"]
    assert Child().run() == ["Child-Run", "Base-Run", "Child-Run"]


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """What decorators of others do."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def test_attributes_that_were_copied() -> None:
    """A helper that took over the attributes of another function may have a name of its own."""
    described = use_case("A")(lambda: named())
    helper = functools.wraps(described)(lambda: named())

    assert use_case("B")(helper)() == "B"
    assert described() == "A"


@pytest.mark.parametrize("kind", ["function", "class", "instance", "method"])
def test_two_names_one_over_the_other(kind: str) -> None:
    """Two names stacked on the same function or class are an error."""

    class Page:
        def __call__(self) -> None: ...

        def method(self) -> None: ...

    target = {"function": lambda: None, "class": Page, "instance": Page(), "method": Page().method}[kind]
    with pytest.raises(UseCaseError, match="'A' and 'B'"):
        use_case("B")(use_case("A")(target))


def test_what_cannot_be_marked() -> None:
    """An object that takes no attributes is a clear error at decoration."""

    class Slotted:
        __slots__ = ()

        def __call__(self) -> None: ...

    with pytest.raises(TypeError, match=r"cannot mark <.*Slotted.*>: decorate its method __call__"):
        use_case("A")(Slotted())


@pytest.mark.parametrize("target", [lambda: None, len, Asking, Asking.ask])
def test_track_without_parentheses(target: Any) -> None:
    """`@track` without parentheses is a clear error at decoration, not a user of that name."""
    with pytest.raises(TypeError, match=r"track needs parentheses, as in @track\(user_id=...\)"):
        track(target)


@pytest.mark.parametrize("between", [lambda function: function, wrapped])
async def test_the_same_name_twice_on_a_route(
    between: Callable[[Any], Any], meter: Meter, events: Events, sdk: Asking
) -> None:
    """The same name twice on a route is the route's one use case, below what `current().set` tells."""
    app = FastAPI()

    def tell() -> None:
        current().set(use_case_step="told")

    @app.get("/", dependencies=[Depends(tell)])
    @use_case("A", tags=["outer"])
    @between
    @use_case("A", step="annotated", version=2, tags=["inner"])
    def endpoint() -> None:
        sdk.ask()

    app.add_middleware(PayiMiddleware, meter)
    async with browser(app) as client:
        assert (await client.get("/")).status_code == 200

    who = events.one().attribution
    assert (who.use_case_step, who.use_case_version, set(who.request_tags)) == ("told", 2, {"outer", "inner"})


async def test_head_of_a_class_endpoint(meter: Meter, events: Events, sdk: Asking) -> None:
    """A HEAD request that Starlette answers by `get` has that method's use case, in background tasks too."""

    class Page(HTTPEndpoint):
        @use_case("Page")
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("ok", background=BackgroundTask(sdk.aask))

    async with browser(app_of(meter, page=Page)) as client:
        await client.head("/page")

    assert events.one().use_case_name == "Page"
