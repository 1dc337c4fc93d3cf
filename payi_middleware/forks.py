"""Forks and the threads that work in the background: nothing is copied half done.

A fork waits until no thread is `at_work`, and none begins before it is over. A thread that waits itself, for another process's
lock say, gives way meanwhile: it `rest`s. Longest it waits for modules that are being imported: a child could never end that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

__all__ = ["at_work", "away", "hold", "is_near", "keep", "loading", "release", "reset", "rest", "was_quiet"]

LOADING_PATIENCE = 30.0
"""Seconds a fork waits for an import: without bytecode, on a loaded machine, that of the rates takes several."""


class _Gate:
    """How many threads are at work, and whether a fork is under way."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # by itself it is quicker than through the condition
        self.changed = threading.Condition(self.lock)
        self.working = 0
        self.loading = 0
        self.forking = False
        self.quiet = True

    def enter(self) -> None:
        with self.lock:
            while self.forking:
                self.changed.wait()
            self.working += 1

    def leave(self) -> None:
        with self.lock:
            self.working -= 1
            if self.forking:
                self.changed.notify_all()

    def load(self, more: int) -> None:
        with self.lock:
            self.loading += more
            if self.forking:
                self.changed.notify_all()

    def hold(self, mine: int, patience: float) -> bool:
        """Wait until nobody but `mine` is at work, `patience` seconds from when nothing is imported any more."""
        longest = time.monotonic() + LOADING_PATIENCE
        while not self.changed.wait_for(lambda: self.working <= mine, patience):
            if not self.loading or time.monotonic() > longest:
                return False
            self.changed.wait_for(lambda: not self.loading, longest - time.monotonic())
        return True


_gate = _Gate()
_mine = threading.local()
"""`gate`: the one that this thread went through to its work."""
_kept: list[object] = []


class _AtWork:
    """A block of work; written out, since a ledger enters one for each of its many short transactions."""

    __slots__ = ("_through",)

    def __enter__(self) -> None:
        gate = _gate
        self._through = None if _entered() is gate else gate
        if self._through is not None:
            gate.enter()
            _mine.gate = gate

    def __exit__(self, *exc: object) -> None:
        gate = self._through
        if gate is not None and _entered() is gate:  # else this is a child that was forked from within
            _mine.gate = None
            gate.leave()


def at_work() -> AbstractContextManager[None]:
    """What is done within is not copied half done."""
    return _AtWork()


@contextmanager
def loading() -> Iterator[None]:
    """Work that imports modules, which a child that got them half done would have half done for ever."""
    with at_work():
        gate = _gate
        gate.load(1)
        try:
            yield
        finally:
            gate.load(-1)


def rest(seconds: float) -> None:
    """Sleep; a fork may happen meanwhile, and under gevent other greenlets run."""
    with away():
        time.sleep(seconds)


@contextmanager
def away() -> Iterator[None]:
    """Within work: what is done within waits for somebody, and may be copied half done. A fork may happen meanwhile."""
    gate = _entered()
    if gate is None:
        yield
        return
    _mine.gate = None
    gate.leave()
    try:
        yield
    finally:
        gate.enter()
        _mine.gate = gate


def is_near() -> bool:
    """Whether who begins to work now would wait for a fork."""
    return _gate.forking


def hold(patience: float) -> bool:
    """Before a fork: nobody begins to work until `release`.

    Returns:
        Whether all came to an end within `patience` seconds, beside the time that imports took.
    """
    gate = _gate
    with gate.changed:
        gate.forking = True
        mine = 1 if _entered() is gate else 0
        gate.quiet = False  # until it is known, as this may be broken off
        gate.quiet = gate.hold(mine, patience)
        return gate.quiet


def release() -> None:
    """After a fork, in the parent: work goes on."""
    with _gate.changed:
        _gate.forking = False
        _gate.changed.notify_all()


def reset() -> None:
    """After a fork, in the child: the parent's other threads are not here."""
    global _gate
    quiet, _gate = _gate.quiet, _Gate()
    _gate.quiet = quiet
    _mine.gate = None


def was_quiet() -> bool:
    """In a child: whether nobody in the parent was at work when it was forked."""
    return _gate.quiet


def keep(thing: object) -> None:
    """Let nothing ever finalize this, not even the interpreter's end: it is the parent's, or its files are others' by now."""
    _kept.append(thing)
    try:
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    except (ImportError, AttributeError):  # not CPython
        pass


def _entered() -> _Gate | None:
    gate: _Gate | None = getattr(_mine, "gate", None)
    return gate
