"""`track` and `use_case` as type checkers see them: decorators keep the function's type; run nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import assert_type

from fastapi import FastAPI
from flask import Flask
from flask.views import MethodView
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import Meter, current, track, use_case


@track(user_id="jane", request_tags=["a"], request_properties={"pages": 3})
def plain(text: str, *, times: int = 1) -> list[str]:
    return [text] * times


@use_case("Summary", id="1", version=2, step="read", properties={"language": "da"}, tags="a,b")
async def coroutine(text: str) -> int:
    return len(text)


@use_case("Summary")
def generator(count: int) -> Iterator[str]:
    yield from map(str, range(count))


@track(user_id=7, limit_ids=["l"], limit_tags=["t"], price_as="gpt-4o", resource_scope="global", meter=Meter())
async def async_generator() -> AsyncIterator[bytes]:
    yield b""


assert_type(plain("a", times=2), list[str])
assert_type(generator(3), Iterator[str])
assert_type(async_generator(), AsyncIterator[bytes])
typed: Callable[[str], Awaitable[int]] = coroutine
plain(1)  # type: ignore[arg-type]
generator()  # type: ignore[call-arg]
use_case("Summary", nmae="x")  # type: ignore[call-arg]
use_case()  # type: ignore[call-arg]
track(use_case_name="Chat", use_case_id="7", use_case_version=2, use_case_step="ask", use_case_properties={"pages": 3})
track(use_case_version="2")  # type: ignore[arg-type]
track("jane")(3)  # type: ignore[type-var]


class Service:
    @use_case("Method")
    def method(self, text: str) -> int:
        return len(text)

    @track(account_name="acme")
    @staticmethod
    def static(text: str) -> int:
        return len(text)

    @use_case("Property")
    async def asynchronous(self) -> bool:
        return True


assert_type(Service().method("a"), int)
assert_type(Service.static("a"), int)


async def blocks() -> None:
    with track(user_id="jane") as block, use_case("Chat"):
        assert_type(block, track)
    async with track("jane", "acme", ["a"]), use_case("Chat") as chat:
        assert_type(chat, use_case)
    with track.from_carrier(current().carrier()) as carried:
        assert_type(carried, track)
    with track.from_carrier(await current().acarrier()):
        assert_type(await current().acarrier(), dict[str, str])
    assert_type(await coroutine("a"), int)
    assert_type(await Service().asynchronous(), bool)
    assert_type(current().attribution.user_id, str | None)
    current().set(user_id="jane", request_tags=["a"])


def always() -> int:
    with track(user_id="jane"):  # the checker knows that a block swallows no exception, so nothing follows
        return 1


# Routes, the decorator on either side:

fast = FastAPI()


@fast.get("/a")
@use_case("A")
async def route_below(text: str) -> int:
    return 1


@use_case("A")
@fast.get("/b")
def route_above(text: str) -> int:
    return 1


assert_type(route_above("a"), int)

flask = Flask(__name__)


@flask.get("/a")
@use_case("A")
def view_below(number: int) -> str:
    return "ok"


@use_case("A")
@flask.get("/b")
def view_above(number: int) -> str:
    return "ok"


assert_type(view_below(1), str)
assert_type(view_above(1), str)


@use_case("A")
class Papers(MethodView):
    @use_case("B")
    def get(self, paper: str) -> str:
        return paper


assert_type(Papers().get("7"), str)
flask.add_url_rule("/papers/<paper>", view_func=use_case("A")(Papers.as_view("papers")))


@use_case("A")
async def endpoint(request: Request) -> Response:
    return PlainTextResponse("ok")


route = Route("/", endpoint)
