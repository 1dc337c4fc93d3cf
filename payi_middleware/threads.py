"""Carrying what runs into threads, where Python carries no context.

`Thread.start` and `ThreadPoolExecutor.submit` (which `run_in_executor` uses) are patched, so that what runs there has the frame
of whoever started it, and the call that is being sent; once somebody uses them, also the methods of `multiprocessing`'s
`ThreadPool`. Nothing else of the context is carried.
"""

from __future__ import annotations

import functools
import sys
import threading
import types
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, TypeVar

from . import context
from ._patches import Patches
from .call import Call, owner
from .frames import Frame

__all__ = ["patch", "unpatch"]

Carried: TypeAlias = "tuple[Frame | None, Call | None]"
T = TypeVar("T")

_POOL = "multiprocessing.pool"
_POOL_METHODS = ("apply_async", "imap", "imap_unordered", "map", "map_async", "starmap", "starmap_async")
_WORKERS = frozenset(
    (
        _POOL,
        "multiprocessing.queues",
        "concurrent.futures.process",
        "concurrent.futures.thread",
        "anyio._backends._asyncio",
        "trio._core._thread_cache",
        "logging.handlers",
    )
)
"""Where threads come from that live on and do one job after another, for whomever it is: each job carries its own."""

_patches = Patches()
_active = False


def patch() -> None:
    """Carry from now on."""
    global _active
    _active = True
    _patches.put(threading.Thread, "start", _starting)
    _patches.put(ThreadPoolExecutor, "submit", _submitting)
    _patch_pools()


def _patch_pools() -> None:
    """The same for `multiprocessing`'s pools of threads, if they are loaded: to import them takes longer than all of ours."""
    pool: Any = getattr(sys.modules.get(_POOL), "ThreadPool", None)
    if pool is None:
        return
    for name in _POOL_METHODS:
        _patches.put(pool, name, functools.partial(_mapping, pool))


def unpatch() -> None:
    """Put back what is still ours, and carry no more."""
    global _active
    _active = False
    _patches.undo()


def _carried() -> Carried | None:
    """What runs here, for whoever is to carry on with it."""
    frame, call = context.frame.get(), owner.get()
    return None if not _active or (frame is None and call is None) else (frame, call)


def _run(carried: Carried, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    frame, call = context.frame.set(carried[0]), owner.set(carried[1])
    try:
        return function(*args, **kwargs)
    finally:
        context.restore(owner, call)
        context.restore(context.frame, frame)


_NOTHING: Carried = (None, None)


def _starting(original: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        carried = _carried()
        if _active and _is_worker(self):
            _patch_pools()  # before the first job of the first pool
            _run(_NOTHING, original, self)
        elif carried is None:
            original(self)
        else:
            _start(original, self, carried)

    return start


def _is_worker(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    return type(thread).__module__ in _WORKERS or getattr(target, "__module__", None) in _WORKERS


def _start(original: Callable[[threading.Thread], None], thread: threading.Thread, carried: Carried) -> None:
    before = thread.__dict__.get("run")
    run = functools.partial(_run_thread, before, carried, thread.run)
    # A method, because others (Sentry) take `run` apart and hand it the thread.
    thread.run = types.MethodType(run, thread)  # type: ignore[method-assign]
    try:
        original(thread)
    except BaseException:
        _restore(thread, before)
        raise


def _run_thread(before: Any, carried: Carried, run: Callable[[], None], thread: threading.Thread) -> None:
    _restore(thread, before)  # who keeps the thread must not keep the frame, and with it a request
    _run(carried, run)


def _restore(thread: threading.Thread, before: Any) -> None:
    if before is None:
        thread.__dict__.pop("run", None)
    else:
        thread.run = before  # type: ignore[method-assign]


def _submitting(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        carried = _carried()
        if carried is None:
            return original(self, function, *args, **kwargs)
        return original(self, functools.partial(_run, carried, function), *args, **kwargs)

    return submit


def _mapping(pool: type[Any], original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def put(self: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        carried = _carried()
        if carried is None or not isinstance(self, pool):  # a process cannot take it
            return original(self, func, *args, **kwargs)
        return original(self, functools.partial(_run, carried, func), *args, **kwargs)

    return put
