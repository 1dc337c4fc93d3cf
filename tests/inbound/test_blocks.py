"""`track` and `use_case` outside of web requests and inside: blocks, decorators, generators."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from asking import Asking, browser
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse as FastPlainText
from garbage import collect
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import Meter, PayiMiddleware, UseCaseError, context, current, health, instrument, track, use_case
from payi_middleware.annotation import annotation_of
from payi_middleware.demo.standin import StandIn
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.store import open_store
from payi_middleware.testing import Events


@pytest.fixture(autouse=True)
def _hooked(meter: Meter) -> None:
    instrument(meter)


def user() -> str | None:
    """The user of a call begun now."""
    return current().attribution.user_id


def test_blocks_nest(events: Events, blocking_sdk: Asking) -> None:
    """A block's values hold inside it; an inner one is laid over it and gone after it."""
    with track(user_id="jane", account_name="acme", request_tags=["a"], request_properties={"k": 1}) as outer:
        assert isinstance(outer, track)
        blocking_sdk.ask()
        with track(
            "tom", request_tags=["b"], limit_ids="l-1", limit_tags=["t"], price_as="gpt-4o", resource_scope="global"
        ):
            blocking_sdk.ask()
        blocking_sdk.ask()
    blocking_sdk.ask()

    first, second, third, outside = (event.attribution for event in events)
    assert (first.user_id, first.account_name, first.request_tags) == ("jane", "acme", ("a",))
    assert (second.user_id, second.account_name, second.request_tags) == ("tom", "acme", ("a", "b"))
    assert (second.limit_ids, second.limit_tags, second.price_as, second.resource_scope) == (
        ("l-1",),
        ("t",),
        "gpt-4o",
        "global",
    )
    assert third == first
    assert outside.user_id is None
    assert {event.origin for event in events} == {"track"}


async def test_async_with(events: Events, sdk: Asking) -> None:
    """Blocks open with `async with` too."""
    async with track(user_id="jane"), use_case("Digest"):
        await sdk.aask()

    event = events.one()
    assert (event.user_id, event.use_case_name) == ("jane", "Digest")
    assert context.frame.get() is None


def test_use_case_of_a_script(events: Events, blocking_sdk: Asking) -> None:
    """The outermost block is what a request is in a web application: one instance each time."""
    digest = use_case("Digest", version=2, step="one", properties={"k": "v"}, tags="nightly")
    for _ in range(2):
        with digest:
            blocking_sdk.ask()
            blocking_sdk.ask()
    with use_case("Digest", id="given"):
        blocking_sdk.ask()

    instances = [event.attribution.use_case_id for event in events]
    assert instances[0] == instances[1] != instances[2] == instances[3]
    assert instances[4] == "given"
    who = next(iter(events)).attribution
    assert (who.use_case_version, who.use_case_step, who.use_case_properties) == (2, "one", {"k": "v"})
    assert who.request_tags == ("nightly",)


def test_an_empty_list_of_tags_clears(events: Events, blocking_sdk: Asking) -> None:
    """A use case that has no tags leaves those around it, unless it says that there are none."""
    with track(request_tags=["outer"]):
        with use_case("Digest"):
            blocking_sdk.ask()
        with use_case("Digest", tags=[]):
            blocking_sdk.ask()

    assert [event.attribution.request_tags for event in events] == [("outer",), ()]


def test_a_use_case_that_is_known_at_run_time(events: Events, blocking_sdk: Asking) -> None:
    """`track` names it, changes its step, or ends it; a malformed name stops nobody."""
    with use_case("Chat", step="one", version=2):
        for told in (
            {"use_case_step": "two"},
            {"use_case_name": "Digest", "use_case_id": "given", "use_case_version": 3},
            {"use_case_name": ""},
            {"use_case_name": "not a name"},
        ):
            with track(**told):  # type: ignore[arg-type]
                blocking_sdk.ask()

    step, other, ended, malformed = events
    assert (step.use_case_name, step.use_case_version, step.use_case_step) == ("Chat", 2, "two")
    assert (other.use_case_name, other.use_case_id, other.use_case_version) == ("Digest", "given", 3)
    assert other.use_case_step is None
    assert (ended.use_case_name, ended.use_case_id, ended.use_case_version) == (None, None, None)
    assert (malformed.use_case_name, malformed.use_case_step) == ("Chat", "one")
    assert malformed.use_case_id == step.use_case_id
    assert health.counters() == {"field_dropped": 1}


def test_costs_of_a_block(blocking_sdk: Asking) -> None:
    """Inside the outermost block `current()` tells its calls, those of inner blocks included."""
    with track(user_id="jane"):
        with track(user_id="tom"):
            blocking_sdk.ask()
        blocking_sdk.ask()
        assert current().calls == 2

    assert current().calls == 0


def test_one_block_object_in_many_threads(events: Events, blocking_sdk: Asking) -> None:
    """A block object may be open several times at once, in threads and nested in itself."""
    jane = track(user_id="jane")
    barrier = threading.Barrier(3, timeout=5)

    def work() -> str | None:
        with jane:
            barrier.wait()
            with jane:
                blocking_sdk.ask()
            barrier.wait()
            found = user()
        assert context.frame.get() is None
        return found

    with ThreadPoolExecutor(3) as pool:
        assert [future.result() for future in [pool.submit(work) for _ in range(3)]] == ["jane"] * 3
    assert len(events.all(user_id="jane")) == 3


async def test_one_block_object_in_many_tasks() -> None:
    """Tasks that leave the same block object in another order than they entered it do not disturb one another."""
    jane, entered = track(user_id="jane"), asyncio.Event()

    async def short() -> None:
        with jane:
            await entered.wait()
        assert user() is None

    async def long() -> None:
        with jane, track(account_name="acme"):
            entered.set()
            for _ in range(5):
                await asyncio.sleep(0)
            assert user() == "jane"
        assert user() is None

    await asyncio.gather(short(), long())


def test_left_in_another_context() -> None:
    """A block that is left where it was not entered, as fixtures may be, raises nothing and changes nothing there."""
    block = track(user_id="jane")

    contextvars.copy_context().run(block.__enter__)
    with track(user_id="tom"):
        block.__exit__(None, None, None)
        assert user() == "tom"


def test_left_in_the_wrong_order() -> None:
    """An outer block that is left takes an inner one, which nobody left, with it."""
    outer, inner = track(user_id="jane"), track(user_id="tom")
    outer.__enter__()
    inner.__enter__()

    outer.__exit__(None, None, None)
    assert user() is None
    inner.__exit__(None, None, None)
    assert user() is None


def test_errors_pass_through() -> None:
    """A block swallows no error."""
    with pytest.raises(LookupError), track(user_id="jane"):
        raise LookupError
    assert user() is None


def test_block_with_a_meter_of_its_own(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """`track(meter=...)` sends the calls inside to that meter, for whom they were before, and gives the outer one back."""
    sink = MemorySink()
    with Meter("sqlite:///:memory:", sinks=[sink], hosts=meter.settings.hosts, application="other") as other:
        with track(user_id="jane"):
            with track(account_name="acme", meter=other), track(request_tags=["x"], meter=other):
                blocking_sdk.ask()
                assert current().calls == 1
            assert current().calls == 0
            assert user() == "jane"
            blocking_sdk.ask()
        other.flush()

        (event,) = sink.events
        assert (event.application, event.user_id, event.account_name) == ("other", "jane", "acme")
        assert event.attribution.request_tags == ("x",)
    assert events.one().user_id == "jane"


@pytest.mark.parametrize("asked_before", [False, True])
async def test_block_of_a_request_with_a_meter_of_its_own(
    asked_before: bool, meter: Meter, events: Events, sdk: Asking, tmp_path: Path, standin: StandIn
) -> None:
    """Within a request, the calls of `track(meter=...)` are the request's too, and their end waits for their own store."""
    url = f"sqlite:///{tmp_path}/other.db"
    settings: dict[str, Any] = {"hosts": meter.settings.hosts, "flush": "request", "flush_interval": 60}
    with Meter(url, **settings) as other:

        async def who(connection: object) -> str:
            with track(request_tags=["asking"], meter=other):
                await sdk.aask()
            return "jane"

        @use_case("Digest")
        async def endpoint(request: Request) -> Response:
            if asked_before:
                await sdk.aask()
            current().set(account_name="acme")
            with track(request_properties={"k": "v"}), track(request_tags=["x"], meter=other):
                await sdk.aask()
            return PlainTextResponse("ok")

        app = Starlette(routes=[Route("/pages", endpoint)])
        app.add_middleware(PayiMiddleware, meter=meter, identify=who)
        async with browser(app) as client:
            await client.get("/pages")
        with open_store(url, create=False) as store:
            found = list(store.events())

    assert [("asking" in event.attribution.request_tags, event.user_id) for event in found] == [
        (True, None),
        (False, "jane"),
    ]
    event = found[1]
    assert (event.origin, event.inbound.http_route, event.use_case_name) == ("request", "/pages", "Digest")
    assert (event.account_name, dict(event.attribution.request_properties)) == ("acme", {"k": "v"})
    if asked_before:
        assert event.attribution.use_case_id == events.one().attribution.use_case_id


@pytest.mark.parametrize("named", [False, True])
def test_block_that_waits_for_the_store(named: bool, tmp_path: Path, standin: StandIn, blocking_sdk: Asking) -> None:
    """With flush="request" the end of an outermost block waits for the store, whether the block or the hook names the meter."""
    url = f"sqlite:///{tmp_path}/payi.db"
    with Meter(url, hosts={standin.host: "openai"}, flush="request", flush_interval=60) as meter:
        if not named:
            instrument(meter)
        with track(user_id="jane", meter=meter if named else None):
            with track(account_name="acme"):
                blocking_sdk.ask()
            assert not Path(tmp_path, "payi.db").exists()
        with open_store(url, create=False) as store:
            assert [event.user_id for event in store.events()] == ["jane"]


# --- decorators


def test_decorated_function(events: Events, blocking_sdk: Asking) -> None:
    """Each call of a decorated function runs in a block of its own; arguments, answer and errors are its own."""

    @track(user_id="jane")
    @use_case("Digest")
    def digest(one: int, *, two: int) -> int:
        """What it does."""
        if two < 0:
            raise LookupError
        blocking_sdk.ask()
        return one + two

    assert digest(1, two=2) == 3
    assert digest(3, two=4) == 7
    with pytest.raises(LookupError):
        digest(1, two=-1)
    assert context.frame.get() is None
    assert digest.__name__ == "digest"
    assert digest.__doc__ == "What it does."
    assert str(inspect.signature(digest)) == "(one: 'int', *, two: 'int') -> 'int'"
    assert {event.user_id for event in events} == {"jane"}
    assert len({event.attribution.use_case_id for event in events}) == 2


async def test_decorated_coroutine(events: Events, sdk: Asking) -> None:
    """A decorated coroutine function stays one, and its tasks and threads are inside."""

    @use_case("Digest")
    @track(user_id="jane")
    async def digest(n: int) -> int:
        await asyncio.gather(sdk.aask(), asyncio.to_thread(sdk.ask))
        return n

    assert inspect.iscoroutinefunction(digest)
    assert await asyncio.gather(digest(1), digest(2)) == [1, 2]
    seen = events.all(user_id="jane", use_case_name="Digest")
    assert len(seen) == 4
    assert len({event.attribution.use_case_id for event in seen}) == 2


async def test_decorated_function_that_returns_a_coroutine(events: Events, sdk: Asking) -> None:
    """Under another plain decorator, in a lambda or an object, a coroutine runs in the block, whose end is the activity's."""

    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    @track(user_id="jane")
    @use_case("Digest")
    @logged
    async def digest() -> str:
        await sdk.aask()
        return "done"

    class Job:
        async def __call__(self) -> str | None:
            await sdk.aask()
            return user()

    begun = digest()
    assert (begun.__name__, user()) == ("digest", None)
    assert await begun == "done"
    assert await track(user_id="tom")(lambda: Job()())() == "tom"
    assert await track(user_id="bob")(Job())() == "bob"

    assert [event.user_id for event in events] == ["jane", "tom", "bob"]
    assert [event.use_case_name for event in events] == ["Digest", None, None]
    assert user() is None


async def test_decorated_coroutine_that_raises() -> None:
    """What is raised in a coroutine under another decorator passes through, and the block is left."""

    async def fail() -> None:
        raise LookupError(user())

    with pytest.raises(LookupError, match="jane"):
        await track(user_id="jane")(lambda: fail())()

    assert user() is None


def test_recursion(events: Events, blocking_sdk: Asking) -> None:
    """A decorated function that calls itself stays in one activity."""

    @use_case("Digest")
    def digest(depth: int) -> None:
        blocking_sdk.ask()
        if depth:
            digest(depth - 1)

    digest(2)

    assert len({event.attribution.use_case_id for event in events}) == 1


def test_methods(events: Events, blocking_sdk: Asking) -> None:
    """Methods, class methods and static methods can be decorated, on either side of their own decorators."""

    class Digest:
        name = "x"

        @use_case("Plain")
        def plain(self) -> str:
            blocking_sdk.ask()
            return self.name

        @use_case("Inside")
        @classmethod
        def inside(cls) -> str:
            blocking_sdk.ask()
            return cls.name

        @classmethod
        @use_case("Outside")
        def outside(cls) -> str:
            blocking_sdk.ask()
            return cls.name

        @track(user_id="jane")
        @staticmethod
        def static(value: str) -> str:
            blocking_sdk.ask()
            return value

    assert [Digest().plain(), Digest.inside(), Digest.outside(), Digest().static("y")] == ["x", "x", "x", "y"]
    assert [event.use_case_name or event.user_id for event in events] == ["Plain", "Inside", "Outside", "jane"]


def test_partial(events: Events, blocking_sdk: Asking) -> None:
    """A `functools.partial` is decorated as the function it is."""
    digest = use_case("Digest")(functools.partial(blocking_sdk.ask, "Hello"))
    digest()

    assert events.one().use_case_name == "Digest"


def generated(seen: list[object], probe: Callable[[], object]) -> Generator[object, object, str]:
    """Takes what is sent, survives a LookupError, and tells what it saw."""
    try:
        for n in range(10):
            try:
                seen.append((n, probe(), (yield n)))
            except LookupError:
                seen.append("thrown")
                if (yield "caught") == "stop":
                    return "returned"
    finally:
        seen.append(("closed", probe()))
    return "exhausted"


@pytest.mark.parametrize("decorator", [track(user_id="jane"), use_case("Digest")])
def test_decorated_generator(decorator: track) -> None:
    """A decorated generator is one in all that it does: values sent, errors thrown, its return value, its closing."""

    def probe() -> object:
        return current().attribution.user_id or current().attribution.use_case_name

    seen: list[object] = []
    inside = "Digest" if isinstance(decorator, use_case) else "jane"
    make = decorator(generated)
    assert inspect.isgeneratorfunction(make)
    steps = make(seen, probe)
    assert next(steps) == 0
    assert context.frame.get() is None  # between the steps its caller has its own
    assert steps.send("sent") == 1
    assert steps.throw(LookupError()) == "caught"
    with pytest.raises(StopIteration) as stop:
        steps.send("stop")
    assert stop.value.value == "returned"
    assert seen == [(0, inside, "sent"), "thrown", ("closed", inside)]


def test_generator_closed_early() -> None:
    """A decorated generator that is closed, or dropped, runs its `finally` inside its block."""
    seen: list[object] = []
    make = track(user_id="jane")(generated)

    steps = make(seen, user)
    next(steps)
    steps.close()
    assert seen == [("closed", "jane")]
    with pytest.raises(StopIteration):
        next(steps)

    dropped = make(seen, user)
    next(dropped)
    del dropped
    collect()
    assert seen == [("closed", "jane")] * 2
    assert context.frame.get() is None


def test_generator_that_raises() -> None:
    """An error of the generator's, and one thrown that it does not catch, reach the caller."""

    @track(user_id="jane")
    def steps() -> Generator[int, None, None]:
        yield 1
        raise ZeroDivisionError

    running = steps()
    next(running)
    with pytest.raises(ZeroDivisionError):
        next(running)
    running = steps()
    next(running)
    with pytest.raises(KeyError):
        running.throw(KeyError("x"))
    assert list(track(user_id="jane")(lambda: iter([1, 2]))()) == [1, 2]


def test_yield_from() -> None:
    """`yield from` a decorated generator hands on values, errors and the return value."""
    seen: list[object] = []
    make = track(user_id="jane")(generated)

    def outer() -> Generator[object, object, str]:
        answer = yield from make(seen, user)
        return f"outer {answer}"

    steps = outer()
    next(steps)
    steps.throw(LookupError())
    with pytest.raises(StopIteration) as stop:
        steps.send("stop")
    assert stop.value.value == "outer returned"


async def agenerated(seen: list[object], probe: Callable[[], object]) -> AsyncGenerator[object, object]:
    try:
        for n in range(10):
            try:
                await asyncio.sleep(0)
                seen.append((n, probe(), (yield n)))
            except LookupError:
                seen.append("thrown")
                if (yield "caught") == "stop":
                    return
    finally:
        await asyncio.sleep(0)
        seen.append(("closed", probe()))


async def test_decorated_async_generator() -> None:
    """The same of an async generator."""
    seen: list[object] = []
    make = track(user_id="jane")(agenerated)
    assert inspect.isasyncgenfunction(make)

    steps = make(seen, user)
    assert await anext(steps) == 0
    assert context.frame.get() is None
    assert await steps.asend("sent") == 1
    assert await steps.athrow(LookupError()) == "caught"
    with pytest.raises(StopAsyncIteration):
        await steps.asend("stop")
    assert seen == [(0, "jane", "sent"), "thrown", ("closed", "jane")]

    closed = make(seen, user)
    await anext(closed)
    await closed.aclose()
    assert seen[-1] == ("closed", "jane")
    raising = make(seen, user)
    await anext(raising)
    with pytest.raises(ZeroDivisionError):
        await raising.athrow(ZeroDivisionError())


async def test_calls_of_generators(events: Events, sdk: Asking) -> None:
    """Calls between the steps are not the generator's."""

    @use_case("Steps")
    async def steps() -> AsyncIterator[int]:
        await sdk.aask()
        yield 1
        await sdk.aask()
        yield 2

    @use_case("Sync-Steps")
    def sync_steps() -> Generator[int, None, None]:
        sdk.ask()
        yield 1

    async for _ in steps():
        await sdk.aask()
    for _ in sync_steps():
        await sdk.aask()

    assert [event.use_case_name for event in events] == ["Steps", None, "Steps", None, "Sync-Steps", None]
    assert len({event.attribution.use_case_id for event in events.all(use_case_name="Steps")}) == 1


def test_abandoned_coroutine() -> None:
    """A decorated coroutine that is thrown away in another context takes nothing from that one."""

    @track(user_id="jane")
    async def waiting() -> None:
        await asyncio.Event().wait()

    async def step() -> None:
        coroutine = waiting()
        contextvars.copy_context().run(coroutine.__await__().send, None)
        with track(user_id="tom"):
            coroutine.close()
            assert user() == "tom"

    asyncio.run(step())


# --- errors


@pytest.mark.parametrize("name", ["", "x" * 65, "two words", "=cmd", None])
def test_wrong_names(name: Any) -> None:
    """A wrong use case name is an error where it is written."""
    with pytest.raises(UseCaseError, match="use case name"):
        use_case(name)


def test_two_names_on_one_function() -> None:
    """Two use cases on one route are an error at decoration, which tells the way out."""
    with pytest.raises(UseCaseError, match=r"cannot have two use cases: 'A' and 'B'.*with use_case"):

        @use_case("B")
        @use_case("A")
        def endpoint() -> None: ...


def test_the_same_name_twice(events: Events, blocking_sdk: Asking) -> None:
    """The same name twice is one use case, with what both tell."""

    @use_case("A", tags=["outer"], version=2)
    @use_case("A", step="inner", tags=["inner"])
    def endpoint() -> None:
        blocking_sdk.ask()

    endpoint()

    who = events.one().attribution
    assert (who.use_case_version, who.use_case_step) == (2, "inner")
    assert set(who.request_tags) == {"outer", "inner"}


@pytest.mark.parametrize("target", [int, "text", 7, object()])
def test_track_on_what_is_no_function(target: Any) -> None:
    """`track` on a class or a value is an error at decoration, not a class turned into a function."""
    with pytest.raises(TypeError, match="track decorates functions"):
        track(user_id="jane")(target)


# --- on routes


@pytest.mark.parametrize("order", ["above", "below"])
async def test_order_of_decorators(order: str, meter: Meter, events: Events, sdk: Asking) -> None:
    """The route's decorator may stand above or below `use_case`; dependencies belong to the use case either way."""
    app = FastAPI()

    async def asked() -> None:
        await sdk.aask()

    async def endpoint() -> None:
        await sdk.aask()

    if order == "above":
        app.get("/", dependencies=[Depends(asked)])(use_case("A")(endpoint))
    else:
        use_case("A")(app.get("/", dependencies=[Depends(asked)])(endpoint))
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        await client.get("/")

    assert [event.use_case_name for event in events] == ["A", "A"]
    assert len({event.attribution.use_case_id for event in events}) == 1


async def test_fastapi_reads_the_signature(meter: Meter) -> None:
    """FastAPI sees parameters, types and answer of a decorated route as if it were plain."""
    app = FastAPI()

    def plain(item: int, q: str = "x", limit: int = Depends(lambda: 3)) -> dict[str, object]:
        """What it does."""
        return {"item": item, "q": q, "limit": limit}

    app.get("/plain/{item}")(plain)
    app.get("/decorated/{item}")(track(user_id="jane")(use_case("A")(plain)))
    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path in ("/plain/7", "/decorated/7"):
            assert (await client.get(path, params={"q": "y"})).json() == {"item": 7, "q": "y", "limit": 3}
        assert (await client.get("/decorated/seven")).status_code == 422
    plainly, decorated = paths["/plain/{item}"]["get"], paths["/decorated/{item}"]["get"]
    assert plainly["parameters"] == decorated["parameters"]
    assert plainly["responses"].keys() == decorated["responses"].keys() == {"200", "422"}
    assert decorated["description"] == "What it does."


async def test_dependencies_with_blocks(meter: Meter, events: Events, sdk: Asking) -> None:
    """A block that an async generator dependency opens holds in the endpoint, and its use case comes before the route's."""
    app = FastAPI()

    async def tenant() -> AsyncIterator[None]:
        with track(account_name="acme"), use_case("Tenant"):
            yield

    @app.get("/", dependencies=[Depends(tenant)], response_class=FastPlainText)
    @use_case("Route")
    async def endpoint() -> str:
        await sdk.aask()
        return "ok"

    app.add_middleware(PayiMiddleware, meter)

    async with browser(app) as client:
        assert (await client.get("/")).text == "ok"

    event = events.one()
    assert (event.account_name, event.use_case_name, event.inbound.http_route) == ("acme", "Tenant", "/")


async def test_route_that_calls_another(meter: Meter, events: Events, sdk: Asking) -> None:
    """A decorated function called inside another route is a block; the calls after it are the route's again."""

    @use_case("Inner", step="inner")
    async def inner(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    @use_case("Outer", step="outer")
    async def outer(request: Request) -> Response:
        response = await inner(request)
        await sdk.aask()
        return response

    app = Starlette(
        routes=[Route("/outer", outer), Route("/inner", inner)], middleware=[Middleware(PayiMiddleware, meter)]
    )

    async with browser(app) as client:
        await client.get("/outer")
        await client.get("/inner")

    assert [(e.use_case_name, e.attribution.use_case_step) for e in events] == [
        ("Inner", "inner"),
        ("Outer", "outer"),
        ("Inner", "inner"),
    ]


async def test_instances_of_concurrent_requests(meter: Meter, events: Events, sdk: Asking) -> None:
    """Every request is an instance of its own, with an id that is a UUID."""

    @use_case("A")
    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter)])
    async with browser(app) as client:
        await asyncio.gather(*(client.get("/") for _ in range(10)))

    assert len({uuid.UUID(event.attribution.use_case_id) for event in events}) == 10


def test_annotating_what_is_no_function() -> None:
    """On a class, or an object that is called, `use_case` leaves its mark and nothing else."""

    class Page:
        pass

    class Application:
        def __call__(self) -> None: ...

    application = Application()

    assert use_case("A")(Page) is Page
    assert use_case("A")(application) is application
    for target in (Page, application):
        found = annotation_of(target)
        assert found is not None
        assert found.given.use_case_name == "A"
    assert annotation_of(None) is None


def test_marks_of_others_mean_nothing() -> None:
    """An object that has every attribute, as mocks have, has no use case."""
    from unittest.mock import MagicMock

    assert annotation_of(MagicMock()) is None
