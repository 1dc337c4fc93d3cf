"""Asking the application who a request is for: its `identify`, at most once a request, by whichever call comes first.

Calls come from coroutines and from code that cannot await, on the event loop and in threads, several at once; `identify` may be
sync or async. It runs on the loop that serves the request, since what it uses (a pool of connections) may live there.

asyncio is imported where there is something to await: a synchronous application that has no use for it does not load it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import uuid
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from . import context, health
from .attribution import NOTHING, Given, clean, is_plain
from .events import Attribution
from .frames import Activity

if TYPE_CHECKING:
    import asyncio

__all__ = ["ask", "ask_async", "given_by", "is_asking"]

PATIENCE = 5.0
"""Seconds that a thread waits for an `identify` that runs elsewhere."""

_identifying: ContextVar[Activity | None] = ContextVar("payi_identifying", default=None)
"""The request whose `identify` is running here: a call that it makes itself must not ask it again."""


_NOT_HERE = (
    "an async identify that waits for something cannot be asked by synchronous code on the event loop; the user is unknown: "
    "use the SDK's async client and `await current().acarrier()` there, or run that code in a thread"
)


class _SuspendedError(RuntimeError):
    """An async `identify` had to wait for something, and its caller could not."""


def ask(activity: Activity) -> None:
    """Ask `identify` from code that cannot await. Never raises."""
    while activity.needs_identify() and _identifying.get() is not activity:
        if activity.unsteppable and _running_loop() is not None:
            return
        asking = activity.claim()
        if asking is None:
            _ask_now(activity)
        elif not _answered(asking):
            return


def is_asking(activity: Activity) -> bool:
    """Whether it is this request's `identify` that runs here."""
    asked = _identifying.get()
    return asked is not None and asked.request is activity.request


def _ask_now(activity: Activity) -> None:
    token = _identifying.set(activity)
    given: Given | None = None
    try:
        answer = _identify(activity)
        given = given_by(_finished(answer, activity) if inspect.isawaitable(answer) else answer)
    except _SuspendedError:
        activity.unsteppable = True  # a call that can await may still ask
        health.note("identify_awaited", _NOT_HERE)
    except Exception:
        given = NOTHING
        _failed()
    except BaseException as error:
        if not _is_cancellation(error):
            raise
        given = NOTHING  # cancelled was something that identify waited for: this code cannot be
        _failed()
    finally:
        context.restore(_identifying, token)
        activity.identified(given)


async def ask_async(activity: Activity) -> None:
    """Ask `identify` from a coroutine. Raises nothing but the coroutine's own cancellation."""
    while activity.asks and activity.identity is None and _identifying.get() is not activity:
        asking = activity.claim()
        if asking is None:
            await _ask_first(activity)
        else:
            await _wait_async(asking)


async def _ask_first(activity: Activity) -> None:
    token = _identifying.set(activity)
    given: Given | None = None
    try:
        answer = _identify(activity)
        if type(answer) is not str and inspect.isawaitable(answer):
            answer = await _on_its_loop(answer, activity)
        given = given_by(answer)
    except Exception:
        _failed()
        given = NOTHING
    except BaseException as error:
        if not _is_cancellation(error) or _is_cancelled():
            raise
        _failed()
        given = NOTHING
    finally:  # also if this coroutine is cancelled: then the next call asks
        context.restore(_identifying, token)
        activity.identified(given)


def _is_cancellation(error: BaseException) -> bool:
    import asyncio

    return isinstance(error, asyncio.CancelledError)


def _is_cancelled() -> bool:
    """Whether this very task is to end, and not only something that `identify` waited for."""
    import asyncio

    task = None if _running_loop() is None else asyncio.current_task()
    return task is None or task.cancelling() > 0


def _identify(activity: Activity) -> Any:
    assert activity.face is not None
    return activity.face.identify(activity.request)


def _failed() -> None:
    health.note("identify_raised", "identify raised; the user of the request is unknown", exc_info=True)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _answered(asking: Future[None]) -> bool:
    """Wait until what another call asked is answered, unless that would hold up the loop on which it may have to run."""
    on_loop = _running_loop() is not None
    try:
        asking.result(0 if on_loop else PATIENCE)
    except TimeoutError:
        waited = f"identify has not answered after {PATIENCE:.0f} seconds; the user of a call is unknown"
        health.note("identify_awaited", _NOT_HERE if on_loop else waited)
        return False
    return True


async def _wait_async(asking: Future[None]) -> None:
    if _running_loop() is not None:
        import asyncio

        await asyncio.wrap_future(asking)
        return
    import anyio  # another library's loop, which the client's own libraries reach by anyio

    while not asking.done():  # noqa: ASYNC110  # what is waited for may run in any thread
        await anyio.sleep(0.001)


def _finished(awaitable: Awaitable[Any], activity: Activity) -> Any:
    """The answer of an async `identify`, for a caller that cannot await."""
    import asyncio

    here, its = _running_loop(), activity.loop
    if its is not None and its is not here and its.is_running():
        return _from_thread(awaitable, its)
    threadpool = _gevents()
    if threadpool is not None:
        return threadpool.apply(copy_context().run, (asyncio.run, _awaited(awaitable)))
    if here is None:
        return asyncio.run(_awaited(awaitable))
    return _stepped(_awaited(awaitable))


def _gevents() -> Any:
    """gevent's real threads, if this is one of its greenlets: they share a thread, where only one loop can run."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return None
    return sys.modules["gevent"].get_hub().threadpool


def _from_thread(awaitable: Awaitable[Any], loop: asyncio.AbstractEventLoop) -> Any:
    import asyncio

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
    import asyncio

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_awaited(awaitable), its))


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def given_by(answer: object) -> Given:
    """What an `identify` answered: a user id, a mapping of fields, an `Attribution`, or nothing."""
    if answer is None:
        return NOTHING
    if is_plain(answer):
        return _given_by_user(answer)
    if isinstance(answer, Attribution):
        told = {name: getattr(answer, name) for name in Attribution.__struct_fields__}
        return clean(**{name: value for name, value in told.items() if value})
    if isinstance(answer, Mapping):
        known = {str(name): value for name, value in answer.items() if name in Given.__struct_fields__}
        if len(known) < len(answer):
            others = sorted(str(name) for name in answer if name not in known)
            health.note("identify_fields", "identify returned fields that are none of ours: %s", health.shown(others))
        return clean(**known)
    if isinstance(answer, (str, int, uuid.UUID)) and not isinstance(answer, bool):
        return clean(user_id=answer)
    health.note(
        "identify_answer",
        "identify returned %s, which is neither a user id, a mapping nor an Attribution; the user is unknown",
        health.shown(type(answer)),
    )
    return NOTHING


@functools.lru_cache(maxsize=4096)
def _given_by_user(user_id: str) -> Given:
    """Users come again and again."""
    return clean(user_id=user_id)
