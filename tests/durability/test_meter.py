"""The meter: its parts together, its life, and its promises to the application."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from children import environment, run
from mocked import URL, ask, client, instrumented, open_stream, stored, users

from payi_middleware import Limit, Meter, drainer, health, instrument, intake, track, uninstrument
from payi_middleware import meter as meters
from payi_middleware.events import CallEvent
from payi_middleware.exceptions import SettingsError, StoreError
from payi_middleware.meter import default_meter, existing_default, forget_default
from payi_middleware.sinks.memory import MemorySink


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    uninstrument()
    forget_default()
    for meter in meters.meters():
        meter.close()
    health.reset()


@pytest.fixture
def asking() -> Iterator[httpx2.Client]:
    with client() as made:
        yield made


class Refusing(MemorySink):
    """Refuses as long as it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = True

    def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
        if self.refuses:
            raise StoreError("no")
        super().write(events, health)


def test_making_one_opens_nothing(tmp_path: Path) -> None:
    """A meter, the hook and a middleware open no file, socket or thread until the first call; made before a fork, they are copied."""
    ended = run(
        """
        import sys, threading
        import payi_middleware, payi_middleware.starlette, payi_middleware.meter, payi_middleware.httpx2
        from payi_middleware import Meter, PayiMiddleware, instrument
        seen = []
        watching = True
        def watch(event, arguments):
            if watching and event.split(".")[0] in ("open", "socket", "sqlite3", "os", "_thread", "mmap", "fcntl"):
                seen.append((event, arguments))
        sys.addaudithook(watch)
        meter = Meter(f"sqlite:///{sys.argv[1]}/payi.db")
        instrument(meter, threads=False)
        PayiMiddleware(None, meter)
        meter.health
        watching = False
        print([one for one in seen if not str(one[1][0]).endswith((".py", ".pyc")) and one[0] != "os.listdir"], threading.active_count())
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == ("[] 1\n", "")
    assert list(tmp_path.iterdir()) == []


def test_disabled_does_nothing(tmp_path: Path) -> None:
    """With PAYI_DISABLED=1 calls go through, and there is no file, no thread and no database."""
    ended = run(
        """
        import sys, threading
        from mocked import ask, client, instrumented, open_stream
        from payi_middleware import current
        meter = instrumented(sys.argv[1])
        with client() as asking:
            ask(asking, "jane")
            open_stream(asking, "jane").close()
        print(meter.disabled, meter.flush(), current().calls, threading.active_count(), "sqlite3" in sys.modules or None)
        """,
        tmp_path,
        env=environment(PAYI_DISABLED="1"),
    )

    assert ended.stdout.split()[:4] == ["True", "True", "0", "1"], ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_flush_delivers_what_ended_so_far(tmp_path: Path, asking: httpx2.Client) -> None:
    """`flush` answers True once the store has every call that ended before it."""
    with instrumented(tmp_path, flush_interval=600.0) as meter:
        for number in range(2500):
            ask(asking, f"u{number:04}")

        assert meter.flush(30)

        assert users(tmp_path) == [f"u{number:04}" for number in range(2500)]


def test_a_closed_meter_goes_on(tmp_path: Path, asking: httpx2.Client) -> None:
    """After `close` there is no thread and no file of ours open; a later call opens them anew, and closing again is no harm."""
    meter = instrumented(tmp_path)
    ask(asking, "before")
    thread = meter.flusher._thread
    assert meter.close()
    assert meter.close()
    assert thread is not None
    assert not thread.is_alive()
    assert not [link for link in _open_files() if str(tmp_path) in link]
    ask(asking, "after")

    assert meter.flush(10)
    assert users(tmp_path) == ["after", "before"]
    assert meter.close()


def test_events_after_a_close_are_delivered_without_being_asked(tmp_path: Path, asking: httpx2.Client) -> None:
    """The thread comes back with the first call after `close`."""
    meter = instrumented(tmp_path, flush_interval=0.01)
    ask(asking, "before")
    meter.close()
    ask(asking, "after")

    assert eventually(lambda: users(tmp_path) == ["after", "before"])


def test_a_call_in_flight_when_the_meter_closes_ends_as_itself(tmp_path: Path, asking: httpx2.Client) -> None:
    """A stream open during `close` is not taken for lost, neither by this process nor by another, and ends as what it was."""
    meter = instrumented(tmp_path)
    stream = open_stream(asking, "jane")
    assert meter.close()
    run(
        """
        import sys
        from payi_middleware.intake import take_in
        from payi_middleware.settings import Settings
        take_in(Settings(store=f"sqlite:///{sys.argv[1]}/payi.db"))
        """,
        tmp_path,
    )
    stream.close()

    assert meter.flush(10)
    assert [(event.user_id, event.outcome) for event in stored(tmp_path)] == [("jane", "aborted")]
    meter.close()
    assert [path.name for path in (tmp_path / "payi.db.spool").iterdir()] == ["intake.lock"]


def test_many_meters(tmp_path: Path, asking: httpx2.Client) -> None:
    """Meters side by side keep their calls apart."""
    made = [Meter(f"sqlite:///{tmp_path}/{number}/payi.db") for number in range(8)]
    instrument(made[0])
    for number, meter in enumerate(made):
        instrument(meter)
        ask(asking, f"user-{number}")
    assert all(meter.close() for meter in made)

    assert [users(tmp_path / str(number)) for number in range(8)] == [[f"user-{number}"] for number in range(8)]
    assert set(made) <= set(meters.meters())


def test_a_refused_batch_is_offered_again_as_it_was(asking: httpx2.Client) -> None:
    """An estimate that was counted for a batch that the sink refused is not lost: the next try has the same events."""
    sink = Refusing()
    meter = Meter("sqlite:///:memory:", sinks=[sink], flush_interval=600.0)
    instrument(meter)
    meter.estimates._tokens.load()  # here and now, so that it is not a matter of time how the call is counted
    stream = open_stream(asking, "jane")
    next(stream.iter_raw())
    stream.close()
    assert not meter.flush(30)
    sink.refuses = False
    ask(asking, "joe")

    assert meter.flush(30)

    assert [event.user_id for event in sink.events] == ["jane", "joe"]
    assert sink.events[0].cost_source == "estimate"
    assert "counted with o200k_base" in (sink.events[0].reason or "")
    meter.close()


def test_an_estimate_that_was_refused_by_the_store_waits_as_it_is(tmp_path: Path, asking: httpx2.Client) -> None:
    """Sinks are tried again by themselves, and each event is delivered once."""
    sink = Refusing()
    meter = Meter(f"sqlite:///{tmp_path}/payi.db", sinks=[sink], flush_interval=0.01)
    instrument(meter)
    for number in range(30):
        ask(asking, f"u{number}")
    assert not meter.flush(1)
    sink.refuses = False

    assert eventually(lambda: len(sink.events) == 30)
    meter.close()
    assert not (tmp_path / "payi.db").exists()


def test_a_sink_that_hangs_does_not_hold_close(asking: httpx2.Client) -> None:
    """`close` returns after its timeout though a sink hangs, and pulls nothing from under it."""
    gate = threading.Event()

    class Hanging(MemorySink):
        closed = False

        def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
            gate.wait(20)
            super().write(events, health)

        def close(self) -> None:
            self.closed = True

    sink = Hanging()
    meter = Meter("sqlite:///:memory:", sinks=[sink], flush_interval=0.01)
    instrument(meter)
    ask(asking, "jane")

    assert not meter.close(0.1)
    assert not sink.closed
    gate.set()
    assert meter.close(10)
    assert sink.closed
    assert [event.user_id for event in sink.events] == ["jane"]


def test_events_after_a_close_that_a_sink_held_up_are_delivered_by_themselves(asking: httpx2.Client) -> None:
    """A `close` that gave up leaves nothing that the next call does not get going again."""
    gate, begun = threading.Event(), threading.Event()

    class Hanging(MemorySink):
        def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
            begun.set()
            gate.wait(20)
            super().write(events, health)

    sink = Hanging()
    meter = Meter("sqlite:///:memory:", sinks=[sink], flush_interval=0.01)
    instrument(meter)
    ask(asking, "first")
    assert begun.wait(20)
    ask(asking, "second")  # wakes the thread that `close` ends
    assert not meter.close(0.01)
    ask(asking, "third")
    assert meter.flusher._runs()
    gate.set()

    assert eventually(lambda: [event.user_id for event in sink.events] == ["first", "second", "third"])
    meter.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_events_after_the_thread_died_are_delivered_by_themselves(asking: httpx2.Client) -> None:
    """A sink that ends the draining thread, by SystemExit say, does so to one try."""

    class Deadly(MemorySink):
        def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
            if not self.deadly:
                return super().write(events, health)
            self.deadly, self.thread = False, threading.current_thread()
            ask(asking, "meanwhile")  # wakes the thread that is about to end
            raise SystemExit

        deadly = True

    sink = Deadly()
    meter = Meter("sqlite:///:memory:", sinks=[sink], flush_interval=0.01)
    instrument(meter)
    ask(asking, "first")
    assert eventually(lambda: not sink.deadly and not meter.flusher._runs())
    sink.thread.join(10)
    ask(asking, "last")

    assert eventually(lambda: [event.user_id for event in sink.events] == ["first", "meanwhile", "last"])
    meter.close()


def test_a_record_that_was_taken_before_it_was_told_of_wakes_nobody_in_vain(
    tmp_path: Path, asking: httpx2.Client
) -> None:
    """If another thread's flush takes a record before its writer has woken the drainer, the next record still wakes it."""
    meter = instrumented(tmp_path, flush_interval=600.0)
    ask(asking, "first")
    assert meter.flush(20)
    meter.spool._signalled = True  # the writer of the first record comes to it only now
    assert meter.flush(20)
    woken: list[int] = []
    meter.spool._wake = lambda: not woken.append(1)
    ask(asking, "second")

    assert woken
    meter.close()


def test_batches_leave_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asking: httpx2.Client) -> None:
    """Between two batches the drainer gives way: under gevent, requests go on while a backlog is delivered."""
    order: list[str] = []

    class Ordered(MemorySink):
        def write(self, events: Sequence[CallEvent], health: dict[str, Any]) -> None:
            order.append(f"{len(events)} written")

    meter = Meter(f"sqlite:///{tmp_path}/payi.db", sinks=[Ordered()], flush_interval=600.0)
    instrument(meter)
    monkeypatch.setattr(drainer, "BATCH", 2)
    monkeypatch.setattr(meters.forks, "rest", lambda seconds: order.append("rested"))
    for number in range(5):
        ask(asking, f"u{number}")
    assert meter.flush(20)

    first = order.index("2 written")  # it rests between the imports before, too
    assert order[first:] == ["2 written", "rested", "2 written", "rested", "1 written"]
    meter.close()


def test_capturing_takes_in_nothing(tmp_path: Path, asking: httpx2.Client) -> None:
    """What an application's dead processes left is not a test's: it stays where it is while one captures."""
    run(
        """
        import os, sys
        from mocked import ask, client, instrumented
        instrumented(sys.argv[1], flush_interval=600.0)
        with client() as asking:
            ask(asking, "jane")
        os._exit(0)
        """,
        tmp_path,
    )
    sink = MemorySink()
    meter = Meter(f"sqlite:///{tmp_path}/payi.db")
    with Meter.capturing(sink):
        meter.drainer.look_around()

    assert sink.events == []
    meter.drainer.look_around()
    assert users(tmp_path) == ["jane"]


def test_a_change_of_the_working_directory_splits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asking: httpx2.Client
) -> None:
    """Relative paths are those of the moment at which the meter was made."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    meter = Meter("sqlite:///payi.db", ledger="sqlite:///limits.ledger", limits=[Limit("all", 10)])
    instrument(meter)
    monkeypatch.chdir(tmp_path / "elsewhere")
    ask(asking, "jane")
    assert meter.close()

    assert users(tmp_path) == ["jane"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "limits.ledger").exists()
    assert meter.settings.store == "sqlite:///payi.db"


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A meter can be made where there is no working directory any more."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "getcwd", _gone)

    assert Meter("sqlite:///payi.db").settings.store == "sqlite:///payi.db"


def test_what_only_memory_holds_is_delivered_at_the_end_of_a_request(asking: httpx2.Client) -> None:
    """Without a spool on disk the end of a block delivers at once, not after the interval."""
    sink = MemorySink()
    meter = Meter("sqlite:///:memory:", sinks=[sink], flush_interval=600.0)
    instrument(meter)
    with track(user_id="jane"):
        asking.post(URL, json={"model": "gpt-4o-mini", "messages": []})

    assert eventually(lambda: len(sink.events) == 1)


def test_flush_by_request_delivers_before_the_block_ends(tmp_path: Path, asking: httpx2.Client) -> None:
    """With flush="request" the end of a block waits for the store."""
    instrumented(tmp_path, flush="request", flush_interval=600.0)
    with track(user_id="jane"):
        asking.post(URL, json={"model": "gpt-4o-mini", "messages": []})

    assert users(tmp_path) == ["jane"]


def test_health_is_reported_while_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asking: httpx2.Client
) -> None:
    """A process that makes no calls still shows that it lives, and what it is."""
    sink = MemorySink()
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(sink, "write", lambda events, health: reports.append(health))
    meter = Meter(f"sqlite:///{tmp_path}/payi.db", sinks=[sink], application="shop", flush_interval=600.0)
    instrument(meter)
    ask(asking, "jane")
    meter.flush(10)
    meter.flush(10)
    assert len(reports) == 1
    monkeypatch.setattr(drainer, "HEALTH_SECONDS", 0.0)
    meter.flush(10)
    monkeypatch.setattr(drainer, "HEALTH_SECONDS", 20.0)

    assert len(reports) == 2
    told = reports[1]
    assert (told["pid"], told["application"]) == (os.getpid(), "shop")
    assert told["spool"]["dir"] == f"{tmp_path}/payi.db.spool"
    assert told["spool"]["bytes"] > 0
    assert told["versions"]["genai-prices"]
    assert told["prices"].startswith("genai-prices")
    json.dumps(told)


def test_leftovers_that_cannot_be_taken_in_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault while looking around is counted and logged, and ends nothing."""
    meter = Meter(f"sqlite:///{tmp_path}/payi.db")

    def fail(*_: object) -> int:
        raise OSError("no")

    monkeypatch.setattr(intake, "orphans", fail)
    meter.drainer.look_around()

    assert health.counters() == {"intake": 1}


def test_capturing_keeps_everything_in_memory(tmp_path: Path, asking: httpx2.Client) -> None:
    """While one sink captures, meters made before and within deliver to it alone; afterwards they are as before."""
    meter = instrumented(tmp_path, flush_interval=600.0)
    ask(asking, "before")
    sink = MemorySink()
    with Meter.capturing(sink):
        ask(asking, "within")
        other = Meter(f"sqlite:///{tmp_path}/other.db")
        instrument(other)
        ask(asking, "other")
        other.flush(10)
        meter.flush(10)
        assert sorted(event.user_id or "" for event in sink.events) == ["other", "within"]
    instrument(meter)
    ask(asking, "after")
    meter.flush(10)

    assert users(tmp_path) == ["after", "before"]
    assert not (tmp_path / "other.db").exists()


def test_the_default_meter_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made at first use; other settings for it are an error that names them; forgotten, it is made anew."""
    monkeypatch.chdir(tmp_path)
    assert existing_default() is None
    meter = default_meter(application="shop")
    assert default_meter() is meter is existing_default()
    assert default_meter(application="shop") is meter
    with pytest.raises(SettingsError, match=r"application \(is 'shop', not 'bar'\)"):
        default_meter(application="bar")
    forget_default()
    forget_default()

    assert default_meter(application="bar") is not meter


def test_a_fault_at_exit_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit handler closes every meter, whatever becomes of one."""
    good, bad = Meter(f"sqlite:///{tmp_path}/a.db"), Meter(f"sqlite:///{tmp_path}/b.db")
    closed: list[Meter] = []

    def close(meter: Meter, timeout: float | None = None) -> bool:
        if meter is bad:
            raise RuntimeError("no")
        closed.append(meter)
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Meter, "close", close)
        meters._at_exit()

    assert good in closed
    assert health.counters() == {"exit": 1}


def test_a_forked_child_begins_anew(tmp_path: Path, asking: httpx2.Client) -> None:
    """In a child there is another thread, another spool, another process id in its health, and the default meter works."""
    meter = instrumented(tmp_path, flush_interval=600.0)
    ask(asking, "parent")
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        told = [
            meter.cold,
            meter.spool.waiting,
            meter.prices.ready in (True, False),
            meter.health()["pid"] == os.getpid(),
        ]
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    told = os.read(reading, 1000)
    os.close(reading)
    os.close(writing)

    assert json.loads(told) == [True, False, True, True]
    assert meter.close()
    assert users(tmp_path) == ["parent"]


def test_what_a_fork_does_in_the_child(tmp_path: Path, asking: httpx2.Client) -> None:
    """The hooks of a fork, run here: the spool is let go without being touched, and a sink of the parent is not closed."""
    meter = instrumented(tmp_path, flush_interval=600.0)
    ask(asking, "parent")
    before = meter.spool
    path = before._segments[0].path
    meters._before_fork()
    meters._after_fork_in_parent()
    assert meter.flush(10)
    ask(asking, "parent")
    meters._before_fork()
    meters._after_fork_in_child()

    assert path.exists()
    assert meter.spool is not before
    assert before._segments == []
    ask(asking, "child")
    assert meter.flush(10)


def eventually(holds: Any) -> bool:
    """Whether something comes to hold in reasonable time."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except StoreError:  # the store is not made yet
            pass
        time.sleep(0.01)
    return False


def _gone() -> str:
    raise FileNotFoundError("the working directory is gone")


def _open_files() -> list[str]:
    return [
        os.readlink(f"/proc/self/fd/{name}")
        for name in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{name}")
    ]
