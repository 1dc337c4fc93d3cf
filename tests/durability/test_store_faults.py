"""A store or a spool folder that cannot be used: the application goes on, the events wait, the log names the cure once."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from children import GREENLETS, environment, run
from mocked import URL, ask, client, instrumented, stored, users

from payi_middleware import health, uninstrument
from payi_middleware.meter import Meter, meters
from payi_middleware.store import open_store, sqlite

NAMES = [f"user-{number:03}" for number in range(200)]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    health.reset()
    monkeypatch.setitem(open_store.__kwdefaults__, "timeout", 0.2)
    yield
    uninstrument()
    for meter in meters():
        meter.close()
    health.reset()


@pytest.fixture
def asking() -> Iterator[httpx2.Client]:
    with client() as made:
        yield made


def waits_and_arrives(
    folder: Path,
    asking: httpx2.Client,
    caplog: pytest.LogCaptureFixture,
    cure: str,
    *,
    mend: Callable[[], Any],
    flush: float = 30,
) -> Meter:
    """Calls go through and wait on disk; one warning names the cure; once the store is well they arrive by themselves."""
    meter = instrumented(folder, flush_interval=0.01)
    for name in NAMES:
        ask(asking, name)
    assert not meter.flush(flush)
    assert meter.spool.durable
    assert any((folder / "payi.db.spool").glob("*.spool"))
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert cure in warning.getMessage()
    assert health.counters()["sink_refused"] >= 1
    mend()
    assert meter.flush(30)
    assert users(folder) == NAMES
    return meter


def test_a_locked_store(tmp_path: Path, asking: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    """Another program holds an exclusive transaction."""
    open_store(f"sqlite:///{tmp_path}/payi.db", create=True).close()
    other = sqlite3.connect(tmp_path / "payi.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    waits_and_arrives(tmp_path, asking, caplog, "end that program", mend=lambda: other.execute("ROLLBACK"))

    other.close()


def test_a_lock_that_comes_while_the_application_runs(tmp_path: Path, asking: httpx2.Client) -> None:
    """A store that was written to and is locked later takes the rest afterwards, nothing twice."""
    with instrumented(tmp_path, flush_interval=0.01) as meter:
        ask(asking, "before")
        assert meter.flush(30)
        other = sqlite3.connect(tmp_path / "payi.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        ask(asking, "during")
        assert not meter.flush(0.3)
        other.execute("ROLLBACK")
        other.close()

        assert meter.flush(30)
        assert users(tmp_path) == ["before", "during"]


def test_under_gevent_a_locked_store_stops_no_other_greenlet(tmp_path: Path) -> None:
    """While the drainer waits for the lock, the greenlet that holds it goes on and lets go: not one try has to fail."""
    ended = run(
        """
        from gevent import monkey
        monkey.patch_all()
        import sqlite3, sys, threading
        import gevent
        from mocked import ask, client, instrumented
        from payi_middleware import forks, health
        waits = threading.Event()
        rest = forks.rest
        def told(seconds):
            waits.set()
            rest(seconds)
        forks.rest = told
        meter = instrumented(sys.argv[1], flush_interval=0.01)
        with client() as asking:
            ask(asking, "before")
            assert meter.flush(20)
            lock = sqlite3.connect(sys.argv[1] + "/payi.db", isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
            waits.clear()
            ask(asking, "during")
            assert waits.wait(20)
            gevent.sleep(0.1)
            lock.execute("ROLLBACK")
            lock.close()
            print(meter.flush(20), health.counters())
        meter.close()
        """,
        tmp_path,
        env=environment(**GREENLETS),
    )

    assert (ended.stdout, ended.stderr) == ("True {}\n", "")
    assert users(tmp_path) == ["before", "during"]


def test_a_corrupt_store(tmp_path: Path, asking: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is no database any more: moved away, a new one is made."""
    (tmp_path / "payi.db").write_bytes(b"SQLite format 3\0" + os.urandom(8192))

    waits_and_arrives(tmp_path, asking, caplog, "move", mend=(tmp_path / "payi.db").unlink)


def test_a_store_of_a_newer_version(tmp_path: Path, asking: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    """Older code leaves its events in the spool."""
    open_store(f"sqlite:///{tmp_path}/payi.db", create=True).close()
    newer = sqlite3.connect(tmp_path / "payi.db")
    (version,) = newer.execute("PRAGMA user_version").fetchone()
    newer.execute("PRAGMA user_version = 99")

    waits_and_arrives(
        tmp_path, asking, caplog, "upgrade", mend=lambda: newer.execute(f"PRAGMA user_version = {version}")
    )

    newer.close()


def test_a_store_that_is_a_folder(tmp_path: Path, asking: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    """Something else stands where the store should be."""
    (tmp_path / "payi.db").mkdir()

    waits_and_arrives(tmp_path, asking, caplog, "not a regular file", mend=(tmp_path / "payi.db").rmdir)


def test_a_store_whose_file_goes_away(tmp_path: Path, asking: httpx2.Client) -> None:
    """A store deleted under a running application is made anew; what comes afterwards is in it."""
    with instrumented(tmp_path) as meter:
        ask(asking, "before")
        assert meter.flush(30)
        for path in tmp_path.glob("payi.db*"):
            if path.is_file():
                path.unlink()
        ask(asking, "after")

        assert meter.flush(30)
        assert users(tmp_path) == ["after"]


def test_a_full_store(
    tmp_path: Path, asking: httpx2.Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that may not grow any more takes nothing of the batch, and all of it once it may."""
    prepared = sqlite._tune
    pages = [20]

    def bounded(connection: sqlite3.Connection) -> None:
        prepared(connection)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")

    monkeypatch.setattr(sqlite, "_tune", bounded)

    waits_and_arrives(tmp_path, asking, caplog, "free some space", mend=lambda: pages.__setitem__(0, 1 << 30))


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("mount"), reason="needs the right to mount")
def test_a_full_disk(tmp_path: Path) -> None:
    """On a disk of 8 MB that fills up, all calls go through; what fits nowhere is dropped, counted and logged once."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        ended = run(
            """
            import sys
            from mocked import ask, client, instrumented
            from payi_middleware import health, spool
            spool.MEMORY_RECORDS, spool.FIRST_BYTES = 500, spool.SEGMENT_BYTES
            with open(sys.argv[1] + "/ballast", "wb") as ballast:
                ballast.write(bytes(4_500_000))  # room for no segment
            meter = instrumented(sys.argv[1], spool_dir=sys.argv[1] + "/spool", flush_interval=600.0)
            meter.flusher.pause(10)  # what only memory holds would be delivered at once
            with client() as asking:
                for n in range(800):
                    ask(asking, "jane")
            meter.flusher.resume()
            print(health.counters())
            """,
            disk,
        )
        assert ended.stdout == "{'spool_refused': 1, 'dropped': 300}\n"
        assert ended.stderr.count("cannot be written") == 1
        assert ended.stderr.count("are dropped") == 1
        assert users(disk) == ["jane"] * 500
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become somebody else")
@pytest.mark.parametrize("what", ["store", "folder"])
def test_a_read_only_store(tmp_path: Path, what: str) -> None:
    """A user who may not write the store, or not its folder, still has the calls, and they arrive once the right is given."""
    os.chmod(tmp_path, 0o711)
    for parent in tmp_path.parents[:3]:
        os.chmod(parent, os.stat(parent).st_mode | 0o711)
    place = tmp_path / "store"
    place.mkdir()
    open_store(f"sqlite:///{place}/payi.db", create=True).close()
    spool = tmp_path / "spool"
    spool.mkdir()
    os.chown(spool, 65534, 65534)
    if what == "folder":
        os.chmod(place, 0o500)
    else:
        os.chmod(place, 0o755)
        os.chmod(place / "payi.db", 0o444)

    ended = run(
        """
        import os, sys
        from mocked import ask, client, instrumented
        meter = instrumented(sys.argv[1], spool_dir=sys.argv[2])
        meter.drainer.prepare()  # what is imported later, this user may not read
        import payi_middleware.store.sqlite, payi_middleware.sinks.store, logging.handlers, tiktoken
        os.setgid(65534)
        os.setuid(65534)
        with client() as asking:
            for n in range(20):
                ask(asking, "jane")
        print(meter.flush(20))
        """,
        place,
        spool,
    )
    os.chmod(place, 0o700)

    assert ended.stdout == "False\n", ended.stderr
    assert ended.stderr.count("give this user the right to write") == 1
    with Meter(f"sqlite:///{place}/payi.db", spool_dir=spool) as meter:
        ends = time.monotonic() + 30
        # Whoever looks at a process while it dies keeps its files locked for a moment.
        while not users(place) and time.monotonic() < ends:
            meter.drainer.look_around()  # as its thread does when it starts, and then each half minute
    assert users(place) == ["jane"] * 20


def test_a_spool_folder_that_cannot_be(tmp_path: Path, asking: httpx2.Client, caplog: pytest.LogCaptureFixture) -> None:
    """Where the spool cannot be written, events go through memory to the store, with one warning."""
    (tmp_path / "payi.db.spool").write_text("mine")
    meter = instrumented(tmp_path, flush_interval=600.0)
    for name in NAMES:
        ask(asking, name)

    assert meter.close()
    assert users(tmp_path) == NAMES
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"the spool {tmp_path}/payi.db.spool cannot be written ([Errno 17] File exists"
    ]
    assert meter.health()["spool"] == {"dir": f"{tmp_path}/payi.db.spool", "bytes": 0, "durable": False}


def test_the_calls_themselves_never_fail(tmp_path: Path, asking: httpx2.Client) -> None:
    """Neither store nor spool: the answers are the provider's."""
    (tmp_path / "payi.db").mkdir()
    (tmp_path / "payi.db.spool").write_text("mine")
    instrumented(tmp_path, flush_interval=0.01)
    answers = [asking.post(URL, json={"model": "gpt-4o-mini", "messages": []}) for _ in range(50)]

    assert [answer.json()["usage"]["total_tokens"] for answer in answers] == [110] * 50
    (tmp_path / "payi.db").rmdir()
    for meter in meters():
        assert meter.flush(30)
    assert len(stored(tmp_path)) == 50
