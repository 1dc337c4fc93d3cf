"""Code that outlives the request or block it was started in, and opens blocks of its own."""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from decimal import Decimal
from typing import Any

import pytest
from asking import Asking, browser, ids
from garbage import collect
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from payi_middleware import Meter, PayiMiddleware, context, current, frames, health, instrument, track, use_case
from payi_middleware.attribution import MAX_LAYERS
from payi_middleware.frames import Block
from payi_middleware.testing import Events


@pytest.fixture(autouse=True)
def _hooked(meter: Meter) -> None:
    instrument(meter)


def app_of(endpoint: Any, meter: Meter) -> Starlette:
    return Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(PayiMiddleware, meter)])


async def test_task_that_outlives_its_request(
    meter: Meter, events: Events, sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker task started in Jane's request keeps nothing of it in the blocks that it opens long after."""
    jobs: asyncio.Queue[tuple[str, asyncio.Event]] = asyncio.Queue()
    started: list[asyncio.Task[None]] = []

    async def work() -> None:
        while True:
            user, done = await jobs.get()
            with track(user_id=user):
                await sdk.aask()
            done.set()

    @use_case("Ask")
    async def endpoint(request: Request) -> Response:
        if not started:
            started.append(asyncio.create_task(work()))
        done = asyncio.Event()
        await jobs.put((request.query_params["user"], done))
        await done.wait()
        return PlainTextResponse("ok")

    async with browser(app_of(endpoint, meter)) as client:
        await client.get("/?user=jane", headers=ids("jane", request_tags="janes"))
        monkeypatch.setattr(frames, "LATE_SECONDS", -1)
        await client.get("/?user=tom")
    started[0].cancel()

    first, second = events
    assert (first.user_id, first.attribution.request_tags, first.inbound.http_route) == ("jane", ("janes",), "/")
    assert (second.user_id, second.attribution.request_tags, second.use_case_name) == ("tom", (), None)
    assert second.origin == "track"
    assert "late" not in health.counters()


async def test_carrier_in_a_worker_of_another_request(meter: Meter, events: Events, sdk: Asking) -> None:
    """A carrier's block has nothing of what is around it, and gives that back at its end."""
    jobs: queue.Queue[Any] = queue.Queue()
    started: list[threading.Thread] = []
    done = threading.Semaphore(0)

    def work() -> None:
        while job := jobs.get():
            before = context.frame.get()
            with track.from_carrier(job):
                sdk.ask()
            assert context.frame.get() is before
            done.release()

    @use_case("Enqueue")
    async def endpoint(request: Request) -> Response:
        if not started:
            current().set(request_tags=["janes"], account_name="acme")
            started.append(threading.Thread(target=work))
            started[0].start()
        jobs.put(current().carrier())
        return PlainTextResponse("ok")

    async with browser(app_of(endpoint, meter)) as client:
        await client.get("/", headers=ids("jane"))
        await asyncio.to_thread(done.acquire)
        await client.get("/", headers=ids("tom"))
        await asyncio.to_thread(done.acquire)
    jobs.put(None)
    started[0].join()

    first, second = (event.attribution for event in events)
    assert (first.user_id, first.account_name, first.request_tags) == ("jane", "acme", ("janes",))
    assert (second.user_id, second.account_name, second.request_tags) == ("tom", None, ())
    assert first.use_case_id != second.use_case_id


def test_function_that_starts_itself_again(
    events: Events, blocking_sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracked function that starts itself by a timer is a new activity each time, however long that goes on."""
    monkeypatch.setattr(frames, "LATE_SECONDS", -1)
    timers: list[threading.Timer] = []

    @track(user_id="system")
    @use_case("Tick")
    def tick() -> None:
        blocking_sdk.ask()
        if len(timers) < 3:
            timers.append(threading.Timer(0.02, tick))
            timers[-1].start()

    tick()
    for timer in timers:
        timer.join()
    while len(timers) < 3 or timers[-1].is_alive():
        timers[-1].join()

    assert [event.user_id for event in events] == ["system"] * 4
    assert len({event.attribution.use_case_id for event in events}) == 4
    assert "late" not in health.counters()


def test_thread_that_goes_on_when_its_block_has_ended(events: Events, blocking_sdk: Asking) -> None:
    """A thread begun in a script's block is still for whom the block was, in blocks of its own too, as another activity."""
    ended = threading.Event()
    costs: list[Decimal] = []

    def work() -> None:
        ended.wait(10)
        with use_case("Later"):
            blocking_sdk.ask()
            costs.append(current().cost)

    with track(user_id="jane", account_name="acme"):
        thread = threading.Thread(target=work)
        thread.start()
        blocking_sdk.ask()
    ended.set()
    thread.join()

    first, second = events
    assert (second.user_id, second.account_name, second.use_case_name) == ("jane", "acme", "Later")
    assert first.cost is not None
    assert costs == [first.cost.total]


def test_block_that_starts_itself_again_keeps_nothing() -> None:
    """What began in a block long ended holds neither it nor those before it in memory."""
    blocks: list[weakref.ref[Any]] = []

    async def run() -> None:
        done = asyncio.Event()

        async def poll() -> None:
            await asyncio.sleep(0)
            with track(user_id="system"):
                frame = context.frame.get()
                assert isinstance(frame, Block)
                blocks.append(weakref.ref(frame.activity))
                if len(blocks) < 50:
                    asyncio.get_running_loop().call_soon(lambda: tasks.append(asyncio.create_task(poll())))
                else:
                    done.set()

        tasks = [asyncio.create_task(poll())]
        await done.wait()
        while not tasks[-1].done():
            await asyncio.sleep(0)
        del tasks[:-1]
        collect()
        assert sum(block() is not None for block in blocks) < 5

    asyncio.run(run())


def test_blocks_without_end() -> None:
    """Blocks opened in one another without end cost no more than a few, and mean the same."""

    def descend(depth: int) -> int:
        with track(user_id=f"user-{depth}", request_tags=[f"t{depth % 3}"]):
            if depth:
                return descend(depth - 1)
            frame = context.frame.get()
            who = current().attribution
            assert (who.user_id, sorted(who.request_tags), who.account_name) == ("user-0", ["t0", "t1", "t2"], "acme")
            return frame.depth  # type: ignore[union-attr]

    with track(account_name="acme", user_id="outermost"):
        assert descend(200) <= MAX_LAYERS + 1
        assert current().attribution.user_id == "outermost"
    assert context.frame.get() is None


def test_blocks_without_end_that_cannot_be_one() -> None:
    """Also where what they tell cannot be said at once, as of one use case in another."""

    def descend(depth: int) -> None:
        with use_case(f"Case-{depth}", step=f"step-{depth}"):
            if depth:
                descend(depth - 1)
                return
            frame, who = context.frame.get(), current().attribution
            assert (who.use_case_name, who.use_case_step, who.user_id) == ("Case-0", "step-0", "jane")
            assert frame.depth <= MAX_LAYERS + 1  # type: ignore[union-attr]

    with track(user_id="jane"):
        descend(100)


def test_inner_block_names_the_outer_ones_meter(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """`track(meter=m)` inside a block that would use that very meter is an ordinary inner block."""
    with track(user_id="jane", request_tags=["a"]):
        with track(meter=meter, request_tags=["b"]):
            blocking_sdk.ask()

    event = events.one()
    assert (event.user_id, event.attribution.request_tags) == ("jane", ("a", "b"))
