"""Pools and forks: workers that live on belong to nobody, their jobs to whoever gave them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import Pool, ThreadPool
from typing import Any

import httpx2
import pytest
from asking import Asking, browser
from exchanges import ANSWER, REQUEST, mock
from fastapi import FastAPI
from flask import Flask, request
from garbage import collect

from payi_middleware import Meter, PayiMiddleware, context, current, instrument, track, uninstrument
from payi_middleware.flask import Payi
from payi_middleware.testing import Events

URL = "https://api.openai.com/v1/chat/completions"


@pytest.fixture(autouse=True)
def _hooked(meter: Meter) -> None:
    instrument(meter)


def user(*_: object) -> str | None:
    return current().attribution.user_id


def clean(*_: object) -> bool:
    """Whether nothing runs in this thread or process but what is told here."""
    return context.frame.get() is None


JOBS: dict[str, Callable[[ThreadPool], Any]] = {
    "apply": lambda pool: [pool.apply(user)],
    "apply_async": lambda pool: [pool.apply_async(user, (1,)).get()],
    "map": lambda pool: pool.map(user, [1]),
    "map_async": lambda pool: pool.map_async(func=user, iterable=[1]).get(),
    "starmap": lambda pool: pool.starmap(user, [(1, 2)]),
    "starmap_async": lambda pool: pool.starmap_async(user, [(1, 2)]).get(),
    "imap": lambda pool: list(pool.imap(user, [1])),
    "imap_unordered": lambda pool: list(pool.imap_unordered(user, [1])),
}


@pytest.mark.parametrize("job", JOBS)
def test_threadpool(job: str) -> None:
    """A `ThreadPool` made in Jane's request works for whoever gives it a job, and for nobody."""
    do = JOBS[job]
    with track(user_id="jane"):
        pool = ThreadPool(1)
    with pool:
        for name in ("jane", "tom"):
            with track(user_id=name):
                assert do(pool) == [name]
        assert do(pool) == [None]


def test_threadpool_that_was_there_before(meter: Meter) -> None:
    """A pool made before the hook carries its jobs too, and no more when that is undone."""
    uninstrument()
    plain = Pool.map
    with ThreadPool(1) as pool:
        with track(user_id="jane"):
            assert pool.map(user, [1]) == [None]
        instrument(meter)
        with track(user_id="jane"):
            assert pool.map(user, [1]) == ["jane"]
        uninstrument()
        with track(user_id="jane"):
            assert pool.map(user, [1]) == [None]
    assert Pool.map is plain


def test_threadpool_of_a_flask_application(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A pool that one request makes is not that request's: everyone pays their own."""
    app = Flask(__name__)
    Payi(app, meter, identify=lambda request: request.args["user"])
    pools: list[ThreadPool] = []

    @app.get("/")
    def view() -> str:
        if not pools:
            pools.append(ThreadPool(2))
        pools[0].map(blocking_sdk.ask, ["Hello"])
        return request.args["user"]

    for name in ("jane", "tom"):
        app.test_client().get(f"/?user={name}")
    pools[0].terminate()
    pools[0].join()

    assert [event.user_id for event in events] == ["jane", "tom"]


FORKING = "ignore:.*fork:DeprecationWarning"  # Python warns of the threads that this process has


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings(FORKING)
@pytest.mark.parametrize("kind", ["executor", "pool"])
def test_processes_made_in_a_request(kind: str) -> None:
    """Processes that are forked in Jane's request live on, so that their calls are nobody's rather than hers."""
    with track(user_id="jane"):
        if kind == "executor":
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as executor:
                assert executor.submit(clean).result()
        else:
            with multiprocessing.get_context("fork").Pool(1) as pool:
                assert pool.map(clean, [1]) == [True]
        assert user() == "jane"


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.filterwarnings(FORKING)
def test_fork_in_a_block() -> None:
    """A forked child starts with nothing of its parent's request, and leaves its blocks without harm."""
    with track(user_id="jane"):
        child = os.fork()
        if not child:
            code = 1
            try:
                with track(account_name="acme"):
                    told = (user(), current().attribution.account_name)
                code = 0 if told == (None, "acme") and clean() else 1
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        assert user() == "jane"


async def test_requests_are_not_kept_by_worker_threads(meter: Meter) -> None:
    """A thread of AnyIO's pool, started in a request, keeps nothing of it: its jobs run in contexts of their own."""
    app = FastAPI()
    scopes: list[weakref.ref[Any]] = []

    class Kept:
        pass

    @app.middleware("http")
    async def keeping(request: Any, call_next: Any) -> Any:
        request.state.kept = kept = Kept()
        scopes.append(weakref.ref(kept))
        return await call_next(request)

    barrier = threading.Barrier(5, timeout=5)

    @app.get("/")
    def endpoint() -> int:
        return barrier.wait()

    app.add_middleware(PayiMiddleware, meter)
    async with browser(app) as client:
        await asyncio.gather(*(client.get("/") for _ in range(5)))
    await asyncio.sleep(0)
    collect()

    assert len(scopes) == 5
    assert [scope for scope in scopes if scope() is not None] == []


def test_an_executors_threads_are_nobodys() -> None:
    """Nor does a thread of an executor keep the request that it was started in."""
    with ThreadPoolExecutor(1) as pool:
        with track(user_id="jane"):
            frame = context.frame.get()
            assert frame is not None
            activity = weakref.ref(frame.activity)
            assert pool.submit(user).result() == "jane"
        del frame
        collect()
        assert activity() is None


@pytest.mark.parametrize("user_id", ["jane", None])
@pytest.mark.parametrize("by", ["executor", "thread"])
async def test_a_transport_that_sends_in_a_thread(by: str, user_id: str | None, meter: Meter, events: Events) -> None:
    """An async transport that sends by a synchronous client in a thread is one exchange, inside a block and outside."""

    class InThread(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answers: list[httpx2.Response] = []
            with httpx2.Client(transport=mock(httpx2, ANSWER)) as inner:

                def send() -> None:
                    answers.append(inner.post(str(request.url), content=request.content))

                if by == "executor":
                    await asyncio.get_running_loop().run_in_executor(None, send)
                else:
                    thread = threading.Thread(target=send)
                    thread.start()
                    thread.join()
            return httpx2.Response(200, content=answers[0].content)

    async def ask() -> None:
        async with httpx2.AsyncClient(transport=InThread()) as client:
            await client.post(URL, content=REQUEST)

    if user_id:
        with track(user_id=user_id):
            await ask()
    else:
        await ask()

    assert events.one().user_id == user_id
