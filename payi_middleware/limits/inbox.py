"""What waits for a thread of ours, and how that thread waits for it.

Where it can, it waits in a pipe. Who writes to one lets go of the interpreter meanwhile, and the kernel takes it that the writer is
about to wait, so that the reader runs next, on the same processor. Woken by a lock it would mostly run on another, that has to be
woken itself, and then wait for the interpreter: three times as long, and on some machines ten times.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import time
import types
from collections import deque
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Inbox", "inbox"]

T = TypeVar("T")


class Inbox(Protocol[T]):
    """Items for one thread, from any."""

    def put(self, item: T) -> None:
        """Never waits; the garbage collector may call it anywhere."""

    def take(self, most: int, patience: float | None) -> list[T]:
        """All that waits, so many at most; perhaps nothing, after so many seconds, or at once where none are told."""
        ...

    def empty(self) -> bool:
        """Whether nothing waits."""
        ...

    def leave(self) -> None:
        """In a forked child: it is the parent's."""


def inbox() -> Inbox[Any]:
    """The quicker one, if threads are the system's own; where a library has made greenlets of them, that may only wait its way."""
    is_plain = os.name == "posix" and isinstance(time.sleep, types.BuiltinFunctionType)
    return _Piped() if is_plain and queue.SimpleQueue.__module__ == "_queue" else _Queued()


class _Queued(Generic[T]):
    def __init__(self) -> None:
        # Looked up now, and not imported by name: gevent may have replaced it.
        self._queue: queue.SimpleQueue[T] = queue.SimpleQueue()
        self.put = self._queue.put
        self.empty = self._queue.empty

    def take(self, most: int, patience: float | None) -> list[T]:
        try:
            items = [self._queue.get(timeout=patience) if patience != 0 else self._queue.get_nowait()]
        except queue.Empty:
            return []
        while not self._queue.empty() and len(items) < most:
            items.append(self._queue.get())
        return items

    def leave(self) -> None:
        pass


class _Piped(Generic[T]):
    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._is_waiting = False
        self._ends = (-1, -1)
        """To read and to write; made by the thread that waits, before it first does."""

    def put(self, item: T) -> None:
        # The thread says that it waits and then looks again; here it is first put and then looked: one of both sees the other.
        self._items.append(item)
        if self._is_waiting:
            self._is_waiting = False
            with contextlib.suppress(BlockingIOError):  # it is full: the thread is awake
                os.write(self._ends[1], b".")

    def empty(self) -> bool:
        return not self._items

    def take(self, most: int, patience: float | None) -> list[T]:
        items = self._items
        if not items and patience != 0:
            self._wait(patience)
        if len(items) <= 1:
            return [items.popleft()] if items else []
        return [items.popleft() for _ in range(min(most, len(items)))]

    def leave(self) -> None:
        ends, self._ends = self._ends, (-1, -1)
        for end in ends:
            if end >= 0:
                os.close(end)

    def _wait(self, patience: float | None) -> None:
        if self._ends[0] < 0 and not self._opened():
            time.sleep(0.001)
            return
        self._is_waiting = True
        if not self._items and (patience is None or _can_be_read(self._ends[0], patience)):
            os.read(self._ends[0], 1024)
        self._is_waiting = False

    def _opened(self) -> bool:
        try:
            self._ends = os.pipe()
        except OSError:  # the process has too many files open
            return False
        os.set_blocking(self._ends[1], False)
        return True

    __del__ = leave  # nobody has it any more, so nobody writes to what may be another's file by then


def _can_be_read(end: int, seconds: float) -> bool:
    ready = select.poll()
    ready.register(end, select.POLLIN)
    return bool(ready.poll(1000 * seconds))
