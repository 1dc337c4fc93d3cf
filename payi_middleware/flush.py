"""The named thread that drains the spool to the sinks.

It sleeps while nothing was written, then lingers for `flush_interval` seconds so that calls share a transaction: nothing is lost by
that, the spool has them. Behind a transaction it lingers once more: while calls come, none of them needs to wake it. A flush wakes
it at once. It starts with the first record, in the process that wrote it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from . import context, forks, health
from .exceptions import StoreError

__all__ = ["Flusher", "Postponed"]

LONGEST_PAUSE = 30.0
"""Seconds between two tries, at most, while a sink refuses; and between two looks around."""


class Postponed(Exception):  # noqa: N818 - it reads as what it is
    """Raised by `drain`, which has said why: what waits is to be tried again after so many seconds, or when somebody flushes."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Flusher:
    """Runs `drain` when there is something to drain.

    Args:
        drain: Delivers everything that waits; raises if a sink refuses, whereupon it is tried again later.
        waits: Whether anything does: to flush nothing needs no thread.
        ended: Called when the thread has ended, by `close` or by an accident: who arms next starts another.
        prepare: Run once as the thread starts.
        interval: Seconds to linger.
        idle: Called soon after the thread starts and about every half minute while it lives. If it takes long it calls
            `serve` now and then.
        name: Of the thread.
    """

    def __init__(
        self,
        drain: Callable[[], None],
        *,
        waits: Callable[[], bool],
        prepare: Callable[[], None],
        interval: float,
        idle: Callable[[], None],
        ended: Callable[[], None],
        name: str = "payi-flush",
    ) -> None:
        self._drain = drain
        self._name = name
        self._waits = waits
        self._ended = ended
        self._prepare = prepare
        self._idle = idle
        self._interval = interval
        self._pause = 0.0
        self._postponed = 0.0
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._working = threading.Lock()
        self._thread: threading.Thread | None = None
        self._number = 0
        """Of the thread that is to run; another one ends."""
        self._armed = False
        self._lately = False
        """Whether there was something to drain just now, so that more is likely to come."""
        self._lingers = False
        """Whether the thread waits for its interval to end, and nobody who arms it needs to wake it."""
        self._flushing = 0
        """How many wait for a drain to end."""
        self._asked = 0
        self._done = 0
        self._failed = False

    def start(self) -> None:
        """Start the thread, if it does not run, so that it is prepared before there is anything to drain."""
        with self._lock:
            if not self._runs():
                self._start()

    def arm(self) -> bool:
        """There is something to drain; returns whether a thread will."""
        with self._lock:
            self._armed = True
            if not self._runs():
                started = self._start()
                if not started and not sys.is_finalizing():
                    health.count("thread_refused")
                return started
            if not self._lingers:
                self._changed.notify_all()
            return True

    def hurry(self) -> None:
        """Drain now, without waiting for it."""
        with self._lock:
            if self._runs():
                self._asked += 1
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Drain now; returns whether everything was delivered within `timeout` seconds."""
        with self._lock:
            if self._runs() or (self._waits() and self._start()):
                self._asked += 1
                mine = self._asked
                self._changed.notify_all()
                self._flushing += 1
                try:
                    self._changed.wait_for(lambda: self._done >= mine or not self._runs(), timeout)
                finally:
                    self._flushing -= 1
                return self._done >= mine and not self._failed
        return self._drained_here(timeout)  # there is nothing to do, or no thread to be had any more

    def close(self, timeout: float) -> bool:
        """Drain, then end the thread, in `timeout` seconds; returns whether everything was delivered."""
        deadline = time.monotonic() + timeout
        delivered = self.flush(timeout)
        with self._lock:
            self._number += 1
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.0, deadline - time.monotonic()))
        return delivered

    def pause(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds for the work in progress; if that is True, no other begins before `resume`."""
        return self._working.acquire(timeout=timeout)

    def resume(self) -> None:
        """Go on after a `pause`."""
        self._working.release()

    def serve(self) -> None:
        """Within `idle`: do what was asked for meanwhile."""
        with self._lock:
            target = self._asked
            if target == self._done:
                return
        self._report(target, delivered=self._drained())

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> bool:
        if sys.is_finalizing():  # no other thread runs any more, and to start one is to wait for it
            return False
        # The thread is nobody's: it must not inherit the request that happens to run now.
        frame = context.frame.set(None)
        try:
            thread = threading.Thread(target=self._run, args=(self._number,), name=self._name, daemon=True)
            thread.start()
            self._thread = thread
            self._pause = 0.0
            self._lingers = self._lately = False
        except RuntimeError:  # the process has too many, or ends: then the exit handler drains
            return False
        finally:
            context.frame.reset(frame)
        return True

    def _drained_here(self, timeout: float = -1) -> bool:
        if not self._working.acquire(timeout=timeout):
            return False
        try:
            with forks.at_work():
                return self._drained()
        finally:
            self._working.release()

    def _drained(self) -> bool:
        self._postponed = 0.0
        try:
            self._drain()
        except Postponed as error:
            self._postponed = error.seconds
            return False
        except StoreError as error:  # its message names the cure
            health.note("sink_refused", "events wait in the spool: %s", error)
            return False
        except Exception:
            health.note("sink_refused", "events could not be delivered and wait in the spool", exc_info=True)
            return False
        return True

    def _run(self, number: int) -> None:
        try:
            self._work(number)
        finally:
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None
                self._changed.notify_all()
            self._ended()

    def _work(self, number: int) -> None:
        with self._working, forks.at_work():
            try:
                self._prepare()
            except Exception:
                health.note("prepare", "rates could not be loaded yet", exc_info=True)
        looked: float | None = None
        while True:
            with self._lock:
                if not self._awaited(number, self._interval if looked is None else LONGEST_PAUSE):
                    return
                target, self._lately = self._asked, self._armed
                self._armed = False
            delivered = self._drained_here()
            self._report(target, delivered=delivered)
            self._pause = 0.0 if delivered else self._postponed or min(LONGEST_PAUSE, 2 * self._pause or self._interval)
            if delivered and (looked is None or time.monotonic() - looked > LONGEST_PAUSE):
                with self._working, forks.at_work():
                    self._idle()
                looked = time.monotonic()

    def _report(self, target: int, *, delivered: bool) -> None:
        with self._lock:
            self._done, self._failed = max(self._done, target), not delivered
            self._armed = self._armed or not delivered
            if self._flushing:
                self._changed.notify_all()

    def _awaited(self, number: int, patience: float) -> bool:
        """Wait until there is something to do, or it is time to look around; False if the thread is to end. The lock is held."""
        if self._lately:
            self._linger(number)
        if not (self._lately and self._armed):
            self._sleep(number, patience)
            if self._armed:
                self._linger(number)
        return self._number == number or self._asked > self._done

    def _sleep(self, number: int, seconds: float) -> None:
        """Until there is something to drain, or somebody asks, or this thread is to end; the lock is held."""
        end = time.monotonic() + seconds
        while not self._armed and self._asked <= self._done and self._number == number:
            left = end - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _linger(self, number: int) -> None:
        """Until the interval has passed, or somebody asks, or this thread is to end; the lock is held."""
        end = time.monotonic() + max(self._interval, self._pause)
        self._lingers = True
        while self._asked <= self._done and self._number == number:
            left = end - time.monotonic()
            if left <= 0:
                break
            self._changed.wait(left)
        self._lingers = False
