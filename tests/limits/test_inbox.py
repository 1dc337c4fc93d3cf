"""How a thread of ours is given its work, and how it gives results to event loops."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time
import weakref
from typing import Any

import pytest
import uvloop
from forking import in_child
from garbage import collect

from payi_middleware.limits import inbox as inboxes
from payi_middleware.limits.inbox import inbox
from payi_middleware.limits.waker import Waker, make_waker, waker_of


def some_inbox(kind: str) -> Any:
    return inbox() if kind == "piped" else inboxes._Queued()


def make_now(loop: asyncio.AbstractEventLoop) -> None:
    for _ in range(9):
        make_waker(loop, print)


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.mark.parametrize("kind", ["piped", "queued"])
def test_all_that_is_put_is_taken_in_its_order(kind: str) -> None:
    """By four threads, with a taker that mostly waits."""
    box, count = some_inbox(kind), 500

    def put(n: int) -> None:
        for i in range(count):
            box.put((n, i))
            if i % 50 == 0:
                time.sleep(0.001)

    threads = [threading.Thread(target=put, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    taken: list[tuple[int, int]] = []
    while len(taken) < 4 * count:
        some = box.take(7, None)
        assert len(some) <= 7
        taken += some
    for thread in threads:
        thread.join()
    assert box.empty()
    assert all([i for n, i in taken if n == one] == list(range(count)) for one in range(4))


@pytest.mark.parametrize("kind", ["piped", "queued"])
def test_patience(kind: str) -> None:
    box = some_inbox(kind)
    assert box.take(5, 0) == []
    began = time.monotonic()
    assert box.take(5, 0.02) == []
    assert time.monotonic() - began > 0.015
    box.put(1)
    assert box.take(5, 0.02) == [1]
    threading.Timer(0.02, box.put, [2]).start()
    assert box.take(5, 5) == [2]


def test_without_files_to_open_it_waits_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    box = some_inbox("piped")
    monkeypatch.setattr(os, "pipe", none_left)
    assert box.take(5, None) == []
    box.put(1)
    assert box.take(5, None) == [1]


def test_greenlets_wait_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a pipe would hold up all of them."""
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: real(seconds))
    assert isinstance(inbox(), inboxes._Queued)


def test_an_inbox_leaves_no_files() -> None:
    before = descriptors()
    box = some_inbox("piped")
    assert box.take(5, 0.001) == []
    assert descriptors() == before + 2
    del box
    assert descriptors() == before
    box = some_inbox("piped")
    box.take(5, 0.001)

    def leave() -> str:
        there = descriptors()
        box.leave()
        return str(there - descriptors())

    assert in_child(leave) == "2"


async def test_results_come_in_their_order() -> None:
    """From several threads to one loop, also more of them than a pipe takes marks."""
    taken: list[int] = []
    loop = asyncio.get_running_loop()
    waker: Waker[int] = Waker(loop, taken.append)
    for n in range(70_000):
        waker.give([n])
    threading.Thread(target=waker.give, args=([70_000, 70_001],)).start()
    while len(taken) < 70_002:
        await asyncio.sleep(0.001)
    assert taken == list(range(70_002))


def test_each_loop_has_its_own_and_takes_it_along() -> None:
    collect()  # what other tests left may hold descriptors
    before = descriptors()

    async def ask() -> weakref.ref[Any]:
        loop, before = asyncio.get_running_loop(), descriptors()
        make_waker(loop, print)
        assert waker_of(loop) is None
        assert descriptors() == before  # a loop of one request alone
        make_now(loop)
        waker = waker_of(loop)
        assert waker is not None
        make_waker(loop, print)
        assert waker_of(loop) is waker
        return weakref.ref(waker)

    found = [asyncio.run(ask()) for _ in range(3)]
    collect()
    assert [one() for one in found] == [None, None, None]
    assert descriptors() == before


def test_a_closed_loop_takes_nothing_more() -> None:
    taken: list[int] = []

    async def ask() -> Waker[int]:
        return Waker(asyncio.get_running_loop(), taken.append)

    waker = asyncio.run(ask())
    waker.give([1])
    assert taken == []


def test_a_loop_keeps_nobodys_context() -> None:
    class Request:
        pass

    of_request: contextvars.ContextVar[Request] = contextvars.ContextVar("of_request")

    async def ask() -> weakref.ref[Request]:
        of_request.set(request := Request())
        make_now(asyncio.get_running_loop())
        return weakref.ref(request)

    with asyncio.Runner() as runner:
        found = runner.run(ask(), context=contextvars.copy_context())
        collect()
        assert found() is None


def test_other_loops_have_a_way_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As have those that cannot read a pipe."""

    async def ask() -> bool:
        make_now(loop := asyncio.get_running_loop())
        return waker_of(loop) is None

    assert uvloop.run(ask())
    real = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: real(seconds))
    assert asyncio.run(ask())
    monkeypatch.undo()
    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", lambda *given: os.stat("/nowhere"))
    assert asyncio.run(ask())


def test_a_forked_child_has_none_of_its_parents() -> None:
    async def ask() -> str:
        make_now(loop := asyncio.get_running_loop())
        return in_child(lambda: str(waker_of(loop)))

    assert asyncio.run(ask()) == "None"
