"""Processes that are copied after a meter ran."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from children import run
from mocked import stored, users

from payi_middleware.intake import take_in
from payi_middleware.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork")


def taken_in(folder: Path) -> list[str]:
    take_in(Settings(store=f"sqlite:///{folder}/payi.db"))
    return users(folder)


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_parent_and_child_go_on_after_a_fork(tmp_path: Path, end: str) -> None:
    """After os.fork with a thread, files and a database open, parent and child each keep their 500 calls."""
    ended = run(
        f"""
        import os, sys
        from mocked import ask, client, instrumented
        meter = instrumented(sys.argv[1], flush_interval=0.01)
        asking = client()
        ask(asking, "parent-before")
        meter.flush()
        pid = os.fork()
        name = "parent" if pid else "child"
        for n in range(500):
            ask(asking, f"{{name}}-{{n:03}}")
        if not pid:
            {end}
        print(os.waitpid(pid, 0)[1])
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == ("0\n", "")
    assert taken_in(tmp_path) == sorted(
        [*(f"child-{n:03}" for n in range(500)), *(f"parent-{n:03}" for n in range(500)), "parent-before"]
    )


def test_a_call_in_flight_over_a_fork_belongs_to_the_parent(tmp_path: Path) -> None:
    """A stream that is open when the process forks ends in the parent, once, even after the child has ended."""
    run(
        """
        import os, sys
        from mocked import ask, client, instrumented, open_stream
        meter = instrumented(sys.argv[1], flush_interval=0.01)
        asking = client()
        stream = open_stream(asking, "jane")
        pid = os.fork()
        if not pid:
            ask(asking, "child")
            os._exit(0)
        os.waitpid(pid, 0)
        stream.close()
        """,
        tmp_path,
    )
    take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db"))

    assert sorted((event.user_id, event.outcome) for event in stored(tmp_path)) == [
        ("child", "ok"),
        ("jane", "aborted"),
    ]


def test_a_child_that_drops_its_copy_of_a_call_does_not_end_it(tmp_path: Path) -> None:
    """The parent's call still runs: it has its hold, and later its own end."""
    ended = run(
        """
        import gc, os, sys
        from mocked import client, instrumented, open_stream
        from payi_middleware import Limit
        from payi_middleware.limits.opening import open_ledger

        meter = instrumented(sys.argv[1], limits=[Limit("all", 10, unit="calls")])
        stream = open_stream(client(), "jane")
        pid = os.fork()
        if not pid:
            stream.close()
            del stream
            gc.collect()
            os._exit(0 if meter.close() else 1)
        child = os.waitpid(pid, 0)[1]
        ledger = open_ledger(meter.settings)
        running = len(ledger.held())
        stream.read()
        print(child, running, meter.flush(), len(ledger.held()))
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == ("0 1 True 0\n", "")
    assert [event.user_id for event in stored(tmp_path)] == ["jane"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_workers_keep_their_calls(tmp_path: Path, method: str) -> None:
    """Pools of processes, forked or spawned, keep every call of theirs and of their parent's."""
    (tmp_path / "work.py").write_text(
        """
import multiprocessing, sys
from mocked import ask, client, instrumented

meter = instrumented(sys.argv[1], flush_interval=0.01)

def work(worker):
    with client() as asking:
        for n in range(100):
            ask(asking, f"{worker}-{n:02}")

if __name__ == "__main__":
    work("before")
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        pool.map(work, range(4), chunksize=1)
    work("parent")
"""
    )
    ended = run(
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, sys.argv[1] + '/work.py', *sys.argv[1:]]))",
        tmp_path,
        method,
    )

    assert ended.returncode == 0, ended.stderr
    expected = [f"{worker}-{n:02}" for worker in ("before", "parent", *range(4)) for n in range(100)]
    assert taken_in(tmp_path) == sorted(expected)


def test_a_fork_while_rates_are_loaded_leaves_the_child_able_to_deliver(tmp_path: Path) -> None:
    """A fork in the middle of the first import of rates does not copy a module that is half imported for ever."""
    ended = run(
        """
        import os, sys, time
        from mocked import ask, client, instrumented
        meter = instrumented(sys.argv[1])
        asking = client()
        meter.warm()
        children = []
        for number in range(6):
            time.sleep(0.03)
            pid = os.fork()
            if not pid:
                ask(asking, f"child-{number}")
                os._exit(0 if meter.flush(10) else 1)
            children.append(pid)
        ask(asking, "parent")
        print([os.waitpid(pid, 0)[1] for pid in children], meter.flush(10))
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == (f"{[0] * 6} True\n", "")
    assert users(tmp_path) == [*(f"child-{n}" for n in range(6)), "parent"]


def test_a_fork_waits_for_an_import_as_long_as_it_takes(tmp_path: Path) -> None:
    """Rates that load for longer than a fork waits for other work (no bytecode, a slow disk) are whole in the child."""
    ended = run(
        """
        import os, sys, time

        class Slow:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "genai_prices.data" and os.getpid() == main:
                    begun.append(name)
                    time.sleep(1)

        main, begun = os.getpid(), []
        sys.meta_path.insert(0, Slow)
        from mocked import ask, client, instrumented
        from payi_middleware import meter as meters
        meters.FORK_PATIENCE = 0.05
        meter = instrumented(sys.argv[1])
        meter.warm()
        while not begun:
            time.sleep(0.001)
        pid = os.fork()
        if not pid:
            ask(client(), "child")
            os._exit(0 if meter.flush(10) else 1)
        print(os.waitpid(pid, 0)[1], meter.flush(10))
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == ("0 True\n", "")
    (found,) = stored(tmp_path)
    assert found.cost is not None


@pytest.mark.parametrize("thread", ["rates", "delivery", "updates"])
def test_a_fork_while_a_thread_of_ours_imports_what_is_to_be_hooked(tmp_path: Path, thread: str) -> None:
    """Who does not use httpx2 has it imported in our threads first: hooking it then waits for no lock that a fork holds."""
    ended = run(
        """
        import os, sys, time
        from payi_middleware import Meter, instrument
        away = "http://127.0.0.1:9"
        settings = {"rates": {}, "delivery": {"api_key": "k", "base_url": away}, "updates": {"update_prices": 3600}}
        meter = Meter(f"sqlite:///{sys.argv[1]}/payi.db", flush_interval=0.01, **settings[sys.argv[2]])
        meter._updates._url = away
        instrument(meter)
        meter.record("system.openai", "gpt-4o-mini", {"text": (10, 5)})
        while "httpx2" not in sys.modules:
            time.sleep(0.001)
        pid = os.fork()
        if not pid:
            import httpx2
            os._exit(0 if hasattr(httpx2, "Client") and meter.hooks["httpx2"] == "seam" else 1)
        print(os.waitpid(pid, 0)[1], meter.hooks["httpx2"])
        """,
        tmp_path,
        thread,
        timeout=30,  # less than a fork waits for an import
    )

    assert ended.stdout == "0 seam\n", ended.stderr


def test_a_fork_that_a_signal_breaks_into(tmp_path: Path) -> None:
    """Python forks although a handler raised while we waited for our threads: the child has a spool of its own all the same."""
    ended = run(
        """
        import os, signal, sys, threading
        from mocked import ask, client, instrumented
        from payi_middleware import forks
        meter = instrumented(sys.argv[1], flush_interval=60)
        asking = client()
        ask(asking, "before")

        def work():
            with forks.at_work():
                working.set()
                over.wait(20)

        def handler(*_):
            over.set()
            raise TimeoutError

        working, over = threading.Event(), threading.Event()
        threading.Thread(target=work).start()
        working.wait()
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        pid = os.fork()
        for n in range(5):
            ask(asking, f"{'parent' if pid else 'child'}-{n}")
        if not pid:
            os._exit(0)
        print(os.waitpid(pid, 0)[1], meter.flush(20))
        """,
        tmp_path,
    )

    assert ended.stdout == "0 True\n", ended.stderr
    assert "TimeoutError" in ended.stderr
    assert taken_in(tmp_path) == ["before", *(f"child-{n}" for n in range(5)), *(f"parent-{n}" for n in range(5))]


def test_forks_between_deliveries_leave_parent_and_child_able_to_deliver(tmp_path: Path) -> None:
    """Forks while events are delivered every millisecond break neither the parent's deliveries nor the child's."""
    ended = run(
        """
        import os, sys, time
        from mocked import ask, client, instrumented
        meter = instrumented(sys.argv[1], flush_interval=0.001)
        meter.prices.load()
        asking = client()
        children = []
        for number in range(20):
            ask(asking, "parent")
            time.sleep(0.002)
            pid = os.fork()
            if not pid:
                ask(asking, f"child-{number:02}")
                os._exit(0 if meter.flush(20) else 1)
            children.append(pid)
        print([os.waitpid(pid, 0)[1] for pid in children], meter.flush(20))
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == (f"{[0] * 20} True\n", "")
    assert users(tmp_path) == sorted([*(f"child-{n:02}" for n in range(20)), *["parent"] * 20])


def test_a_child_of_a_process_without_rates_has_its_owners_prices(tmp_path: Path) -> None:
    """A preloading server forks its workers before any rate was loaded: they price by the owner's rates all the same."""
    (tmp_path / "prices.toml").write_text(
        '[[rate]]\nmodels = ["gpt-4o-mini*"]\nsource = "our contract"\nrates = { "text.input" = "2/M", "text.output" = "3/M" }\n'
    )
    ended = run(
        """
        import os, sys
        from mocked import ask, client, instrumented
        meter = instrumented(sys.argv[1], prices=sys.argv[1] + "/prices.toml")
        pid = os.fork()
        if not pid:
            ask(client(), "child")
            os._exit(0 if meter.flush(20) else 1)
        print(os.waitpid(pid, 0)[1])
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == ("0\n", "")
    (found,) = stored(tmp_path)
    assert found.cost is not None
    assert {line.source for line in found.cost.lines} == {"our contract"}


def test_threads_that_fork_at_once_do_not_lock_each_other_out(tmp_path: Path) -> None:
    """Several threads that fork at the same time while others call: all go on, and all calls are kept."""
    ended = run(
        """
        import os, sys, threading, time
        os.register_at_fork(before=lambda: time.sleep(0.01))  # runs after ours, as one that was there before
        from mocked import ask, client, instrumented
        meter = instrumented(sys.argv[1], flush_interval=0.01)
        meter.prices.load()
        def fork(name):
            with client() as asking:
                for n in range(10):
                    ask(asking, f"{name}-{n}")
                    pid = os.fork()
                    if not pid:
                        os._exit(0)
                    os.waitpid(pid, 0)
        threads = [threading.Thread(target=fork, args=(name,), daemon=True) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        print([thread.is_alive() for thread in threads], flush=True)
        os._exit(0)
        """,
        tmp_path,
    )

    assert (ended.stdout, ended.stderr) == (f"{[False] * 4}\n", "")
    assert taken_in(tmp_path) == sorted(f"{name}-{n}" for name in "abcd" for n in range(10))
