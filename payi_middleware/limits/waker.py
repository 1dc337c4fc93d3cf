"""The way back into an event loop: a thread of ours gives futures of that loop their results.

asyncio has one, `call_soon_threadsafe`. What is here does the same with half of its work: a pipe that the loop reads, made once for
each loop, instead of a handle, a context, a message to a socket and two looks into it for each result. It is for asyncio's own
loops, on systems where those can read a pipe; others, uvloop's first of all, have a quick way already.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import time
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

__all__ = ["Waker", "make_waker", "waker_of"]

T = TypeVar("T")

_OFTEN: Final = 8  # a loop that is made for one request, as Flask's are, is not worth it


class Waker(Generic[T]):
    """Hands things from any thread to a function that the loop calls.

    Args:
        loop: The running one.
        take: What is called with each.

    Raises:
        NotImplementedError, OSError: The loop cannot read a pipe, or none can be had.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, take: Callable[[T], None]) -> None:
        self._ends = (-1, -1)
        self._given: deque[T] = deque()
        self._take = take
        self._ends = os.pipe()
        for end in self._ends:
            os.set_blocking(end, False)
        # In nobody's context: the loop would keep the one of whoever happens to ask first.
        contextvars.Context().run(loop.add_reader, self._ends[0], _reader(weakref.ref(self)))

    def give(self, some: Iterable[T]) -> None:
        """From any thread; if the loop is closed, nobody waits any more."""
        self._given.extend(some)
        with contextlib.suppress(BlockingIOError):  # it is full: the loop has not looked for long, and will
            os.write(self._ends[1], b".")

    def read(self) -> None:
        """What was given so far. Called by the loop."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._ends[0], 1024)
        given = self._given
        while given:
            self._take(given.popleft())

    def __del__(self) -> None:
        # Not before: whoever has it may write, and the number may be another file's by then.
        for end in self._ends:
            if end >= 0:
                os.close(end)


def make_waker(loop: asyncio.AbstractEventLoop, take: Callable[[T], None]) -> None:
    """One for the running loop, if it is asked for often, has none and can have one. `take` is always the same."""
    if not isinstance(loop, asyncio.SelectorEventLoop):
        return
    found = _wakers.get(loop, 0)
    if isinstance(found, int):
        _wakers[loop] = found + 1 if found < _OFTEN else _made(loop, take)


def waker_of(loop: asyncio.AbstractEventLoop) -> Waker[Any] | None:
    """The one of a loop, if it has one; for any thread."""
    found = _wakers.get(loop) if isinstance(loop, asyncio.SelectorEventLoop) else None
    return None if isinstance(found, int) else found


def _made(loop: asyncio.AbstractEventLoop, take: Callable[[T], None]) -> Waker[T] | None:
    is_plain = os.name == "posix" and isinstance(time.sleep, types.BuiltinFunctionType)  # no greenlets
    try:
        return Waker(loop, take) if is_plain else None
    except (NotImplementedError, OSError):
        return None


def _reader(waker: weakref.ref[Waker[Any]]) -> Callable[[], None]:
    """A loop that is closed may be kept, but not what it read."""

    def read() -> None:
        found = waker()
        if found is not None:
            found.read()

    return read


_wakers: weakref.WeakKeyDictionary[asyncio.SelectorEventLoop, Waker[Any] | int | None] = weakref.WeakKeyDictionary()
"""Of a loop that has none yet, how often it was asked for."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_wakers.clear)  # a loop of the parent's is not run here
