"""The thread that looks after limits: it opens the ledger, reads definitions, and renews the leases of calls that run long."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from .. import context, health

__all__ = ["Errands"]

T = TypeVar("T")


class Errands:
    """One daemon thread, there only while there is something to look after.

    Args:
        every: Seconds between two rounds.
        round: Done so often; returns whether there will be anything to do at the next.
    """

    def __init__(self, every: float, round: Callable[[], bool]) -> None:
        self.every = every
        self._round = round
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, job: Callable[[], T]) -> Future[T]:
        """Have something done soon."""
        done: Future[T] = Future()

        def run() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    result = job()
                except BaseException as error:
                    done.set_exception(error)
                else:
                    done.set_result(result)

        self._jobs.put(run)
        if not self._started():
            self._do_waiting()
        return done

    def attend(self) -> None:
        """There is something to look after."""
        if self._thread is None:
            self._started()

    def close(self, timeout: float) -> None:
        """Finish what waits, and end."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            if thread is not threading.current_thread():
                thread.join(timeout)

    def _started(self) -> bool:
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                return True
            if sys.is_finalizing():
                return False
            frame = context.frame.set(None)  # the thread is nobody's
            try:
                self._thread = threading.Thread(target=self._run, name="payi-limits", daemon=True)
                self._thread.start()
            except RuntimeError:  # the process has too many, or ends
                self._thread = None
                return False
            finally:
                context.frame.reset(frame)
            return True

    def _run(self) -> None:
        last = time.monotonic()
        while True:
            left = last + self.every - time.monotonic()
            if left > 0:
                try:
                    job = self._jobs.get(timeout=left)
                except queue.Empty:
                    continue
                if job is None:
                    return
                job()
            elif self._goes_on():  # also while jobs keep coming, as they do under traffic
                last = time.monotonic()
            else:
                return

    def _goes_on(self) -> bool:
        try:
            if self._round():
                return True
        except Exception:
            health.note("limits_round", "leases of running calls could not be renewed", exc_info=True)
            return True
        with self._lock:
            if not self._jobs.empty():
                return True
            self._thread = None  # who comes next starts another
            return False

    def _do_waiting(self) -> None:
        """Where no thread can be had: at the end of the process."""
        while True:
            try:
                job: Any = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None:
                job()
