"""A future of another thread, awaited by several, each for a time of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

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


def test_what_comes_when_the_loop_is_closed() -> None:
    """Nobody waits any more, and whoever brings it does not fail."""
    waiting: Future[int] = Future()

    async def leave() -> None:
        shared(waiting, asyncio.get_running_loop())

    asyncio.run(leave())
    waiting.set_result(7)
    assert waiting.exception() is None
