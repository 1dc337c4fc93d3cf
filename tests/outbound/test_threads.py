"""Threads: what a request starts is the request's, and what outlives it is not."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from exchanges import ANSWER, REQUEST, URL, Watched, mock
from garbage import collect

from payi_middleware import context, current, frames, health, instrument, threads, track, uninstrument


@pytest.fixture
def ask(watched: Watched) -> Iterator[Callable[[], None]]:
    """Makes a call."""
    with httpx2.Client(transport=mock(httpx2, ANSWER)) as client:
        yield lambda: client.post(URL, content=REQUEST).close()


def users(watched: Watched) -> list[str | None]:
    return [event.user_id for event in watched.events]


def test_a_thread(ask: Callable[[], None], watched: Watched) -> None:
    """A thread, one of a subclass with its own `run`, and a timer carry the request that started them."""

    class Own(threading.Thread):
        def run(self) -> None:
            ask()

    with track(user_id="jane"):
        started = [threading.Thread(target=ask), Own(), threading.Timer(0, ask)]
        for thread in started:
            thread.start()
    for thread in started:
        thread.join()
    assert users(watched) == ["jane"] * 3


def test_a_thread_started_by_nobody(ask: Callable[[], None], watched: Watched) -> None:
    """It is nobody's."""
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert users(watched) == [None]


def test_a_run_method_of_its_own(ask: Callable[[], None], watched: Watched) -> None:
    """A thread whose `run` was replaced on the object runs that, and has it afterwards."""
    thread = threading.Thread()
    thread.run = ask  # type: ignore[method-assign]
    with track(user_id="jane"):
        thread.start()
    thread.join()
    assert thread.run is ask
    assert users(watched) == ["jane"]


def test_others_take_run_apart(ask: Callable[[], None], watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentry unbinds `run` and calls it with the thread; both orders of patching work."""

    def taking_apart(start: Any) -> Any:
        def theirs(self: threading.Thread) -> None:
            run = getattr(self.run, "__func__", self.run)
            self.run = lambda: run(self)  # type: ignore[method-assign]
            start(self)

        return theirs

    def run() -> None:
        with track(user_id="jane"):
            thread = threading.Thread(target=ask)
            thread.start()
        thread.join()

    uninstrument()
    monkeypatch.setattr(threading.Thread, "start", taking_apart(threading.Thread.start))
    instrument(watched.meter)
    run()
    uninstrument()
    monkeypatch.undo()
    instrument(watched.meter)
    monkeypatch.setattr(threading.Thread, "start", taking_apart(threading.Thread.start))
    run()
    assert users(watched) == ["jane", "jane"]


def test_a_thread_that_is_kept_keeps_no_request(watched: Watched) -> None:
    """Who keeps a thread object must not keep the request that started it."""
    with track(user_id="jane"):
        frame = context.frame.get()
        assert frame is not None
        request = weakref.ref(frame.activity)
        thread = threading.Thread(target=int)
        thread.start()
    thread.join()
    del frame
    collect()
    assert request() is None


def test_a_thread_that_cannot_start(watched: Watched) -> None:
    """It raises what it raises, and is as it was."""
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    with track(user_id="jane"), pytest.raises(RuntimeError, match="once"):
        thread.start()
    assert "run" not in thread.__dict__


def test_an_executor(ask: Callable[[], None], watched: Watched) -> None:
    """`submit` and `map` carry the request of whoever calls them, with arguments, answers and errors as ever."""
    with ThreadPoolExecutor(2) as pool, track(user_id="jane"):
        assert pool.submit(lambda a, *, b: (ask(), a + b)[1], 1, b=2).result() == 3
        assert list(pool.map(lambda n: (ask(), n)[1], [1, 2])) == [1, 2]
        assert isinstance(pool.submit(lambda: 1 / 0).exception(), ZeroDivisionError)
    assert users(watched) == ["jane"] * 3


async def test_the_loops_executor(ask: Callable[[], None], watched: Watched) -> None:
    """`run_in_executor` and `to_thread` too."""
    loop = asyncio.get_running_loop()
    with track(user_id="jane"):
        await loop.run_in_executor(None, ask)
        await asyncio.to_thread(ask)
    await loop.run_in_executor(None, ask)
    assert users(watched) == ["jane", "jane", None]


def test_a_pools_thread_started_in_a_request(ask: Callable[[], None], watched: Watched) -> None:
    """The pool's thread starts in Jane's request, lives on, and works for John and for nobody."""
    with ThreadPoolExecutor(1) as pool:
        with track(user_id="jane"):
            pool.submit(ask).result()
        with track(user_id="john"):
            pool.submit(ask).result()
        pool.submit(ask).result()
        with track(user_id="jane"):
            pool.submit(ask).result()
    assert users(watched) == ["jane", "john", None, "jane"]


def test_a_worker_started_in_a_request_is_not_its_for_ever(
    ask: Callable[[], None], watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that begins long after its request ended is unattributed, and counted as late."""
    go, done = threading.Semaphore(0), threading.Semaphore(0)

    def work() -> None:
        for _ in range(2):
            go.acquire()
            ask()
            done.release()

    with track(user_id="jane"):
        worker = threading.Thread(target=work)
        worker.start()
    go.release()
    done.acquire()
    monkeypatch.setattr(frames, "LATE_SECONDS", -1)
    go.release()
    worker.join()
    assert users(watched) == ["jane", None]
    assert [event.origin for event in watched.events] == ["track", "track"]
    assert health.counters()["late"] == 1


def test_what_is_told_while_a_thread_runs(ask: Callable[[], None], watched: Watched) -> None:
    """The thread shares the request: what it tells of it holds for both, and its calls are in the request's cost."""
    with track():
        thread = threading.Thread(target=lambda: (current().set(user_id="jane"), ask()))
        thread.start()
        thread.join()
        ask()
        assert current().calls == 2
    assert users(watched) == ["jane", "jane"]


def test_threads_can_be_left_alone(ask: Callable[[], None], unhooked: Watched) -> None:
    """`instrument(threads=False)` leaves `Thread` and executors as they are, and `uninstrument` puts them back."""
    uninstrument()
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    instrument(unhooked.meter, threads=False)
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit)
    instrument(unhooked.meter)
    assert threading.Thread.start is not start
    assert ThreadPoolExecutor.submit is not submit
    uninstrument()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit)


def test_somebody_patches_over_us_and_we_are_installed_again(
    ask: Callable[[], None], watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither calls itself for ever: ours below theirs carries, and does nothing when it is not wanted."""
    plain = threading.Thread.start
    calls: list[Any] = []

    def theirs(self: threading.Thread) -> None:
        calls.append(self)
        plain(self)

    monkeypatch.setattr(threading.Thread, "start", theirs)
    instrument(watched.meter)

    def run() -> None:
        with track(user_id="jane"):
            thread = threading.Thread(target=ask)
            thread.start()
        thread.join()

    run()
    assert users(watched) == ["jane"]
    threads.unpatch()
    run()
    assert users(watched) == ["jane", None]
    assert len(calls) >= 2
    assert threading.Thread.start is theirs


def test_a_pool_without_carrying(ask: Callable[[], None], watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under somebody else's patch of `submit` ours does nothing when it is not wanted."""
    ours = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda self, *a, **k: ours(self, *a, **k))
    threads.unpatch()
    with ThreadPoolExecutor(1) as pool, track(user_id="jane"):
        pool.submit(ask).result()
    assert users(watched) == [None]
