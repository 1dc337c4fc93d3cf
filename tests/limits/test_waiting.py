"""A future of another thread, awaited by several, each for a time of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest
import uvloop

from payi_middleware.limits.waiting import shared, within


async def test_who_is_cancelled_cancels_it_for_nobody() -> None:
    """What comes later is the others' alone."""
    loop, waiting = asyncio.get_running_loop(), Future[int]()
    one, other = shared(waiting, loop), shared(waiting, loop)
    one.cancel()
    loop.call_later(0.01, waiting.set_result, 7)
    assert await within(other, 5, loop) == 7
    assert one.cancelled()
    assert await within(other, 0, loop) == 7  # it is there: nobody waits


async def test_an_error_is_everybodys() -> None:
    """As it was raised."""
    loop, waiting = asyncio.get_running_loop(), Future[int]()
    found = shared(waiting, loop)
    waiting.set_exception(LookupError("no"))
    with pytest.raises(LookupError, match="no"):
        await within(found, 5, loop)


async def test_what_takes_too_long_may_still_come() -> None:
    """And finds nobody."""
    loop, waiting = asyncio.get_running_loop(), Future[int]()
    found = shared(waiting, loop)
    with pytest.raises(TimeoutError):
        await within(found, 0.01, loop)
    waiting.set_result(7)
    await asyncio.sleep(0)
    assert isinstance(found.exception(), TimeoutError)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_what_came_while_the_loop_was_held_up_came_in_time(run: Callable[..., Any]) -> None:
    """A handler that computes for longer than the patience, and an answer that is there before that: it is no timeout."""
    waiting: Future[int] = Future()

    def compute() -> None:
        other = threading.Thread(target=waiting.set_result, args=(7,))
        other.start()
        other.join()
        time.sleep(0.05)

    async def ask() -> Any:
        loop = asyncio.get_running_loop()
        loop.call_soon(compute)
        return await within(shared(waiting, loop), 0.02, loop)

    assert run(ask()) == 7


def test_what_comes_when_the_loop_is_closed() -> None:
    """Nobody waits any more, and whoever brings it does not fail."""
    waiting: Future[int] = Future()

    async def leave() -> None:
        shared(waiting, asyncio.get_running_loop())

    asyncio.run(leave())
    waiting.set_result(7)
    assert waiting.exception() is None
