"""The draining thread by itself."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from payi_middleware import context, flush, health
from payi_middleware.exceptions import StoreError
from payi_middleware.flush import Flusher


def nothing() -> None:
    pass


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.001)
    return holds()


class Sink:
    """Counts drains, and fails or hangs on demand."""

    def __init__(self) -> None:
        self.drains = 0
        self.error: BaseException | None = None
        self.thread = threading.current_thread()
        self.gate = threading.Event()
        self.gate.set()

    def drain(self) -> None:
        self.gate.wait(20)
        self.thread = threading.current_thread()
        self.drains += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def make() -> Iterator[Callable[..., Flusher]]:
    made: list[Flusher] = []

    def build(drain: Callable[[], None], **given: object) -> Flusher:
        options = {
            "waits": lambda: True,
            "prepare": nothing,
            "interval": 0.01,
            "idle": nothing,
            "ended": nothing,
        } | given
        made.append(Flusher(drain, **options))  # type: ignore[arg-type]
        return made[-1]

    health.reset()
    yield build
    for flusher in made:
        flusher.close(5)
    health.reset()


def test_what_was_armed_is_drained_without_being_asked(make: Callable[..., Flusher]) -> None:
    """Arming starts a named daemon thread that drains after the interval."""
    done = threading.Event()
    flusher = make(done.set)

    assert flusher.arm()
    assert done.wait(10)
    assert flusher._thread is not None
    assert (flusher._thread.name, flusher._thread.daemon) == ("payi-flush", True)


def test_who_arms_a_thread_that_lingers_does_not_wake_it(
    make: Callable[..., Flusher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a drain the thread looks once more by itself when its interval is over; then it sleeps until it is woken."""
    drained = threading.Semaphore(0)
    flusher = make(drained.release, interval=0.1)
    flusher.arm()
    assert drained.acquire(timeout=10)
    assert eventually(lambda: flusher._lately and flusher._lingers)
    with monkeypatch.context() as patch:
        patch.setattr(flusher._changed, "notify_all", lambda: pytest.fail("it was woken"))
        assert flusher.arm()
    assert drained.acquire(timeout=10)
    assert eventually(lambda: not flusher._lingers and not flusher._armed)

    flusher.arm()
    assert drained.acquire(timeout=10)


def test_the_thread_is_nobodys(make: Callable[..., Flusher]) -> None:
    """The thread does not inherit the request in which it happens to start."""
    seen: list[object] = []
    done = threading.Event()
    flusher = make(lambda: (seen.append(context.frame.get()), done.set())[0])
    token = context.frame.set("a request")  # type: ignore[arg-type]
    try:
        flusher.arm()
        assert context.frame.get() == "a request"
    finally:
        context.frame.reset(token)

    assert done.wait(10)
    assert seen == [None]


def test_flush_answers_whether_all_was_delivered(make: Callable[..., Flusher]) -> None:
    """True after a drain, False while the sink refuses, True again once it takes what it refused."""
    sink = Sink()
    flusher = make(sink.drain, interval=60.0)
    flusher.start()
    flusher.start()
    assert flusher.flush(10)
    sink.error = StoreError("store x is locked; wait")
    assert not flusher.flush(10)
    sink.error = RuntimeError("odd")
    assert not flusher.flush(10)
    sink.error = None

    assert flusher.flush(10)
    assert health.counters()["sink_refused"] == 2


def test_the_cure_is_logged_once(make: Callable[..., Flusher], caplog: pytest.LogCaptureFixture) -> None:
    """A store's error is logged by its message, which names the cure, once and without a traceback."""
    sink = Sink()
    sink.error = StoreError("store x is locked; end that program")
    flusher = make(sink.drain)
    for _ in range(3):
        assert not flusher.flush(1)

    (logged,) = caplog.records
    assert logged.getMessage() == "events wait in the spool: store x is locked; end that program"
    assert not logged.exc_info


def test_a_refused_drain_is_tried_again(make: Callable[..., Flusher]) -> None:
    """Without being asked, the thread tries again until the sink takes it."""
    sink = Sink()
    sink.error = OSError("no")
    done = threading.Event()

    def drain() -> None:
        if sink.drains == 3:
            sink.error = None
            done.set()
        sink.drain()

    flusher = make(drain)
    flusher.arm()

    assert done.wait(10)


def test_flush_returns_in_time_though_the_sink_hangs(make: Callable[..., Flusher]) -> None:
    """The timeout of `flush` and `close` holds, with a thread and without one."""
    sink = Sink()
    sink.gate.clear()
    flusher = make(sink.drain)
    flusher.arm()
    before = time.monotonic()
    assert not flusher.flush(0.05)
    assert not flusher.close(0.1)
    assert not flusher.flush(0.05)
    assert not flusher.pause(0.05)
    assert time.monotonic() - before < 10

    sink.gate.set()

    assert flusher.flush(10)


def test_a_closed_flusher_starts_anew(make: Callable[..., Flusher]) -> None:
    """After `close` the thread is gone; arming starts another, and so does asking, as a timeout is kept only from outside."""
    drained_by: list[str] = []
    flusher = make(lambda: drained_by.append(threading.current_thread().name))
    flusher.arm()
    thread = flusher._thread
    assert flusher.close(10)
    assert thread is not None
    assert not thread.is_alive()
    drained_by.clear()
    flusher.hurry()
    assert flusher.flush(10)
    assert set(drained_by) == {"payi-flush"}

    assert flusher.close(10)
    assert flusher.arm()
    assert flusher.flush(10)


def test_to_flush_nothing_needs_no_thread(make: Callable[..., Flusher]) -> None:
    """Where nothing waits and no thread runs, none is started."""
    flusher = make(nothing, waits=lambda: False)

    assert flusher.flush(10)
    assert flusher._thread is None


def test_flush_without_a_thread_returns_in_time(make: Callable[..., Flusher]) -> None:
    """The sink hangs for as long as the flush lasts: it returns all the same, and what it began ends later."""
    sink = Sink()
    sink.gate.clear()
    flusher = make(sink.drain)
    assert not flusher.flush(0.05)
    assert not flusher.close(0.05)
    assert not flusher.flush(0)
    assert sink.drains == 0

    sink.gate.set()

    assert flusher.flush(10)


def test_hurry_drains_at_once(make: Callable[..., Flusher]) -> None:
    """A hurry does not wait for the interval, nor the caller for the drain."""
    done = threading.Event()
    flusher = make(done.set, interval=600.0)
    flusher.start()
    flusher.hurry()

    assert done.wait(10)


def test_nothing_is_drained_while_it_pauses(make: Callable[..., Flusher]) -> None:
    """Between `pause` and `resume` no drain begins."""
    sink = Sink()
    flusher = make(sink.drain)
    flusher.start()
    assert flusher.flush(10)
    drains = sink.drains
    assert flusher.pause(10)
    assert not flusher.flush(0.1)
    assert sink.drains == drains

    flusher.resume()

    assert flusher.flush(10)


def test_idle_runs_soon_and_serves_who_flushes_meanwhile(make: Callable[..., Flusher]) -> None:
    """The look around comes right after the start; a flush during a long one is answered by `serve`."""
    entered, leave = threading.Event(), threading.Event()

    def idle() -> None:
        entered.set()
        while not leave.wait(0.01):
            flusher.serve()

    sink = Sink()
    flusher = make(sink.drain, idle=idle)
    flusher.start()
    assert entered.wait(10)

    assert flusher.flush(10)

    leave.set()


def test_idle_runs_again_later(make: Callable[..., Flusher], monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the thread lives it looks around now and then, without being armed."""
    monkeypatch.setattr(flush, "LONGEST_PAUSE", 0.01)
    looks = threading.Semaphore(0)
    flusher = make(nothing, idle=looks.release)
    flusher.start()

    for _ in range(3):
        assert looks.acquire(timeout=10)


def test_preparation_that_fails_is_counted_and_drains_go_on(make: Callable[..., Flusher]) -> None:
    """Rates that cannot be loaded yet do not end the thread."""

    def prepare() -> None:
        raise ImportError("genai_prices")

    flusher = make(nothing, prepare=prepare)
    flusher.start()

    assert flusher.flush(10)
    assert health.counters() == {"prepare": 1}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_armed_the_thread_is_told_of_its_end(make: Callable[..., Flusher]) -> None:
    """By `close`, or by an accident of whatever kind, the end of the thread is told once it can be replaced."""
    sink = Sink()
    ends: list[bool] = []
    flusher = make(sink.drain, ended=lambda: ends.append(flusher._runs()))
    flusher.start()
    flusher.close(10)
    assert ends == [False]
    sink.error = SystemExit()
    assert not flusher.flush(10)
    sink.thread.join(10)

    assert ends == [False, False]
    sink.error = None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_replaced(make: Callable[..., Flusher]) -> None:
    """A sink that ends the thread by SystemExit or the like costs one try, not all that follow."""
    sink = Sink()
    sink.error = SystemExit()
    flusher = make(sink.drain)
    flusher.arm()
    thread = flusher._thread
    assert thread is not None
    thread.join(10)
    sink.error = None

    assert flusher.arm()
    assert flusher.flush(10)


def test_no_thread_can_be_had(make: Callable[..., Flusher], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, or the interpreter ends, arming says so, and a flush drains in the caller's thread."""
    sink = Sink()
    flusher = make(sink.drain)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert not flusher.arm()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "is_finalizing", lambda: True)
        assert not flusher.arm()

    assert flusher.flush(1)
    assert sink.drains == 1
    assert health.counters() == {"thread_refused": 1}


def test_a_flusher_may_close_itself(make: Callable[..., Flusher]) -> None:
    """Closing from within the draining thread does not wait for that thread."""
    answers: list[bool] = []

    def idle() -> None:
        if not answers:
            answers.append(flusher.close(0.1))

    flusher = make(nothing, idle=idle)
    flusher.start()
    thread = flusher._thread
    assert thread is not None
    thread.join(10)

    assert not thread.is_alive()
    assert answers == [False]
