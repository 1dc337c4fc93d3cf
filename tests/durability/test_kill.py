"""What a process that is killed leaves behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from children import run, start
from mocked import stored, users

from payi_middleware.intake import take_in
from payi_middleware.settings import Settings

MOMENTS = int(os.environ.get("PAYI_KILLS", "30"))
"""How many processes are killed at a random moment; 200 shows it at length."""


def settings(folder: Path) -> Settings:
    return Settings(store=f"sqlite:///{folder}/payi.db")


def test_ended_calls_survive_a_kill_and_those_in_flight_are_unknown(tmp_path: Path) -> None:
    """After kill -9 right after 1,000 calls ended, the next start has each of them once, and calls in flight as unknown."""
    run(
        """
        import os, signal, sys
        from mocked import ask, client, instrumented, open_stream
        instrumented(sys.argv[1], flush_interval=0.05)
        with client() as asking:
            streams = [open_stream(asking, f"flying-{n}") for n in range(5)]
            for n in range(1000):
                ask(asking, f"user-{n:04}")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path,
    )

    take_in(settings(tmp_path))

    assert users(tmp_path) == [f"user-{n:04}" for n in range(1000)]
    assert users(tmp_path, "unknown") == [f"flying-{n}" for n in range(5)]
    assert len(stored(tmp_path)) == 1005
    assert [path.name for path in (tmp_path / "payi.db.spool").iterdir()] == ["intake.lock"]


NURSERY = """
import os, sys
import payi_middleware.spool
payi_middleware.spool.SEGMENT_BYTES = 32 << 10  # so that segments are opened, left and removed all the time
from mocked import ask, client, instrumented, open_stream
meter = instrumented(sys.argv[1], flush_interval=0.002)
meter.prices.load()
told = int(sys.argv[2])
for line in sys.stdin:
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        os.waitpid(pid, 0)
        print("over", flush=True)
        continue
    number = line.strip()
    with client() as asking:
        stream = open_stream(asking, f"{number}-flying")
        os.write(told, f"{number}-flying\\n".encode())
        for n in range(1_000_000):
            ask(asking, f"{number}-{n}")
            os.write(told, f"{number}-{n}\\n".encode())
"""


def test_nothing_is_lost_or_counted_twice_whenever_a_process_is_killed(tmp_path: Path) -> None:
    """Processes killed at random moments, while they write, roll over and deliver, lose no ended call and double none."""
    reading, writing = os.pipe()
    nursery = start(NURSERY, tmp_path, writing, pass_fds=(writing,), stdin=subprocess.PIPE)
    os.close(writing)
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    moments = random.Random(1)
    told = b""
    for number in range(MOMENTS):
        nursery.stdin.write(f"{number}\n")
        nursery.stdin.flush()
        pid = int(nursery.stdout.readline())
        first = os.read(reading, 1 << 20)
        for _ in range(number % 5):  # calls that it ends at least, however busy the machine
            first += os.read(reading, 1 << 20)
        time.sleep(moments.random() * 0.05)
        os.kill(pid, signal.SIGKILL)
        assert nursery.stdout.readline() == "over\n"
        told += first
        os.set_blocking(reading, False)
        while (more := _read(reading)) is not None:
            told += more
        os.set_blocking(reading, True)
        if number % 3 == 0:
            take_in(settings(tmp_path))
    nursery.stdin.close()
    nursery.wait(10)
    os.close(reading)

    take_in(settings(tmp_path))

    names = told.decode().split()
    ended = {name for name in names if not name.endswith("flying")}
    flying = {name for name in names if name.endswith("flying")}
    outcomes = Counter((event.user_id, event.outcome) for event in stored(tmp_path))
    assert len(flying) == MOMENTS
    assert len(ended) > MOMENTS
    assert set(outcomes.values()) == {1}
    assert [name for name in ended if (name, "ok") not in outcomes] == []
    assert [name for name in flying if (name, "unknown") not in outcomes] == []
    assert len({event.event_id for event in stored(tmp_path)}) == sum(outcomes.values())
    assert len({event.user_id for event in stored(tmp_path)}) == sum(outcomes.values())
    for process_end in (nursery.stdout, nursery.stderr):
        assert process_end is not None
        process_end.close()


def _read(descriptor: int) -> bytes | None:
    try:
        return os.read(descriptor, 1 << 20) or None
    except BlockingIOError:
        return None


@pytest.mark.parametrize("live", [True, False])
def test_leftovers_wait_for_their_owner_to_be_gone(tmp_path: Path, live: bool) -> None:
    """What a living process has on disk is its own business; once it is dead, any other takes it in."""
    owner = start(
        """
        import sys
        from mocked import ask, client, instrumented
        instrumented(sys.argv[1], flush_interval=600.0)
        with client() as asking:
            ask(asking, "jane")
            print("done", flush=True)
            sys.stdin.read()
        """,
        tmp_path,
        stdin=subprocess.PIPE,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "done\n"
    if not live:
        owner.kill()
        owner.wait(10)

    taken = take_in(settings(tmp_path))

    owner.kill()
    owner.communicate()
    assert taken == (0 if live else 1)
    assert take_in(settings(tmp_path)) == (1 if live else 0)
    assert users(tmp_path) == ["jane"]
