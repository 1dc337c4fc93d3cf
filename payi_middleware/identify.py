"""Asking the application who a request is for: its `identify`, at most once a request, by whichever call comes first.

Calls come from coroutines and from code that cannot await, on the event loop and in threads, several at once; `identify` may be
sync or async. It runs on the loop that serves the request, since what it uses (a pool of connections) may live there.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from concurrent.futures import Future
from typing import Any

from . import context, health
from .attribution import NOTHING, Given
from .frames import Activity, given_by

__all__ = ["ask", "ask_async"]

PATIENCE = 5.0
"""Seconds that a thread waits for an `identify` that runs elsewhere."""


class _SuspendedError(RuntimeError):
    """An async `identify` had to wait for something, and its caller could not."""

    def __init__(self) -> None:
        super().__init__(
            "an async identify that waits for something cannot be asked by a synchronous call on the event loop; "
            "use the SDK's async client there, or make the call in a thread"
        )


def ask(activity: Activity) -> None:
    """Ask `identify` from code that cannot await. Never raises."""
    while activity.needs_identify() and context.identifying.get() is not activity:
        if activity.unsteppable and _running_loop() is not None:
            return
        asking = activity.claim()
        if asking is None:
            _ask_now(activity)
        elif not _answered(asking):
            return


def _ask_now(activity: Activity) -> None:
    token = context.identifying.set(activity)
    given: Given | None = None
    try:
        answer = _identify(activity)
        given = given_by(_finished(answer, activity) if inspect.isawaitable(answer) else answer)
    except _SuspendedError:
        activity.unsteppable = True  # a call that can await may still ask
        _failed()
    except Exception:
        given = NOTHING
        _failed()
    finally:
        context.identifying.reset(token)
        activity.identified(given)


async def ask_async(activity: Activity) -> None:
    """Ask `identify` from a coroutine. Raises nothing but the coroutine's own cancellation."""
    while activity.needs_identify() and context.identifying.get() is not activity:
        asking = activity.claim()
        if asking is None:
            await _ask_first(activity)
        else:
            await _wait_async(asking)


async def _ask_first(activity: Activity) -> None:
    token = context.identifying.set(activity)
    given: Given | None = None
    try:
        answer = _identify(activity)
        given = given_by(await _on_its_loop(answer, activity) if inspect.isawaitable(answer) else answer)
    except Exception:
        _failed()
        given = NOTHING
    finally:  # also if this coroutine is cancelled: then the next call asks
        context.identifying.reset(token)
        activity.identified(given)


def _identify(activity: Activity) -> Any:
    assert activity.face is not None
    return activity.face.identify(activity.request)


def _failed() -> None:
    health.note("identify_raised", "identify raised; the user of the request is unknown", exc_info=True)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _answered(asking: Future[None]) -> bool:
    """Wait until what another call asked is answered, unless that would hold up the loop on which it may have to run."""
    try:
        asking.result(PATIENCE if _running_loop() is None else 0)
    except TimeoutError:
        health.note("identify_awaited", "identify has not answered yet; the user of a call is unknown")
        return False
    return True


async def _wait_async(asking: Future[None]) -> None:
    if _running_loop() is not None:
        await asyncio.wrap_future(asking)
        return
    import anyio  # another library's loop, which the client's own libraries reach by anyio

    while not asking.done():  # noqa: ASYNC110  # what is waited for may run in any thread
        await anyio.sleep(0.001)


def _finished(awaitable: Awaitable[Any], activity: Activity) -> Any:
    """The answer of an async `identify`, for a caller that cannot await."""
    here, its = _running_loop(), activity.loop
    if its is not None and its is not here and its.is_running():
        return _from_thread(awaitable, its)
    if here is None:
        return asyncio.run(_awaited(awaitable))
    return _stepped(_awaited(awaitable))


def _from_thread(awaitable: Awaitable[Any], loop: asyncio.AbstractEventLoop) -> Any:
    answer = asyncio.run_coroutine_threadsafe(_awaited(awaitable), loop)
    try:
        return answer.result(PATIENCE)
    except TimeoutError:
        answer.cancel()
        raise


def _stepped(coroutine: Any) -> Any:
    """The answer of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise _SuspendedError


async def _on_its_loop(awaitable: Awaitable[Any], activity: Activity) -> Any:
    its = activity.loop
    if its is None or its is _running_loop() or not its.is_running():
        return await awaitable
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(awaitable), its))


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
