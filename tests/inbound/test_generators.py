"""Blocks inside generators: what a step leaves open holds in the next one, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest
from asking import Asking, browser
from flask import Flask, Response, stream_with_context
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from werkzeug.test import EnvironBuilder

from payi_middleware import Meter, PayiMiddleware, context, current, instrument, track, use_case
from payi_middleware.flask import Payi
from payi_middleware.testing import Events
from payi_middleware.wsgi import PayiWSGIMiddleware


@pytest.fixture(autouse=True)
def _hooked(meter: Meter) -> None:
    instrument(meter)


def user() -> str | None:
    return current().attribution.user_id


@pytest.mark.parametrize("wrap", [lambda steps: steps, stream_with_context])
def test_block_in_a_streamed_answer(
    wrap: Callable[[Iterator[str]], Iterator[str]], meter: Meter, events: Events, blocking_sdk: Asking
) -> None:
    """A block in the generator of a Flask response holds over its yields, until it is left."""
    app = Flask(__name__)
    Payi(app, meter)

    def steps() -> Iterator[str]:
        with track(user_id="jane"):
            blocking_sdk.ask()
            yield "1"
            blocking_sdk.ask()
            yield "2"
        blocking_sdk.ask()
        yield "3"

    app.add_url_rule("/", view_func=lambda: Response(wrap(steps())))

    assert app.test_client().get("/").text == "123"
    assert [event.user_id for event in events] == ["jane", "jane", None]
    assert {event.inbound.http_route for event in events} == {"/"}
    assert context.frame.get() is None


def test_block_in_an_answer_that_is_closed(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Closing a WSGI answer early runs what it does at last inside the block that is open."""

    def steps() -> Iterator[bytes]:
        with track(user_id="jane"):
            try:
                yield b"1"
                yield b"2"
            finally:
                blocking_sdk.ask()

    app = PayiWSGIMiddleware(lambda environ, start_response: steps(), meter)
    answer = app(EnvironBuilder("/").get_environ(), lambda *_: None)  # type: ignore[arg-type,return-value]
    with track(user_id="the server's own"):
        next(iter(answer))
        assert user() == "the server's own"
        answer.close()  # type: ignore[attr-defined]
        assert user() == "the server's own"

    assert events.one().user_id == "jane"


def test_block_that_the_view_leaves_to_its_answer(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A block that a WSGI application opens and its answer closes holds from the one to the other."""

    def steps(stack: ExitStack) -> Iterator[bytes]:
        with stack:
            blocking_sdk.ask()
            yield b"1"
        blocking_sdk.ask()
        yield b"2"

    def app(environ: object, start_response: object) -> Iterator[bytes]:
        stack = ExitStack()
        stack.enter_context(track(user_id="jane"))
        return steps(stack)

    answer = PayiWSGIMiddleware(app, meter)(EnvironBuilder("/").get_environ(), lambda *_: None)  # type: ignore[arg-type,return-value]
    assert b"".join(answer) == b"12"
    assert [event.user_id for event in events] == ["jane", None]


def test_block_in_a_decorated_generator() -> None:
    """A block inside a decorated generator holds over its yields, the caller's own between them."""
    seen: list[object] = []

    @use_case("Steps")
    def steps() -> Iterator[int]:
        with track(user_id="jane"):
            seen.append(user())
            yield 1
            seen.append(user())
            yield 2
        seen.append(user())
        yield 3

    with track(user_id="tom"):
        for _ in steps():
            seen.append(user())

    assert seen == ["jane", "tom", "jane", "tom", "tom", "tom"]
    assert context.frame.get() is None


@pytest.mark.parametrize("kind", ["carrier", "meter"])
def test_block_of_its_own_in_a_decorated_generator(kind: str, meter: Meter) -> None:
    """A block that begins something new does not stay behind at a yield, and holds again after it."""
    with track(user_id="jane"):
        carrier = current().carrier()
    seen: list[object] = []

    with Meter("sqlite:///:memory:", sinks=[]) as other:

        @track(account_name="acme")
        def steps() -> Iterator[int]:
            with track.from_carrier(carrier) if kind == "carrier" else track(user_id="jane", meter=other):
                yield 1
                seen.append((user(), current().attribution.account_name))
            seen.append((user(), current().attribution.account_name))

        for _ in steps():
            assert context.frame.get() is None

    assert seen == [("jane", None if kind == "carrier" else "acme"), (None, "acme")]


async def test_block_in_a_decorated_async_generator() -> None:
    """The same of an async generator, also when it is closed early."""
    seen: list[object] = []

    @use_case("Steps")
    async def steps() -> AsyncIterator[int]:
        with track(user_id="jane"):
            try:
                yield 1
                seen.append(user())
                yield 2
            finally:
                seen.append(("closed", user()))

    running = steps()
    await anext(running)
    assert context.frame.get() is None
    await anext(running)
    await running.aclose()  # type: ignore[attr-defined]

    assert seen == ["jane", ("closed", "jane")]
    assert context.frame.get() is None


@pytest.mark.parametrize("cure", ["decorated", "set"])
async def test_sync_generator_in_starlette(cure: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """Starlette runs each step of a sync generator in another context: a decorator, or `current().set`, holds there."""

    def steps() -> Iterator[str]:
        if cure == "set":
            current().set(user_id="jane")
        sdk.ask()
        yield "1"
        sdk.ask()
        yield "2"

    async def endpoint(request: Request) -> StreamingResponse:
        return StreamingResponse(track(user_id="jane")(steps)() if cure == "decorated" else steps())

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter)])
    async with browser(app) as client:
        assert (await client.get("/")).text == "12"

    assert [event.user_id for event in events] == ["jane", "jane"]
