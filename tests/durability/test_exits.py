"""The ways in which an interpreter ends."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from children import run, start
from mocked import stored, users

from payi_middleware.intake import take_in
from payi_middleware.settings import Settings

EXPECTED = [f"user-{n:04}" for n in range(1000)]
CALLS = """
import os, sys, threading
from mocked import ask, client, instrumented, open_stream
meter = instrumented(sys.argv[1])
asking = client()
for n in range(1000):
    ask(asking, f"user-{n:04}")
"""


def left(folder: Path) -> list[str]:
    """Files in the spool folder."""
    return sorted(path.name for path in (folder / "payi.db.spool").iterdir() if path.suffix == ".spool")


@pytest.mark.parametrize(
    ("end", "codes"),
    [
        ("", {0}),
        ("sys.exit(3)", {3}),
        ("raise RuntimeError('no')", {1}),
        # CPython forgets that it was an interrupt if another thread, which may still import, runs `exec` meanwhile.
        ("raise KeyboardInterrupt", {1, -signal.SIGINT}),
    ],
    ids=["end", "exit", "exception", "interrupt"],
)
def test_an_interpreter_that_ends_by_itself_delivers_everything(tmp_path: Path, end: str, codes: set[int]) -> None:
    """At the end of a script, after sys.exit, an exception or Ctrl-C, every call is in the store and no file is left."""
    ended = run(CALLS + end, tmp_path)

    assert ended.returncode in codes
    assert users(tmp_path) == EXPECTED
    assert left(tmp_path) == []


def test_os_exit_leaves_everything_for_the_next_start(tmp_path: Path) -> None:
    """os._exit runs no handler; the next process of the application takes in what is left, before any call of its own."""
    run(CALLS + "os._exit(0)", tmp_path)

    run(
        """
        import sys, time
        from mocked import instrumented, stored
        meter = instrumented(sys.argv[1])
        meter.warm()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and (not meter.prices.ready or not meter.drainer.has_reported):
            time.sleep(0.05)
        """,
        tmp_path,
    )

    assert users(tmp_path) == EXPECTED
    assert left(tmp_path) == []


def test_sigterm_without_a_handler_loses_nothing(tmp_path: Path) -> None:
    """Uncaught SIGTERM ends a process on the spot; what it had not delivered is taken in afterwards, once."""
    process = start(CALLS + "print('done', flush=True)\nimport time; time.sleep(60)", tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"

    process.terminate()
    process.communicate(timeout=30)
    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))

    assert process.returncode == -signal.SIGTERM
    assert users(tmp_path) == EXPECTED
    assert left(tmp_path) == []


def test_daemon_threads_that_call_until_the_end_do_not_disturb_it(tmp_path: Path) -> None:
    """An interpreter that ends while daemon threads make calls ends in time; every call that ended there is kept once."""
    ended = run(
        """
        import os, sys, threading, time
        from mocked import ask, client, instrumented
        instrumented(sys.argv[1], flush_timeout=1.0)
        told = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        def work(name):
            with client() as asking:
                for n in range(1_000_000):
                    ask(asking, f"{name}-{n}")
                    os.write(told, f"{name}-{n}\\n".encode())
        for name in "abc":
            threading.Thread(target=work, args=(name,), daemon=True).start()
        time.sleep(0.5)
        """,
        tmp_path,
        tmp_path / "told",
    )

    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))

    told = set((tmp_path / "told").read_text().split())
    kept = users(tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(kept) == len(set(kept))
    assert told - set(kept) == set()
    assert left(tmp_path) == []


def test_an_answer_that_is_never_closed_does_not_hold_the_end(tmp_path: Path) -> None:
    """A stream that the script keeps to its end is a call like any other, and the interpreter ends without waiting for it."""
    ended = run(
        """
        import sys
        from mocked import client, instrumented, open_stream
        instrumented(sys.argv[1])
        asking = client()
        kept = open_stream(asking, "jane")
        sys.kept_to_the_very_end = open_stream(asking, "joe")
        """,
        tmp_path,
    )
    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert {(event.user_id, event.outcome) for event in stored(tmp_path)} <= {
        (user, outcome) for user in ("jane", "joe") for outcome in ("unknown", "aborted")
    }
    assert len(stored(tmp_path)) == 2


def test_calls_of_exit_handlers_are_kept(tmp_path: Path) -> None:
    """A call that an exit handler makes after ours ran waits in the spool for the next start."""
    ended = run(
        """
        import atexit, sys
        def last_words():
            ask(asking, "late")
        atexit.register(last_words)
        from mocked import ask, client, instrumented
        meter = instrumented(sys.argv[1])
        asking = client()
        ask(asking, "early")
        """,
        tmp_path,
    )
    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))

    assert (ended.returncode, ended.stderr) == (0, "")
    assert users(tmp_path) == ["early", "late"]


def test_a_process_that_may_start_no_thread_delivers_at_its_end(tmp_path: Path) -> None:
    """Where the system refuses another thread, calls go on and their events are delivered at exit."""
    ended = run(
        """
        import sys, threading
        from mocked import ask, client, instrumented
        from payi_middleware import health
        def refuse(*arguments):
            raise RuntimeError("can't start new thread")
        threading.Thread.start = refuse
        instrumented(sys.argv[1])
        with client() as asking:
            for n in range(3):
                ask(asking, "jane")
        print(health.counters()["thread_refused"] >= 3)
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == ("True\n", "")
    assert users(tmp_path) == ["jane"] * 3


def test_an_interpreter_ends_in_time_though_the_store_is_locked(tmp_path: Path) -> None:
    """Another program's lock on the store delays the end by no more than `flush_timeout`, and the events wait."""
    locking = start(
        """
        import sqlite3, sys
        from payi_middleware.store import open_store
        open_store(f"sqlite:///{sys.argv[1]}/payi.db", create=True).close()
        connection = sqlite3.connect(f"{sys.argv[1]}/payi.db", isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        print("locked", flush=True)
        sys.stdin.read()
        """,
        tmp_path,
        stdin=subprocess.PIPE,
    )
    assert locking.stdout is not None
    assert locking.stdout.readline() == "locked\n"

    ended = run(CALLS.replace("sys.argv[1]", "sys.argv[1], flush_timeout=0.5"), tmp_path, timeout=20)

    locking.kill()
    locking.communicate()
    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))
    assert ended.returncode == 0
    assert users(tmp_path) == EXPECTED
