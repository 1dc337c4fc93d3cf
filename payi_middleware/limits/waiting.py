"""Waiting in a coroutine for what another thread does, without its outcome being cancelled for others."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

__all__ = ["polled", "shared", "within"]


def shared(waiting: Future[Any], loop: asyncio.AbstractEventLoop) -> asyncio.Future[Any]:
    """What others wait for, too: unlike with `asyncio.wrap_future`, who is cancelled cancels it for nobody."""
    found: asyncio.Future[Any] = loop.create_future()

    def take() -> None:
        if found.done():
            return
        error = waiting.exception()
        if error is None:
            found.set_result(waiting.result())
        else:
            found.set_exception(error)

    def done(_: Future[Any]) -> None:
        try:
            loop.call_soon_threadsafe(take)
        except RuntimeError:  # the loop is closed: nobody waits
            pass

    waiting.add_done_callback(done)
    return found


async def within(found: asyncio.Future[Any], seconds: float, loop: asyncio.AbstractEventLoop) -> Any:
    """What another thread does; TimeoutError if it takes longer."""
    if not found.done():
        timer = loop.call_later(seconds, _late, found)
        try:
            return await found
        finally:
            timer.cancel()
    return found.result()


def _late(found: asyncio.Future[Any]) -> None:
    """One turn more, for what came in time: where the loop was held up, uvloop does what is due before what other threads gave."""
    if not found.done():
        found.get_loop().call_soon(_too_late, found)


def _too_late(found: asyncio.Future[Any]) -> None:
    if not found.done():
        found.set_exception(TimeoutError())


async def polled(waiting: Future[Any], seconds: float) -> Any:
    """On another library's loop, which the client's own libraries reach by anyio."""
    import anyio

    ends = anyio.current_time() + seconds
    while not waiting.done() and anyio.current_time() < ends:  # noqa: ASYNC110  # what is waited for runs in a thread
        await anyio.sleep(0.0005)
    return waiting.result(0)
