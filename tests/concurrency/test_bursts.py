"""Much at once: in one process, and in several on one store and one spool folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from children import run, start
from mocked import ask, client, instrumented, stored, users

from payi_middleware.intake import take_in
from payi_middleware.settings import Settings
from payi_middleware.spool import MEMORY_RECORDS

pytestmark = pytest.mark.slow


def test_a_burst_is_stored_and_memory_stays_bounded(tmp_path: Path) -> None:
    """20,000 events at once, with nobody draining meanwhile: all are stored, and what we hold stays below 12 MB."""
    ended = run(
        """
        import sys, tracemalloc
        from payi_middleware import Meter, record
        from payi_middleware.events import Attribution, Inbound
        from payi_middleware.spool import BEGUN
        from made import call
        meter = Meter(f"sqlite:///{sys.argv[1]}/payi.db", flush_interval=600.0)
        meter.prices.load()
        meter.flush()
        who, where = Attribution(user_id="jane"), Inbound()
        meter.spool.append(record.ended(call().event_id, call()))
        assert meter.flush(30)  # whatever is imported by the first delivery
        tracemalloc.start()
        for number in range(20_000):
            event = call(user_id=f"user-{number:05}")
            fields = ("a", "track", 1, "o", "s", "m", "/", False, 1, event.event_id, who, where)
            meter.spool.append(BEGUN + event.event_id + record.encode(fields))
            meter.spool.append(record.ended(event.event_id, event))
            del event
        held = tracemalloc.get_traced_memory()[0]
        assert meter.flush(60)
        kept, peak = tracemalloc.get_traced_memory()
        print(held < 1_000_000, peak < 12_000_000, kept < 3_000_000, (held, peak, kept), file=sys.stderr)
        meter.close()
        """,
        tmp_path,
    )

    assert ended.stderr.startswith("True True True"), ended.stderr
    found = users(tmp_path)
    assert len(found) == 20_001
    assert len(set(found)) == 20_001


def test_a_burst_without_a_disk_fills_the_memory_queue(tmp_path: Path) -> None:
    """Where nothing can be written to disk, a burst of as many events as may wait is still delivered whole."""
    (tmp_path / "payi.db.spool").write_text("in the way")
    ended = run(
        """
        import sys
        from payi_middleware import Meter, health, record
        from made import call
        meter = Meter(f"sqlite:///{sys.argv[1]}/payi.db", flush_interval=600.0)
        for number in range(int(sys.argv[2]) + 10):
            event = call()
            meter.spool.append(record.ended(event.event_id, event))
        print(meter.flush(60), health.counters()["dropped"])
        """,
        tmp_path,
        MEMORY_RECORDS,
    )

    assert ended.stdout == "True 10\n", ended.stderr
    assert len(stored(tmp_path)) == MEMORY_RECORDS


def test_threads_that_call_at_once(tmp_path: Path) -> None:
    """16 threads of one process lose nothing and double nothing, while events are delivered beside them."""
    with instrumented(tmp_path, flush_interval=0.005, spool_bytes=64 << 20) as meter:
        together = threading.Barrier(16)

        def work(name: int) -> None:
            with client() as asking:
                together.wait()
                for number in range(100):
                    ask(asking, f"{name:02}-{number:03}")

        threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert meter.flush(30)
        assert users(tmp_path) == [f"{name:02}-{number:03}" for name in range(16) for number in range(100)]


def test_processes_that_share_a_store_and_a_spool_folder(tmp_path: Path) -> None:
    """Five processes at once, two of them killed in the end: every call is stored once, whoever takes it in."""
    source = """
    import os, sys
    from mocked import ask, client, instrumented
    import payi_middleware.spool
    payi_middleware.spool.SEGMENT_BYTES = 64 << 10
    meter = instrumented(sys.argv[1], flush_interval=0.05)
    meter.prices.load()
    print("ready", flush=True)
    sys.stdin.readline()
    with client() as asking:
        for number in range(400):
            ask(asking, f"{sys.argv[2]}-{number:03}")
    if sys.argv[2] in "ab":
        os.kill(os.getpid(), 9)
    """
    running = [start(source, tmp_path, name, stdin=-1) for name in "abcde"]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        _, err = process.communicate(timeout=60)
        assert err == ""

    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))

    assert users(tmp_path) == [f"{name}-{number:03}" for name in "abcde" for number in range(400)]
    assert [path.name for path in (tmp_path / "payi.db.spool").iterdir()] == ["intake.lock"]
