"""Who a request is for: the application's `identify`, and the frameworks' own users."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any

import pytest
from asking import Asking, browser
from children import GREENLETS, environment, run
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser, UnauthenticatedUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import Attribution, Meter, PayiMiddleware, current, health
from payi_middleware.attribution import Given
from payi_middleware.demo.standin import StandIn
from payi_middleware.frames import Activity
from payi_middleware.testing import Events


def app_of(endpoint: Callable[[Request], Any], meter: Meter, identify: Callable[[Any], Any] | None = None) -> Starlette:
    """An application of one route."""

    async def answering(request: Request) -> Response:
        await endpoint(request)
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/", answering)], middleware=[Middleware(PayiMiddleware, meter, identify=identify)])


def by_header(connection: HTTPConnection) -> str:
    return connection.headers["user"]


async def by_header_async(connection: HTTPConnection) -> str:
    return connection.headers["user"]


async def by_header_waiting(connection: HTTPConnection) -> str:
    await asyncio.sleep(0.001)
    return connection.headers["user"]


class Callable_:
    """An object whose call is a coroutine function, which `inspect` does not see."""

    async def __call__(self, connection: HTTPConnection) -> str:
        await asyncio.sleep(0.001)
        return connection.headers["user"]


KINDS = [by_header, by_header_async, by_header_waiting, Callable_(), lambda connection: by_header_waiting(connection)]


@pytest.mark.parametrize("identify", KINDS)
@pytest.mark.parametrize("where", ["coroutine", "thread", "executor"])
async def test_identify_answers(
    identify: Callable[[HTTPConnection], Any], where: str, meter: Meter, events: Events, sdk: Asking
) -> None:
    """A sync or async `identify` tells the user to calls of coroutines and of threads, in concurrent requests."""

    async def endpoint(request: Request) -> None:
        if where == "coroutine":
            await sdk.aask()
        elif where == "thread":
            await asyncio.to_thread(sdk.ask)
        else:
            await asyncio.get_running_loop().run_in_executor(None, sdk.ask)

    async with browser(app_of(endpoint, meter, identify)) as client:
        await asyncio.gather(*(client.get("/", headers={"user": f"user-{n}"}) for n in range(4)))

    assert sorted(event.user_id or "" for event in events) == ["user-0", "user-1", "user-2", "user-3"]
    assert health.counters() == {}


@pytest.mark.parametrize("identify", [by_header, by_header_async])
async def test_identify_for_a_blocking_call_on_the_loop(
    identify: Callable[[HTTPConnection], Any], meter: Meter, events: Events, sdk: Asking
) -> None:
    """A synchronous call in a coroutine is identified too, as long as an async `identify` waits for nothing."""

    async def endpoint(request: Request) -> None:
        sdk.ask()

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/", headers={"user": "jane"})

    assert events.one().user_id == "jane"


async def test_identify_that_waits_and_a_blocking_call_on_the_loop(
    meter: Meter, events: Events, sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """A synchronous call cannot wait for `identify` on its own loop: the call goes through, and the next async one asks."""
    begun: list[str] = []

    async def identify(connection: HTTPConnection) -> str:
        begun.append("once more")
        await asyncio.sleep(0.001)
        return "jane"

    async def endpoint(request: Request) -> None:
        sdk.ask()
        sdk.ask()
        await sdk.aask()

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/")

    assert [event.user_id for event in events] == [None, None, "jane"]
    assert len(begun) == 2
    assert health.counters() == {"identify_awaited": 1}
    assert "use the SDK's async client" in caplog.text


async def test_identify_is_asked_once(meter: Meter, events: Events, sdk: Asking) -> None:
    """Concurrent first calls, from tasks and threads, wait for the one asking."""
    asked: list[HTTPConnection] = []

    async def identify(connection: HTTPConnection) -> str:
        asked.append(connection)
        await asyncio.sleep(0.02)
        return "jane"

    async def endpoint(request: Request) -> None:
        await asyncio.gather(*(sdk.aask() for _ in range(4)), *(asyncio.to_thread(sdk.ask) for _ in range(4)))

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/")

    assert len(asked) == 1
    assert [event.user_id for event in events] == ["jane"] * 8


async def test_identify_is_asked_again_after_its_asker_was_cancelled(meter: Meter, events: Events, sdk: Asking) -> None:
    """A first call that is cancelled while it asks does not leave the others waiting, nor without a user."""
    asked = 0

    async def identify(connection: HTTPConnection) -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(60 if asked == 1 else 0)
        return "jane"

    async def endpoint(request: Request) -> None:
        first = asyncio.create_task(sdk.aask())
        while not asked:
            await asyncio.sleep(0)
        second = asyncio.create_task(sdk.aask())
        await asyncio.sleep(0)
        first.cancel()
        await second

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/")

    assert asked == 2
    assert events.one().user_id == "jane"


async def test_waiting_for_identify_can_be_cancelled(meter: Meter, events: Events, sdk: Asking) -> None:
    """A call that is cancelled while it waits for another one's asking disturbs nobody."""
    goes_on = asyncio.Event()

    async def identify(connection: HTTPConnection) -> str:
        await goes_on.wait()
        return "jane"

    async def endpoint(request: Request) -> None:
        first, second = asyncio.create_task(sdk.aask()), asyncio.create_task(sdk.aask())
        await asyncio.sleep(0.005)
        second.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        await first

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/")

    assert events.one().user_id == "jane"


async def test_identify_may_call_a_provider_itself(meter: Meter, events: Events, sdk: Asking) -> None:
    """An `identify` that makes a call is not asked for that call, which has no user."""

    async def identify(connection: HTTPConnection) -> str:
        await sdk.aask("who is that?")
        return "jane"

    def identify_sync(connection: HTTPConnection) -> str:
        sdk.ask("who is that?")
        return "tom"

    async def endpoint(request: Request) -> None:
        await sdk.aask()

    for asked in (identify, identify_sync):
        async with browser(app_of(endpoint, meter, asked)) as client:
            await client.get("/")

    assert [event.user_id for event in events] == [None, "jane", None, "tom"]


async def test_identify_is_not_asked_without_a_call(meter: Meter) -> None:
    """A request without a GenAI call is never looked at."""
    asked: list[object] = []

    async def endpoint(request: Request) -> None: ...

    async with browser(app_of(endpoint, meter, asked.append)) as client:
        await client.get("/")

    assert asked == []


async def test_blocking_call_while_identify_runs_elsewhere(meter: Meter, events: Events, sdk: Asking) -> None:
    """A synchronous call on the loop does not wait for an `identify` that needs the loop."""
    started = asyncio.Event()

    async def identify(connection: HTTPConnection) -> str:
        started.set()
        await asyncio.sleep(0.01)
        return "jane"

    async def endpoint(request: Request) -> None:
        first = asyncio.create_task(sdk.aask())
        await started.wait()
        sdk.ask()
        await first

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/")

    assert sorted(event.user_id or "" for event in events) == ["", "jane"]
    assert health.counters()["identify_awaited"] == 1


async def test_identify_of_another_loop(meter: Meter, events: Events, standin: StandIn) -> None:
    """A thread with an event loop of its own asks on the loop that serves the request, where the pools are."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def identify(connection: HTTPConnection) -> str:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return "jane"

    async def elsewhere() -> None:
        theirs = Asking(standin)
        await theirs.aask()
        await theirs.close()

    async def endpoint(request: Request) -> None:
        await asyncio.to_thread(asyncio.run, elsewhere())

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/")

    assert loops == [asyncio.get_running_loop()]
    assert events.one().user_id == "jane"


class Role(str, Enum):  # its str() is not its value
    ADMIN = "admin"


UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.parametrize(
    ("answer", "user", "account"),
    [
        ("jane", "jane", None),
        ("  jane ", "jane", None),
        (4711, "4711", None),
        (UUID, str(UUID), None),
        (Role.ADMIN, "admin", None),
        ({"user_id": "jane", "account_name": "acme"}, "jane", "acme"),
        ({"user_id": 4711}, "4711", None),
        ({"user_id": None, "account_name": "acme"}, None, "acme"),
        (Attribution(user_id="jane", account_name="acme"), "jane", "acme"),
        (None, None, None),
        ("", None, None),
        ({}, None, None),
    ],
)
async def test_forms_of_the_answer(
    answer: object, user: str | None, account: str | None, meter: Meter, events: Events, sdk: Asking
) -> None:
    """A user id (text, a number, a UUID), a mapping, an `Attribution`, or nothing."""

    async def endpoint(request: Request) -> None:
        await sdk.aask()

    async with browser(app_of(endpoint, meter, lambda _: answer)) as client:
        await client.get("/")

    event = events.one()
    assert (event.user_id, event.account_name) == (user, account)
    assert health.counters() == {}


async def test_a_whole_attribution(meter: Meter, events: Events, sdk: Asking) -> None:
    """`identify` may tell every field, and its use case comes before the route's."""
    told = Attribution(
        user_id="jane",
        request_tags=("a", "b"),
        request_properties={"plan": "pro"},
        use_case_name="Other",
        use_case_id="17",
        use_case_version=3,
        use_case_step="first",
        use_case_properties={"k": "v"},
        limit_ids=("lim-1",),
        limit_tags=("team",),
        price_as="gpt-4o",
        resource_scope="global",
    )

    async def endpoint(request: Request) -> None:
        await sdk.aask()

    async with browser(app_of(endpoint, meter, lambda _: told)) as client:
        await client.get("/")

    assert events.one().attribution == told


class Unreadable:
    """What no `repr` or `str` can be had of."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class BrokenMapping(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        return iter(("user_id",))

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (True, "identify_answer"),
        (3.5, "identify_answer"),
        (object(), "identify_answer"),
        (Unreadable(), "identify_answer"),
        (b"jane", "identify_answer"),
        (["jane"], "identify_answer"),
        ({"user": "jane"}, "identify_fields"),
        ({7: "jane"}, "identify_fields"),
        ({"user_id": ["jane"]}, "field_dropped"),
        ({"user_id": {"id": 1}}, "field_dropped"),
        ({"user_id": True}, "field_dropped"),
        ({"user_id": b"jane"}, "field_dropped"),
        ({"user_id": Unreadable()}, "field_dropped"),
        ("ja\x00ne", "field_dropped"),
        (BrokenMapping(), "identify_raised"),
        (RuntimeError("no database"), "identify_raised"),
        (LookupError(), "identify_raised"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_nonsense_is_counted(
    answer: object,
    kind: str,
    is_async: bool,
    meter: Meter,
    events: Events,
    sdk: Asking,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An `identify` that raises or answers nonsense: the calls go through, the user is unknown, once counted and logged."""

    def identify(connection: HTTPConnection) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def endpoint(request: Request) -> None:
        await (sdk.aask() if is_async else asyncio.to_thread(sdk.ask))
        await sdk.aask()

    with caplog.at_level(logging.WARNING, "payi_middleware"):
        async with browser(app_of(endpoint, meter, identify)) as client:
            response = await client.get("/")

    assert response.text == "ok"
    assert [event.user_id for event in events] == [None, None]
    assert health.counters() == {kind: 1}
    assert len(caplog.records) == 1
    if kind == "identify_raised":
        assert caplog.records[0].exc_info


async def test_traceback_of_a_failure_is_logged_once(
    meter: Meter, events: Events, sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """Each request that cannot be identified is counted; the first is logged with its traceback."""

    def identify(connection: HTTPConnection) -> str:
        raise RuntimeError("no database")

    async def endpoint(request: Request) -> None:
        await sdk.aask()

    async with browser(app_of(endpoint, meter, identify)) as client:
        for _ in range(3):
            await client.get("/")

    assert len(events) == 3
    assert health.counters()["identify_raised"] == 3
    assert caplog.text.count("RuntimeError: no database") == 1


async def test_slow_identify_does_not_hold_a_thread_for_ever(
    meter: Meter, events: Events, sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread waits a bounded time for an async `identify`, then calls without a user."""
    monkeypatch.setattr("payi_middleware.identify.PATIENCE", 0.01)
    cancelled: list[bool] = []

    async def identify(connection: HTTPConnection) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return "jane"

    async def endpoint(request: Request) -> None:
        await asyncio.to_thread(sdk.ask)
        await asyncio.sleep(0)

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/")

    assert events.one().user_id is None
    assert cancelled == [True]
    assert health.counters() == {"identify_raised": 1}


class Registered(BaseUser):
    is_authenticated = True

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def identity(self) -> str:
        if self.name == "broken":
            raise RuntimeError("no database")
        return self.name


class Nameless(BaseUser):
    """A user that has nothing but what Starlette demands."""

    is_authenticated = True
    display_name = "Jane Doe"


class Authenticating(AuthenticationBackend):
    def __init__(self, user: BaseUser) -> None:
        self.user = user

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        return AuthCredentials(), self.user


@pytest.mark.parametrize(
    ("user", "known"),
    [
        (SimpleUser("jane"), "jane"),  # it has no identity
        (Registered("jane"), "jane"),
        (Registered(""), None),
        (Nameless(), "Jane Doe"),
        (UnauthenticatedUser(), None),
    ],
)
@pytest.mark.parametrize("outside", [False, True])
async def test_starlette_user(
    user: BaseUser, known: str | None, outside: bool, meter: Meter, events: Events, sdk: Asking
) -> None:
    """Without `identify` the user of Starlette's authentication counts, whether that stands before or behind ours."""
    ours, theirs = Middleware(PayiMiddleware, meter), Middleware(AuthenticationMiddleware, Authenticating(user))

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", endpoint)], middleware=[theirs, ours] if outside else [ours, theirs])

    async with browser(app) as client:
        await client.get("/")

    assert events.one().user_id == known
    assert health.counters() == {}


async def test_user_that_cannot_be_told(meter: Meter, events: Events, sdk: Asking) -> None:
    """A user object that raises leaves the call unattributed and recorded."""
    middleware = [
        Middleware(AuthenticationMiddleware, Authenticating(Registered("broken"))),
        Middleware(PayiMiddleware, meter),
    ]

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    async with browser(Starlette(routes=[Route("/", endpoint)], middleware=middleware)) as client:
        await client.get("/")

    assert events.one().user_id is None
    assert health.counters() == {"identity_raised": 1}


class Incomparable(SimpleUser):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


async def test_user_that_cannot_be_compared(meter: Meter, events: Events, sdk: Asking) -> None:
    """Whatever the application's user object does, its calls go through and are recorded."""

    async def endpoint(request: Request) -> None:
        for name in ("jane", "tom"):
            request.scope["user"] = Incomparable(name)
            await sdk.aask()

    async with browser(app_of(endpoint, meter)) as client:
        await client.get("/")

    assert [event.user_id for event in events] == ["jane", None]
    assert health.counters() == {"attribution": 1}


async def test_identify_takes_the_place_of_the_frameworks_user(meter: Meter, events: Events, sdk: Asking) -> None:
    """Where the application answers itself, the framework's user does not count, even if it answers nobody."""
    middleware = [
        Middleware(AuthenticationMiddleware, Authenticating(SimpleUser("tom"))),
        Middleware(PayiMiddleware, meter, identify=lambda connection: connection.headers.get("user")),
    ]

    async def endpoint(request: Request) -> Response:
        await sdk.aask()
        return PlainTextResponse("ok")

    async with browser(Starlette(routes=[Route("/", endpoint)], middleware=middleware)) as client:
        await client.get("/", headers={"user": "jane"})
        await client.get("/")

    assert [event.user_id for event in events] == ["jane", None]


async def test_user_who_logs_in_during_the_request(meter: Meter, events: Events, sdk: Asking) -> None:
    """A call before the authentication is nobody's, one after it the user's."""

    async def endpoint(request: Request) -> None:
        await sdk.aask()
        request.scope["user"] = SimpleUser("jane")
        await sdk.aask()

    async with browser(app_of(endpoint, meter)) as client:
        await client.get("/")

    assert [event.user_id for event in events] == [None, "jane"]


async def test_current_asks_identify(meter: Meter, events: Events, sdk: Asking) -> None:
    """`current().attribution` and `.carrier()` tell the user before any call was made, and the asking counts as the one."""
    asked: list[object] = []

    async def identify(connection: HTTPConnection) -> str:
        asked.append(connection)
        return "jane"

    app = FastAPI()

    @app.get("/")
    async def endpoint() -> str | None:
        user = current().attribution.user_id
        await sdk.aask()
        return user

    app.add_middleware(PayiMiddleware, meter, identify=identify)

    async with browser(app) as client:
        answer = await client.get("/")

    assert answer.json() == "jane"
    assert events.one().user_id == "jane"
    assert len(asked) == 1


async def test_thread_waits_for_the_one_who_asked_first(meter: Meter, events: Events, sdk: Asking) -> None:
    """A call of another thread waits for a sync `identify` that runs already; if it lasts too long it goes without."""
    begun, goes_on = threading.Event(), threading.Event()
    asked: list[object] = []

    def identify(connection: HTTPConnection) -> str:
        asked.append(connection)
        begun.set()
        goes_on.wait(5)
        return "jane"

    async def endpoint(request: Request) -> None:
        first = asyncio.create_task(asyncio.to_thread(sdk.ask))
        await asyncio.to_thread(begun.wait, 5)
        second = asyncio.create_task(asyncio.to_thread(sdk.ask))
        await asyncio.sleep(0.02)
        goes_on.set()
        await asyncio.gather(first, second)

    async with browser(app_of(endpoint, meter, identify)) as client:
        await client.get("/")

    assert len(asked) == 1
    assert [event.user_id for event in events] == ["jane", "jane"]


# --- edges of asking


@pytest.mark.parametrize("where", ["coroutine", "thread", "loop"])
async def test_identify_that_waits_for_something_cancelled(
    where: str, meter: Meter, events: Events, sdk: Asking
) -> None:
    """An `identify` whose own task was cancelled leaves the user unknown; its CancelledError is not the request's."""

    async def identify(connection: HTTPConnection) -> str:
        if where == "loop":
            raise asyncio.CancelledError
        inner = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        inner.cancel()
        await inner
        return "jane"

    async def endpoint(request: Request) -> None:
        if where == "coroutine":
            await sdk.aask()
        elif where == "thread":
            await asyncio.to_thread(sdk.ask)
        else:
            sdk.ask()

    async with browser(app_of(endpoint, meter, identify)) as client:
        assert (await client.get("/")).text == "ok"

    assert events.one().user_id is None
    assert health.counters() == {"identify_raised": 1}


async def test_request_that_is_cancelled_while_it_asks(meter: Meter, events: Events, sdk: Asking) -> None:
    """The request's own cancellation reaches the application."""
    ended: list[str] = []

    async def identify(connection: HTTPConnection) -> str:
        await asyncio.sleep(60)
        return "jane"

    async def endpoint(request: Request) -> None:
        asking = asyncio.current_task()
        assert asking is not None
        asyncio.get_running_loop().call_later(0.01, asking.cancel)
        try:
            await sdk.aask()
        except asyncio.CancelledError:
            ended.append("cancelled")
            asking.uncancel()

    async with browser(app_of(endpoint, meter, identify)) as client:
        assert (await client.get("/")).text == "ok"

    assert ended == ["cancelled"]
    assert len(events) == 0
    assert health.counters() == {}


async def test_asking_that_is_thrown_away(meter: Meter, sdk: Asking) -> None:
    """A call that is thrown away in another context while it asks raises nothing of ours."""
    seen: list[BaseException | None] = []

    async def identify(connection: HTTPConnection) -> str:
        await asyncio.Event().wait()
        return "jane"

    async def endpoint(request: Request) -> None:
        asking = current().acarrier()
        contextvars.copy_context().run(asking.send, None)
        try:
            asking.close()
            seen.append(None)
        except BaseException as error:
            seen.append(error)

    async with browser(app_of(endpoint, meter, identify)) as client:
        assert (await client.get("/")).text == "ok"

    assert seen == [None]


def test_claim_after_the_answer() -> None:
    """Who looks before another call's answer and claims after it does not ask again."""
    activity = Activity(None)
    assert activity.claim() is None
    activity.identified(Given(user_id="jane"))

    asked = activity.claim()
    assert asked is not None
    assert asked.done()


@pytest.mark.skipif(sys.platform == "win32", reason="gevent")
def test_async_identify_under_gevent() -> None:
    """Greenlets share one thread, where only one loop can run: each request's async `identify` is answered all the same."""
    ended = run(
        """
        from gevent import monkey; monkey.patch_all()
        import asyncio, gevent, httpx2
        from flask import Flask
        from mocked import URL, answer
        from payi_middleware import Meter, health
        from payi_middleware.flask import Payi
        from payi_middleware.sinks.memory import MemorySink

        sink = MemorySink()
        meter = Meter("sqlite:///:memory:", sinks=[sink])
        client = httpx2.Client(transport=httpx2.MockTransport(answer))

        async def identify(request):
            name = request.args["user"]
            await asyncio.sleep(0.02)
            return name

        app = Flask("app")
        Payi(app, meter, identify=identify)

        @app.get("/")
        def view():
            client.post(URL, json={"model": "gpt-4o-mini", "messages": []})
            return "ok"

        names = ["a", "b", "c", "d"]
        gevent.joinall([gevent.spawn(lambda name=name: app.test_client().get("/?user=" + name)) for name in names])
        meter.flush()
        print(sorted(str(event.user_id) for event in sink.events), health.counters())
        """,
        env=environment(**GREENLETS),
    )

    assert (ended.stdout, ended.stderr) == ("['a', 'b', 'c', 'd'] {}\n", "")
