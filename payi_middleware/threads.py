"""Carrying the running frame into threads, where Python carries no context.

`Thread.start` and `ThreadPoolExecutor.submit` (which `run_in_executor` uses) are patched, so that what runs there has
the frame of whoever started it. Nothing else of the context is carried.
"""

from __future__ import annotations

import functools
import threading
import types
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from . import context
from ._patches import Patches
from .frames import Frame

__all__ = ["patch", "unpatch"]

_patches = Patches()
_active = False


def patch() -> None:
    """Carry frames from now on."""
    global _active
    _active = True
    _patches.put(threading.Thread, "start", _starting)
    _patches.put(ThreadPoolExecutor, "submit", _submitting)


def unpatch() -> None:
    """Put back what is still ours, and carry no more."""
    global _active
    _active = False
    _patches.undo()


def _starting(original: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(original)
    def start(self: threading.Thread) -> None:
        frame = context.frame.get()
        if frame is None or not _active:
            original(self)
            return
        before = self.__dict__.get("run")
        run = functools.partial(_run_thread, before, frame, self.run)
        # A method, because others (Sentry) take `run` apart and hand it the thread.
        self.run = types.MethodType(run, self)  # type: ignore[method-assign]
        try:
            original(self)
        except BaseException:
            _restore(self, before)
            raise

    return start


def _run_thread(before: Any, frame: Frame, run: Callable[[], None], thread: threading.Thread) -> None:
    _restore(thread, before)  # who keeps the thread must not keep the frame, and with it a request
    _run(frame, run)


def _restore(thread: threading.Thread, before: Any) -> None:
    if before is None:
        thread.__dict__.pop("run", None)
    else:
        thread.run = before  # type: ignore[method-assign]


def _run(frame: Frame, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = context.frame.set(frame)
    try:
        return function(*args, **kwargs)
    finally:
        context.frame.reset(token)


def _submitting(original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
    @functools.wraps(original)
    def submit(self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        frame = context.frame.get()
        if frame is None or not _active:
            return original(self, function, *args, **kwargs)
        # The pool may start a thread now, which lives on: the job carries the frame, the thread must not.
        token = context.frame.set(None)
        try:
            return original(self, functools.partial(_run, frame, function), *args, **kwargs)
        finally:
            context.frame.reset(token)

    return submit
