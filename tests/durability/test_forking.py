"""Forks wait for what must not be copied half done, and for nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from children import run
from forking import in_child
from made import call
from mocked import users

from payi_middleware import Meter, forks, record
from payi_middleware import meter as meters


@contextmanager
def in_thread(action: object) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=action, daemon=True)  # type: ignore[arg-type]
    thread.start()
    yield thread
    thread.join(20)
    assert not thread.is_alive()


def test_a_fork_waits_for_work_and_work_for_a_fork() -> None:
    """Nothing is forked while a thread is at work, and no work begins until the fork is over."""
    order: list[str] = []
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        with forks.at_work():
            begun.set()
            over.wait(20)
            order.append("worked")

    def more() -> None:
        with forks.at_work():
            order.append("worked again")

    with in_thread(work):
        assert begun.wait(20)
        assert not forks.hold(0.01)
        with in_thread(more):
            over.set()
            assert forks.hold(20)
            order.append("forked")
            forks.release()

    assert order == ["worked", "forked", "worked again"]


def test_a_fork_waits_longer_for_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that imports is waited for beyond the patience for other work, up to a patience of its own."""
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        with forks.loading():
            begun.set()
            over.wait(20)

    with in_thread(work):
        assert begun.wait(20)
        monkeypatch.setattr(forks, "LOADING_PATIENCE", 0.01)
        assert not forks.hold(0.01)
        forks.release()
        monkeypatch.setattr(forks, "LOADING_PATIENCE", 20.0)
        with in_thread(lambda: (time.sleep(0.1), over.set())):
            assert forks.hold(0.01)
        forks.release()


def test_work_that_waits_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that rests within its work is not waited for, and goes on only when the fork is over."""
    order: list[str] = []
    resting, rested = threading.Event(), threading.Event()
    monkeypatch.setattr(forks.time, "sleep", lambda seconds: (resting.set(), rested.wait(20)))

    def work() -> None:
        with forks.at_work(), forks.at_work():
            forks.rest(1)
            order.append("worked")

    with in_thread(work):
        assert resting.wait(20)
        assert forks.hold(20)
        rested.set()
        order.append("forked")
        forks.release()

    assert order == ["forked", "worked"]


def test_rest_outside_of_work_is_a_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that waits for a lock has no fork to give way to."""
    slept: list[float] = []
    monkeypatch.setattr(forks.time, "sleep", slept.append)
    forks.rest(3)

    assert slept == [3]
    assert forks.hold(0)
    forks.release()


def test_a_thread_may_fork_within_its_own_work() -> None:
    """It does not wait for itself, and parent and child are at work no more when it is over."""

    def child() -> str:
        forks.reset()
        return "begun anew"

    with forks.at_work():
        assert forks.hold(0)
        assert in_child(child) == "begun anew"
        forks.release()
    assert forks.hold(0)
    forks.release()


def test_a_child_forgets_the_parents_work() -> None:
    """In a child that was forked in the middle of work, the end of that work is none of its own."""

    def child() -> str:
        with forks.at_work():
            forks.reset()
        held = forks.hold(0)
        forks.release()
        return str((held, forks._gate.working))

    assert in_child(child) == "(True, 0)"


def test_calls_go_on_while_a_fork_waits(tmp_path: Path) -> None:
    """While a fork waits for a sink, other threads still write to the spool of any meter."""
    written, hangs = threading.Event(), threading.Event()

    class Hanging:
        def write(self, *_: object) -> None:
            hangs.set()
            written.wait(20)

        def close(self) -> None: ...

    first = Meter(f"sqlite:///{tmp_path}/a.db", sinks=[Hanging()], flush_interval=0.01)
    second = Meter(f"sqlite:///{tmp_path}/b.db", flush_interval=600.0)
    put(first)
    assert hangs.wait(20)

    def fork() -> None:
        meters._before_fork()
        meters._after_fork_in_parent()

    with in_thread(fork):
        while not forks._gate.forking:
            pass
        with in_thread(lambda: (put(first), put(second))):
            pass
        written.set()

    assert first.spool.waiting or first.flush(20)
    first.close()
    second.close()


def test_a_fork_does_not_wait_for_a_locked_store(tmp_path: Path) -> None:
    """While another program locks the store, parent and child are forked at once, and both deliver when it is free."""
    ended = run(
        """
        import os, sqlite3, sys
        from children import start
        from mocked import ask, client, instrumented
        from payi_middleware import health, meter as meters
        meters.FORK_PATIENCE = 600.0
        meter = instrumented(sys.argv[1], flush_interval=0.001)
        asking = client()
        ask(asking, "before")
        assert meter.flush(20)
        other = start("import sqlite3, sys;c=sqlite3.connect(sys.argv[1], isolation_level=None);c.execute('BEGIN EXCLUSIVE');"
                      "print(1, flush=True); sys.stdin.read(); c.close()", sys.argv[1] + "/payi.db", stdin=-1)
        other.stdout.readline()
        ask(asking, "parent")
        while meter.spool.waiting:  # the drainer has taken it and waits for the lock
            pass
        pid = os.fork()
        if not pid:
            ask(asking, "child")
            while not meter.flush(20):
                pass
            os._exit(0)
        print(sorted(health.counters()))  # not one try had failed: the fork did not wait for its end
        other.kill()
        other.communicate()
        print(meter.flush(20), os.waitpid(pid, 0)[1])
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == ("[]\nTrue 0\n", "")
    assert users(tmp_path) == ["before", "child", "parent"]


def put(meter: Meter) -> None:
    event = call()
    meter.spool.append(record.ended(event.event_id, event))
