"""The sink that writes to the store."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from children import run
from forking import in_child
from made import call

from payi_middleware import forks
from payi_middleware.exceptions import StoreError
from payi_middleware.settings import Settings
from payi_middleware.sinks import store as sinks_store
from payi_middleware.sinks.store import StoreSink
from payi_middleware.store import inherited, open_store
from payi_middleware.store.windows import days_in
from payi_middleware.types import Sink


def settings(folder: Path) -> Settings:
    return Settings(store=f"sqlite:///{folder / 'payi.db'}")


def count(folder: Path) -> int:
    with open_store(settings(folder), create=False) as store:
        return store.report(("user",)).total.calls


def test_the_store_is_opened_by_the_first_write(tmp_path: Path) -> None:
    """Making a sink and closing it touches no file; writing makes the store, with the health beside the events."""
    sink: Sink = StoreSink(settings(tmp_path))
    sink.close()
    assert list(tmp_path.iterdir()) == []

    sink.write([call()], {"process": "p", "seen_ns": 1})
    sink.close()

    assert count(tmp_path) == 1
    with open_store(settings(tmp_path), create=False) as store:
        assert [process.events for process in store.processes()] == [1]


def test_health_that_is_as_it_was_is_written_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that were written meanwhile are counted with the next change of it, after a second, or as the sink is closed."""
    sink, told = StoreSink(settings(tmp_path)), {"process": "p", "counters": {"late": 1}}

    def seen() -> tuple[int, int]:
        with open_store(settings(tmp_path), create=False) as store:
            [process] = store.processes()
        return process.seen_ns, process.events

    for n in (1, 2, 3):
        sink.write([call()], told | {"seen_ns": n})
    assert seen() == (1, 1)
    sink.write([call()], told | {"seen_ns": 4, "counters": {"late": 2}})
    assert seen() == (4, 4)
    sink.write([call()], told | {"seen_ns": 5, "counters": {"late": 2}})
    assert seen() == (4, 4)
    sink.close()
    assert seen() == (5, 5)
    monkeypatch.setattr(sinks_store, "_TELL_EVERY", 0.0)
    for n in (6, 7):
        sink.write([call()], told | {"seen_ns": n})
        assert seen() == (n, n)
    sink.close()


def test_what_a_lost_store_was_not_told_is_told_to_the_next(tmp_path: Path) -> None:
    """Where the store is gone as the sink is closed nothing is made anew, and where it comes back all are counted."""
    sink, health = StoreSink(settings(tmp_path)), {"process": "p", "seen_ns": 1}
    for _ in range(2):
        sink.write([call()], health)
    for file in tmp_path.glob("payi.db*"):
        file.unlink()
    sink.close()
    assert list(tmp_path.glob("payi.db")) == []

    sink.write([call()], health)
    sink.close()
    with open_store(settings(tmp_path), create=False) as store:
        assert [process.events for process in store.processes()] == [2]


def test_the_store_is_tended_when_there_is_nothing_to_write(tmp_path: Path) -> None:
    """With its reports of itself, a process moves the running sums on."""
    sink = StoreSink(settings(tmp_path))
    sink.write([call()], {"process": "p"})
    with open_store(settings(tmp_path), create=False) as store, store.snapshot() as connection:
        assert not any(days_in(connection).values())

    sink.write([], {"process": "p"})
    sink.close()

    with open_store(settings(tmp_path), create=False) as store, store.snapshot() as connection:
        assert any(days_in(connection).values())


def test_threads_may_take_turns(tmp_path: Path) -> None:
    """The drainer writes, another thread writes at exit, a third closes."""
    sink = StoreSink(settings(tmp_path))
    for _ in range(3):
        thread = threading.Thread(target=sink.write, args=([call()], {}))
        thread.start()
        thread.join()
    sink.close()

    assert count(tmp_path) == 3


def test_after_an_error_the_store_is_opened_anew(tmp_path: Path) -> None:
    """A corrupt store is refused until somebody moves it away; then the same sink makes a new one and goes on."""
    sink = StoreSink(settings(tmp_path))
    path = tmp_path / "payi.db"
    path.write_bytes(b"garbage" * 1000)
    event = call()
    for _ in range(2):
        with pytest.raises(StoreError, match=r"move .*payi\.db, .*-wal and .*-shm away"):
            sink.write([event], {})
    path.rename(tmp_path / "damaged.db")

    sink.write([event], {})
    sink.close()

    assert count(tmp_path) == 1


def test_a_write_that_fails_leaves_the_sink_usable(tmp_path: Path) -> None:
    """An error while writing is told, the file is let go, and the same events go in with the next write."""
    sink = StoreSink(settings(tmp_path))
    sink.write([call()], {})
    store = sink._store
    assert store is not None
    store._connection.execute("PRAGMA query_only = ON")
    event = call()

    with pytest.raises(StoreError, match="read-only; give this user the right to write"):
        sink.write([event], {})
    sink.write([event], {})
    sink.close()

    assert count(tmp_path) == 2


def test_a_deleted_store_is_made_anew(tmp_path: Path) -> None:
    """When the file is deleted under a running application, the next events go to a new store, not to nowhere."""
    sink = StoreSink(settings(tmp_path))
    sink.write([call()], {})
    for file in tmp_path.glob("payi.db*"):
        file.unlink()

    sink.write([call(), call()], {})
    sink.close()

    assert count(tmp_path) == 2


def test_a_replaced_store_is_opened_and_not_harmed(tmp_path: Path) -> None:
    """When another file takes the store's place, the next events go there, and what is in its log stays."""
    other = tmp_path / "other"
    other.mkdir()
    sink = StoreSink(settings(tmp_path))
    sink.write([call()], {})
    replacement = StoreSink(settings(other))
    replacement.write([call(), call(), call()], {})
    for file in other.glob("payi.db*"):
        shutil.copy(file, tmp_path / f"{file.name}.new")
    for file in tmp_path.glob("*.new"):
        file.rename(file.with_suffix(""))

    sink.write([call()], {})
    sink.close()
    replacement.close()

    assert count(tmp_path) == 4


def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    """A child that inherits an open sink writes by a connection of its own; the parent's goes on undisturbed."""
    first, childs, last = call(), call(), call()
    sink = StoreSink(settings(tmp_path))
    sink.write([first], {})
    inherited = sink._store

    def write() -> str:
        sink.write([childs], {})
        return "inherited" if sink._store is inherited else "its own"

    assert in_child(write) == "its own"
    sink.write([last], {})
    sink.close()

    assert count(tmp_path) == 3


def test_what_a_child_writes_outlives_the_parents_end(tmp_path: Path) -> None:
    """A child takes locks of its own: when the parent closes the store, it does not take itself for the last and delete the log."""
    ended = run(
        """
        import os, sys
        from made import call
        from payi_middleware.settings import Settings
        from payi_middleware.sinks.store import StoreSink
        sink = StoreSink(Settings(store=f"sqlite:///{sys.argv[1]}/payi.db"))
        sink.write([call(user_id="parent")], {})
        to_child, to_parent = os.pipe(), os.pipe()
        pid = os.fork()
        if not pid:
            sink.write([call(user_id="child")], {})
            os.write(to_parent[1], b"x")
            os.read(to_child[0], 1)
            sink.write([call(user_id="child", started_ns=1)], {})
            os._exit(0)
        os.read(to_parent[0], 1)
        sink.close()
        os.write(to_child[1], b"x")
        print(os.waitpid(pid, 0)[1])
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == ("0\n", "")
    assert count(tmp_path) == 3


@pytest.mark.parametrize("is_quiet", [True, False])
def test_a_child_that_was_forked_in_the_middle_of_a_question(tmp_path: Path, is_quiet: bool) -> None:
    """A connection that another thread of the parent was using is never closed in the child: that might wait for ever."""
    sink = StoreSink(settings(tmp_path))
    sink.write([call()], {})
    store = sink._store
    assert store is not None

    def write() -> str:
        inherited.let_go()
        try:
            return str(store._connection.total_changes >= 0)
        except sqlite3.ProgrammingError:
            return "closed"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forks, "was_quiet", lambda: is_quiet)
        assert in_child(write) == ("closed" if is_quiet else "True")
    sink.close()


def test_a_store_of_another_program_stops_only_us(tmp_path: Path) -> None:
    """What is not ours is refused and stays as it was."""
    other = sqlite3.connect(tmp_path / "payi.db")
    other.execute("CREATE TABLE mine (id INTEGER)")
    other.commit()

    with pytest.raises(StoreError, match="another program"):
        StoreSink(settings(tmp_path)).write([call()], {})
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    other.close()


def test_a_report_without_events_moves_the_log_into_the_file(tmp_path: Path) -> None:
    """When a process has nothing to do but to report, a copy of the store's file alone has all events."""
    sink = StoreSink(settings(tmp_path))
    sink.write([call(), call()], {"process": "p", "seen_ns": 1})
    sink.write([], {"process": "p", "seen_ns": 2})
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "payi.db", tmp_path / "copy" / "payi.db")
    sink.close()

    assert count(tmp_path / "copy") == 2


def test_a_child_forked_in_the_middle_of_a_write_writes(tmp_path: Path) -> None:
    """The lock of a thread that did not come along into the child is not waited for."""
    sink = StoreSink(settings(tmp_path))

    def write() -> str:
        sink.write([call()], {})
        return "written"

    with sink._lock:
        assert in_child(write) == "written"
    assert count(tmp_path) == 1
