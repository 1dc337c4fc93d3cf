"""A store's file that is moved away or replaced while processes have it open."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
from children import run, start
from made import call

from payi_middleware.exceptions import StoreError
from payi_middleware.settings import Settings
from payi_middleware.sinks.store import StoreSink
from payi_middleware.store import open_store, replaced

WRITER = """
import sys
from made import call
from payi_middleware.settings import Settings
from payi_middleware.sinks.store import StoreSink
sink = StoreSink(Settings(store=f"sqlite:///{sys.argv[1]}"))
print("ready", flush=True)
for line in sys.stdin:
    sink.write([call(user_id=f"{sys.argv[2]}-{n}", started_ns=n * 10**9 + int(sys.argv[3])) for n in range(int(line))], {})
    print("written", flush=True)
sink.close()
"""
"""A process that writes as many calls as each line of its input says."""


def sink_of(path: Path) -> StoreSink:
    return StoreSink(Settings(store=f"sqlite:///{path}"))


def users(path: Path) -> list[str]:
    with open_store(f"sqlite:///{path}", create=False) as store:
        return sorted(event.user_id or "" for event in store.events())


def is_sound(path: Path) -> bool:
    connection = sqlite3.connect(path)
    (told,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return bool(told == "ok")


def backup(path: Path, calls: int) -> Path:
    """A store at rest, one file, beside the one at `path`."""
    made = path.with_name("backup.db")
    with open_store(f"sqlite:///{made}", create=True) as store:
        store.write([call(user_id=f"backup-{n:04}") for n in range(calls)])
    return made


class Other:
    """Another process that writes to the same store."""

    def __init__(self, path: Path, name: str) -> None:
        self.process = start(WRITER, path, name, os.getpid(), stdin=subprocess.PIPE)
        assert self._line() == "ready\n"

    def write(self, calls: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{calls}\n")
        self.process.stdin.flush()
        assert self._line() == "written\n"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def end(self) -> None:
        _, errors = self.process.communicate(timeout=60)
        assert errors == ""


def test_a_backup_that_is_put_back_is_not_harmed(tmp_path: Path) -> None:
    """A file that takes the store's place keeps its calls and gets the next; the old one's log does not get into it."""
    path = tmp_path / "payi.db"
    sink = sink_of(path)
    sink.write([call(user_id=f"old-{n}") for n in range(500)], {})
    backup(path, 3000).rename(path)

    sink.write([call(user_id="new")], {})
    sink.close()

    assert is_sound(path)
    assert users(path) == [*(f"backup-{n:04}" for n in range(3000)), "new"]


def test_a_store_that_is_moved_away_takes_its_calls_along(tmp_path: Path) -> None:
    """After `mv payi.db old.db` the old file has every call up to then, the new one those that follow."""
    path, old = tmp_path / "payi.db", tmp_path / "old.db"
    sink = sink_of(path)
    sink.write([call(user_id=f"old-{n:03}") for n in range(900)], {})
    path.rename(old)

    sink.write([call(user_id="new")], {})
    sink.close()

    assert users(old) == [f"old-{n:03}" for n in range(900)]
    assert users(path) == ["new"]


def test_a_store_that_is_moved_away_at_the_end_takes_its_calls_along(tmp_path: Path) -> None:
    """The same if nothing is written any more."""
    path, old = tmp_path / "payi.db", tmp_path / "old.db"
    sink = sink_of(path)
    sink.write([call(user_id=f"old-{n:03}") for n in range(900)], {})
    path.rename(old)
    sink.close()

    assert users(old) == [f"old-{n:03}" for n in range(900)]
    assert not path.exists()


def test_stores_that_are_moved_away_daily_leave_no_files_open(tmp_path: Path) -> None:
    """A process that lives through many moves lets go of each file."""
    path = tmp_path / "payi.db"
    sink = sink_of(path)
    for day in range(5):
        sink.write([call()], {})
        path.rename(tmp_path / f"{day}.db")
    sink.close()

    open_now = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [name for name in open_now if str(tmp_path) in name] == []
    assert [len(users(tmp_path / f"{day}.db")) for day in range(5)] == [1] * 5


@pytest.mark.parametrize("how", ["moved", "replaced"])
def test_who_notices_later_harms_nothing(tmp_path: Path, how: str) -> None:
    """Of two processes one goes on with the new file first; the other, which still has the old one open, destroys nothing."""
    path, old = tmp_path / "payi.db", tmp_path / "old.db"
    sink, other = sink_of(path), Other(path, "other")
    sink.write([call(user_id=f"mine-{n}") for n in range(300)], {})
    other.write(300)
    expected: list[str] = []
    path.rename(old)
    if how == "replaced":
        backup(path, 1000).rename(path)
        expected = [f"backup-{n:04}" for n in range(1000)]

    sink.write([call(user_id=f"mine-{n}") for n in range(300, 500)], {})
    other.write(50)
    sink.write([call(user_id=f"mine-{n}") for n in range(500, 600)], {})
    other.write(70)
    other.end()
    sink.close()

    assert is_sound(path)
    later = [f"mine-{n}" for n in range(300, 600)] + [f"other-{n}" for k in (50, 70) for n in range(k)]
    assert users(path) == sorted(expected + later)
    assert is_sound(old)
    assert users(old) == sorted([f"mine-{n}" for n in range(300)] + [f"other-{n}" for n in range(300)])


def test_two_sinks_of_one_process_on_a_store_that_is_replaced(tmp_path: Path) -> None:
    """The second one to notice leaves the log alone, which is the new file's by then, and the first one's locks on it."""
    path = tmp_path / "payi.db"
    first, second = sink_of(path), sink_of(path)
    for sink in (first, second):
        sink.write([call(user_id="old")], {})
    backup(path, 10).rename(path)
    for sink in (first, second, first, second):
        sink.write([call(user_id="new")], {})
    first.close()
    second.close()

    assert is_sound(path)
    assert users(path) == [*(f"backup-{n:04}" for n in range(10)), *["new"] * 4]


def test_the_end_of_a_process_deletes_nothing_of_others(tmp_path: Path) -> None:
    """A process that had to keep the old file's connection does not, at its end, delete the new file's log by name."""
    path = tmp_path / "payi.db"
    other = Other(path, "other")
    other.write(3)
    run(
        """
        import os, sys
        from made import call
        from payi_middleware.settings import Settings
        from payi_middleware.sinks.store import StoreSink
        sink = StoreSink(Settings(store=f"sqlite:///{sys.argv[1]}/payi.db"))
        sink.write([call()], {})
        for name in os.listdir(sys.argv[1]):  # a store comes with a log of its own
            if name.startswith("payi.db"):
                os.rename(f"{sys.argv[1]}/{name}", f"{sys.argv[1]}/old{name}")
        from payi_middleware.store import open_store
        new = open_store(f"sqlite:///{sys.argv[1]}/payi.db", create=True)
        new.write([call(user_id="new")], None)
        sink.write([call(user_id="new")], {})
        """,
        tmp_path,
    )
    other.end()

    assert users(path) == ["new", "new"]
    assert len(users(tmp_path / "oldpayi.db")) == 4


def test_an_old_file_that_is_locked_stops_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the old file's log lies where the new one's would, nothing is written, and the cure is told."""
    path = tmp_path / "payi.db"
    sink = sink_of(path)
    sink.write([call(user_id="old")], {})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    backup(path, 3).rename(path)
    monkeypatch.setattr(replaced, "_PATIENCE", 0.01)

    for _ in range(2):
        with pytest.raises(StoreError, match=r"was replaced while it is in use.*move .*payi\.db-wal and .*-shm away"):
            sink.write([call(user_id="new")], {})
    other.execute("ROLLBACK")
    other.close()
    sink.write([call(user_id="new")], {})
    sink.close()
    assert users(path) == ["backup-0000", "backup-0001", "backup-0002", "new"]


def test_a_reader_of_the_old_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that still reads the old file holds its log; it is waited for, a while."""
    path = tmp_path / "payi.db"
    sink = sink_of(path)
    sink.write([call(user_id="old")], {})
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM events").fetchall()
    sink.write([call(user_id="old")], {})
    backup(path, 1).rename(path)
    monkeypatch.setattr(replaced.forks, "rest", lambda seconds: reader.close())

    sink.write([call(user_id="new")], {})
    sink.close()

    assert users(path) == ["backup-0000", "new"]


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    """Where a folder took the store's place there is nothing to lock; the error is the writer's usual one."""
    path = tmp_path / "payi.db"
    sink = sink_of(path)
    sink.write([call(user_id="old")], {})
    path.rename(tmp_path / "old.db")
    path.mkdir()

    with pytest.raises(StoreError, match="not a regular file"):
        sink.write([call()], {})
    assert users(tmp_path / "old.db") == ["old"]
