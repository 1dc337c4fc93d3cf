"""Events on their way to a server: whatever becomes of it, of us, or of the network."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from children import environment, run, start
from forking import in_child
from made import DAY, START_NS, call
from mocked import ask, client, instrumented, stored
from payiserver import KEY, PayiServer, hang, status
from typer.testing import CliRunner

from payi_middleware import Meter, health
from payi_middleware.cli import app
from payi_middleware.exceptions import StoreError
from payi_middleware.flush import Flusher
from payi_middleware.intake import take_in
from payi_middleware.pricing import Prices
from payi_middleware.settings import Settings, load
from payi_middleware.sinks import circuit, delivery, sources
from payi_middleware.sinks.delivery import Delivery
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.store import open_store
from payi_middleware.store.deliveries import Delivered
from payi_middleware.store.prune import Pruned, day_before, prune

PATIENCE = 60.0
"""Seconds until a test gives up; nothing waits so long unless it fails."""
KILLS = int(os.environ.get("PAYI_KILLS", "6"))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are short enough for tests."""
    monkeypatch.setattr(circuit, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(circuit, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(delivery, "OTHERS_SECONDS", 0.02)


@pytest.fixture
def server() -> Iterator[PayiServer]:
    with PayiServer() as running:
        yield running


@pytest.fixture
def down() -> Iterator[PayiServer]:
    """A server that nobody has started yet."""
    made = PayiServer()
    yield made
    made.stop()


def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happens"
        time.sleep(0.005)


def meter_for(server: PayiServer, folder: Path, **settings: Any) -> Meter:
    return instrumented(folder, **({"api_key": KEY, "base_url": server.url, "flush_interval": 0.01} | settings))


def asked(*users: str, **given: Any) -> None:
    with client() as asking:
        for user in users:
            ask(asking, user, **given)


def names(n: int, prefix: str = "user") -> list[str]:
    return [f"{prefix}-{number:04}" for number in range(n)]


def place(folder: Path) -> Delivered:
    with open_store(f"sqlite:///{folder}/payi.db", create=False) as store:
        (found,) = store.deliveries()
        return found


def nothing_waits(folder: Path) -> bool:
    """Whether somebody has begun to send, and all is sent."""
    with open_store(f"sqlite:///{folder}/payi.db", create=False) as store:
        return [found.waiting for found in store.deliveries()] == [0]


@pytest.mark.parametrize("is_ours", [False, True])
def test_calls_arrive_once_and_in_their_order(tmp_path: Path, is_ours: bool) -> None:
    """Each call is at the server, in the order in which they ended, and with the same id as in the store; a later start sends none again."""
    with PayiServer(ours=is_ours) as server:
        with meter_for(server, tmp_path) as meter:
            asked(*names(450))
            assert meter.flush(PATIENCE)
        with meter_for(server, tmp_path) as meter:
            asked("last")
            assert meter.flush(PATIENCE)

        ids = [str(json.loads(event.to_json())["event_id"]) for event in stored(tmp_path)]
        path = "/api/v1/events" if is_ours else "/api/v1/ingest/bulk"
        sizes = [one.body.count(b'"gpt-4o-mini-2024-07-18"') for one in server.asked if one.path == path]
    if is_ours:
        assert sorted(item["event_id"] for item in server.taken) == sorted(ids)
        assert [item["user_id"] for item in server.taken] == [*names(450), "last"]
    else:  # every answer of the stand-in has one id, by which Pay-i drops what it has
        assert len(server.taken) == 1
    assert sum(sizes) >= 451
    assert place(tmp_path).waiting == 0


def test_a_dead_server_holds_nothing_up(tmp_path: Path, down: PayiServer) -> None:
    """While nobody is there the store takes everything, a flush says that not all is delivered; when it is back all arrive."""
    down.ours = True
    with meter_for(down, tmp_path) as meter:
        asked(*names(20))
        assert not meter.flush(PATIENCE)
        until(lambda: health.counters().get("delivery", 0) >= 3)
        assert not meter.flush(PATIENCE)
        assert len(stored(tmp_path)) == 20

        down.start()
        until(lambda: len(down.taken) == 20)
        assert meter.flush(PATIENCE)
    assert down.users() == names(20)


def test_a_server_that_hangs_does_not_hold_the_store(tmp_path: Path) -> None:
    """While a request hangs, later calls come into the store, and a flush gives up in its time."""
    hanging = hang()
    with PayiServer(ours=True) as server:
        server.script.append(hanging)
        with meter_for(server, tmp_path) as meter:
            asked("first")
            until(hanging.reached.is_set)
            asked(*names(5))
            assert not meter.flush(0.05)
            until(lambda: len(stored(tmp_path)) == 6)
            assert server.taken == []

            hanging.let_go.set()
            until(lambda: len(server.taken) == 6)
    assert server.users() == ["first", *names(5)]


def test_errors_of_the_server_pass(tmp_path: Path) -> None:
    """After errors one event probes; the rest follows, each once and in order."""
    with PayiServer(ours=True) as server:
        server.script.extend([status(500), status(502, "not JSON"), status(503)])
        with meter_for(server, tmp_path) as meter:
            asked(*names(30))
            until(lambda: len(server.taken) == 30)
            assert meter.flush(PATIENCE)

        sizes = [one.body.count(b"\n") + 1 for one in server.asked if one.path == "/api/v1/events"]
    assert server.users() == names(30)
    assert sizes[1:4] == [1, 1, 1]


class Breaking:
    """Makes a server answer 500 to whatever brings an event of the user `poison`, and first to everything."""

    def __init__(self, server: PayiServer) -> None:
        self.server = server
        self.is_broken = False
        server.script.append(self)

    def __call__(self, request: Any) -> Any:
        self.server.script.append(self)
        return status(500)(request) if self.is_broken or b"poison" in self.server.asked[-1].body else None


def set_aside(folder: Path) -> list[tuple[str, int]]:
    return [(why.message, why.events) for why in place(folder).rejections]


def test_events_at_which_the_server_breaks(tmp_path: Path) -> None:
    """Events that are answered by 500 again and again, while others get through, are set aside, also several in a row; if none gets through, all wait."""
    with PayiServer(ours=True) as server:
        breaking = Breaking(server)
        breaking.is_broken = True
        with meter_for(server, tmp_path) as meter:
            asked("poison", *names(3), *["poison"] * 5, "last")
            until(lambda: health.counters().get("delivery", 0) > 2 * circuit.SUSPECTS_AT)
            assert health.counters().get("delivery_rejected") is None
            breaking.is_broken = False
            until(lambda: len(server.taken) == 4)
            assert meter.flush(PATIENCE)
    assert sorted(server.users()) == sorted([*names(3), "last"])
    assert set_aside(tmp_path) == [("it answers 500", 6)]


def test_events_at_which_the_server_still_breaks(tmp_path: Path) -> None:
    """Those that were set aside and are offered again stand in nobody's way: new calls get through, and they are set aside anew."""
    url = f"sqlite:///{tmp_path}/payi.db"
    with PayiServer(ours=True) as server:
        breaking = Breaking(server)
        with meter_for(server, tmp_path) as meter:
            asked("poison", "poison", "jane")
            until(lambda: server.users() == ["jane"] and meter.flush(PATIENCE))
            with open_store(url, create=True) as store:
                assert store.offer_again() == 2
            asked("poison", "joe", "jim")
            until(lambda: server.users() == ["jane", "joe", "jim"] and meter.flush(PATIENCE))
            assert set_aside(tmp_path) == [("it answers 500", 3)]

            breaking.is_broken = True
            with open_store(url, create=True) as store:
                store.offer_again()
            asked("poison", "jack")
            before = health.counters()["delivery"]
            until(lambda: health.counters()["delivery"] > before + 2 * circuit.SUSPECTS_AT)
            assert set_aside(tmp_path) == [("it answers 500", 3)]
            server.script.clear()
            until(lambda: len(server.taken) == 8 and meter.flush(PATIENCE))
    assert place(tmp_path).rejected == 0


def test_a_server_that_asks_for_time_has_it(tmp_path: Path) -> None:
    """As long as `Retry-After` says, not even a flush asks again, nor waits."""
    with PayiServer(ours=True) as server:
        server.script.extend([status(429, None, Retry_After="3000")])
        with meter_for(server, tmp_path) as meter:
            asked("jane")
            until(lambda: health.counters().get("delivery"))
            before = len(server.asked)
            assert not meter.flush(PATIENCE)
            assert not meter.close(PATIENCE)
    assert len(server.asked) == before
    assert place(tmp_path)[1:3] == (0, 1)


def test_what_was_never_sent_is_kept(tmp_path: Path, down: PayiServer) -> None:
    """Old calls stay in the store as long as the server takes none, and the doctor says so; once it has them they can go."""
    url = f"sqlite:///{tmp_path}/payi.db"
    down.ours = True
    with open_store(url, create=True) as store, meter_for(down, tmp_path) as meter:
        store.write([call(user_id=name) for name in names(3)])
        meter.warm()
        until(lambda: health.counters().get("delivery"))
        tomorrow = day_before(START_NS + 2 * DAY)
        assert [step for step in prune(store, tomorrow) if step.events or step.waiting] == [Pruned(waiting=3)]
        told = CliRunner().invoke(app, ["doctor", "--store", url]).output
        assert f"Delivery {down.url} (default): 3 calls wait, 0 are set aside, none was taken yet" in told

        down.start()
        until(lambda: meter.flush(PATIENCE))
        assert sum(step.events for step in prune(store, tomorrow)) == 3
    assert down.users() == names(3)


def test_a_key_that_is_refused_is_said_loudly_and_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has one line that names the cure and not the key; when the key is valid all arrive."""
    monkeypatch.setattr("payi_middleware.sinks.api.KEY_PAUSE", 0.01)
    with PayiServer(ours=True) as server:
        server.keys = {"another"}
        with meter_for(server, tmp_path) as meter:
            asked("jane")
            until(lambda: health.counters().get("delivery_key", 0) >= 3)
            server.keys = {KEY}
            until(lambda: server.taken)
            assert meter.flush(PATIENCE)
    (told,) = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert "events are NOT delivered" in told
    assert "Set PAYI_API_KEY to a key that is valid" in told
    assert KEY not in told


class TestSetAside:
    """Events that a server refuses."""

    def refuse(self, server: PayiServer) -> None:
        server.refuses = lambda item: ("invalid_user_id", "spaces") if " " in item["user_id"] else None

    def test_they_block_nothing(self, tmp_path: Path) -> None:
        """The others arrive, and what was refused is told with its reason, in the log once and by the doctor."""
        with PayiServer(ours=True) as server, meter_for(server, tmp_path) as meter:
            self.refuse(server)
            asked("a b", "jane", "c d", "joe")
            assert meter.flush(PATIENCE)
            assert server.users() == ["jane", "joe"]
        found = place(tmp_path)
        assert (found.waiting, found.rejected) == (0, 2)
        assert [(why.code, why.message, why.events) for why in found.rejections] == [("invalid_user_id", "spaces", 2)]
        assert health.counters()["delivery_rejected"] == 2

        told = CliRunner().invoke(app, ["doctor", "--store", f"sqlite:///{tmp_path}/payi.db"]).output
        assert f"Delivery {server.url} (default): 0 calls wait, 2 are set aside, last taken 20" in told
        assert f"PROBLEM: {server.url} refused 2 calls of default: invalid_user_id, spaces" in told
        assert "then run `payi spool retry`" in told

    def test_they_are_offered_again(self, tmp_path: Path) -> None:
        """`payi spool retry` sends them when the cause is mended, and tells what is still refused."""
        url = f"sqlite:///{tmp_path}/payi.db"
        with PayiServer(ours=True) as server:
            env = {"PAYI_API_KEY": KEY, "PAYI_BASE_URL": server.url}
            with meter_for(server, tmp_path) as meter:
                self.refuse(server)
                asked("a b", "jane")
                assert meter.flush(PATIENCE)

            again = CliRunner().invoke(app, ["spool", "retry", "--store", url], env=env)
            assert again.output == "1 events were offered again, 1 are set aside now.\n"
            server.refuses = lambda item: None
            again = CliRunner().invoke(app, ["spool", "retry", "--store", url, "--json"], env=env)
            assert json.loads(again.output) == {"schema": 1, "offered": 1, "delivered": True, "set_aside": 0}
            assert server.users() == ["jane", "a b"]
        assert CliRunner().invoke(app, ["spool", "retry", "--store", url]).output == "No events are set aside.\n"

    def test_a_running_application_offers_them(self, tmp_path: Path) -> None:
        """Without a key the command leaves it to the application, which sends them with its next calls, first."""
        with PayiServer(ours=True) as server, meter_for(server, tmp_path) as meter:
            self.refuse(server)
            asked("a b", "jane")
            assert meter.flush(PATIENCE)
            server.refuses = lambda item: None

            told = CliRunner().invoke(app, ["spool", "retry", "--store", f"sqlite:///{tmp_path}/payi.db"])
            assert told.output == "1 events are offered again; a running application sends them within half a minute.\n"
            asked("joe")
            assert meter.flush(PATIENCE)
            assert server.users() == ["jane", "a b", "joe"]
        assert place(tmp_path).rejected == 0

    @pytest.mark.parametrize("name", ["PAYI_BASE_URL", "PAYI_APPLICATION"])
    def test_they_go_to_nobody_else(self, tmp_path: Path, name: str) -> None:
        """With a key but without the application's other settings, nothing is sent to the place that those name."""
        with PayiServer(ours=True) as server, PayiServer(ours=True) as other:
            with meter_for(server, tmp_path) as meter:
                self.refuse(server)
                asked("a b", "jane")
                assert meter.flush(PATIENCE)

            env = {"PAYI_API_KEY": KEY, "PAYI_BASE_URL": server.url, "PAYI_APPLICATION": "default"}
            env[name] = other.url if name == "PAYI_BASE_URL" else "shop"
            told = CliRunner().invoke(app, ["spool", "retry", "--store", f"sqlite:///{tmp_path}/payi.db"], env=env)
            assert told.stdout == "1 events are offered again; a running application sends them within half a minute.\n"
            assert (
                f"they are what {server.url} refused of default, and PAYI_BASE_URL is {env['PAYI_BASE_URL']}"
                in told.stderr
            )
            assert (other.users(), server.users()) == ([], ["jane"])

    def test_a_server_that_is_away(self, tmp_path: Path, down: PayiServer) -> None:
        """They stay to be offered."""
        down.ours = True
        self.refuse(down)
        with down, meter_for(down, tmp_path) as meter:
            asked("a b")
            assert meter.flush(PATIENCE)
        env = {"PAYI_API_KEY": KEY, "PAYI_BASE_URL": down.url}
        told = CliRunner().invoke(app, ["spool", "retry", "--store", f"sqlite:///{tmp_path}/payi.db"], env=env)
        assert told.output == "1 events are to be offered again; the server could not be had just now.\n"
        assert place(tmp_path).rejected == 1

    def test_no_store(self, tmp_path: Path) -> None:
        """The command makes no store."""
        told = CliRunner().invoke(app, ["spool", "retry", "--store", f"sqlite:///{tmp_path}/payi.db"])
        assert told.exit_code == 1
        assert list(tmp_path.iterdir()) == []


def test_resources_are_made_if_the_owner_wants(tmp_path: Path, server: PayiServer) -> None:
    """The setting `create_resources` makes what Pay-i does not know."""
    server.resources = {}
    with meter_for(server, tmp_path, create_resources=True) as meter:
        asked("jane")
        assert meter.flush(PATIENCE)
    assert list(server.resources) == [("system.openai", "gpt-4o-mini-2024-07-18")]
    assert server.users() == ["jane"]


def test_what_the_last_process_left_is_sent_by_the_next(tmp_path: Path, down: PayiServer) -> None:
    """A process that ends while the server is away leaves its events in the store; the next one sends them without any call of its own."""
    down.ours = True
    with meter_for(down, tmp_path) as meter:
        asked(*names(3))
        assert not meter.flush(PATIENCE)
    down.start()
    with meter_for(down, tmp_path) as meter:
        meter.warm()
        until(lambda: len(down.taken) == 3)


def test_what_was_stored_before_there_was_a_key(tmp_path: Path, server: PayiServer) -> None:
    """It is sent too; what another application stored is not."""
    with instrumented(tmp_path):
        asked("before")
    with instrumented(tmp_path, application="other"):
        asked("others")
    server.ours = False
    with meter_for(server, tmp_path) as meter:
        asked("jane")
        assert meter.flush(PATIENCE)
    sent = [item["user_id"] for body in server.bodies("/api/v1/ingest/bulk") for item in body]
    assert sent == ["before", "jane"]


def test_a_store_that_was_deleted(tmp_path: Path) -> None:
    """A new store begins with a mark of its own: nothing in it is taken for delivered."""
    with PayiServer(ours=True) as server, meter_for(server, tmp_path) as meter:
        asked(*names(5))
        assert meter.flush(PATIENCE)
        for file in tmp_path.glob("payi.db*"):
            if file.is_file():
                file.unlink()
        asked("a", "b")
        assert meter.flush(PATIENCE)
        assert server.users() == [*names(5), "a", "b"]


def test_a_store_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told by the reason, and tried again."""
    with PayiServer(ours=True) as server:
        refused: list[int] = []

        def last(self: Any) -> int:
            refused.append(1)
            raise StoreError("the disk is on holiday; call it back")

        with monkeypatch.context() as patch, meter_for(server, tmp_path) as meter:
            patch.setattr(sources.StoreSource, "last", last)
            asked("jane")
            until(lambda: len(refused) > 2)
            patch.undo()
            until(lambda: server.taken)
            assert meter.flush(PATIENCE)
    assert health.counters()["delivery_store"] >= 3


class TestMemory:
    """A store in memory: delivery is from memory too, and as good as that can be."""

    def meter(self, server: PayiServer) -> Meter:
        return Meter("sqlite:///:memory:", api_key=KEY, base_url=server.url, flush_interval=0.01)

    def test_calls_arrive(self) -> None:
        """They do, batch by batch, and what came while the server was away too."""
        with PayiServer(ours=True) as server:
            server.script.append(status(500))
            with self.meter(server) as meter:
                meter.drainer.deliver([call(user_id=name) for name in names(450)])
                until(lambda: len(server.taken) == 450)
                assert meter.flush(PATIENCE)
        assert server.users() == names(450)

    def test_what_is_refused_is_lost_and_said(self) -> None:
        """There is nowhere to set it aside."""
        with PayiServer(ours=True) as server:
            server.refuses = lambda item: ("no", "never")
            with self.meter(server) as meter:
                meter.drainer.deliver([call(), call()])
                assert meter.flush(PATIENCE)
        assert health.counters()["delivery_lost"] == 2

    def test_memory_has_a_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is beyond it is dropped and counted."""
        monkeypatch.setattr(sources, "MEMORY_EVENTS", 3)
        source = sources.MemorySource()
        source.offer([call() for _ in range(5)])
        batch = source.next(source.last(), 2)
        assert batch is not None
        source.done(batch, [])
        source.offer([call() for _ in range(5)])

        assert source.last() == 5
        assert health.counters()["delivery_dropped"] == 5


def test_nothing_is_sent_that_is_captured(server: PayiServer) -> None:
    """Tests that capture events, and meters with sinks of their own, send nothing."""
    with Meter("sqlite:///:memory:", api_key=KEY, base_url=server.url) as meter, Meter.capturing(MemorySink()):
        meter.drainer.write([call()])
        meter.flush(PATIENCE)
    with Meter(sinks=[MemorySink()], api_key=KEY, base_url=server.url) as meter:
        meter.drainer.write([call()])
        meter.flush(PATIENCE)
    assert server.asked == []


def test_a_process_tells_how_it_goes(tmp_path: Path, down: PayiServer) -> None:
    """Its health names the server, what it is, how much it took and what is wrong; the doctor makes a problem of that."""
    down.ours = True
    with meter_for(down, tmp_path) as meter:
        assert meter.health()["delivery"] is None
        asked("jane")
        assert not meter.flush(PATIENCE)
        until(lambda: (meter.health()["delivery"] or {}).get("error"))
        meter.drainer.write([])
        told = CliRunner().invoke(app, ["doctor", "--store", f"sqlite:///{tmp_path}/payi.db"]).output
        assert f"PROBLEM: calls wait, {down.url} cannot be had: ConnectError" in told
        down.start()
        until(lambda: meter.flush(PATIENCE))
        assert meter.health()["delivery"] == {"url": down.url, "server": "server", "sent": 1, "error": None}


class TestProcesses:
    """Several of them, ended in all ways."""

    SENDER = """
    import os, sys
    from mocked import ask, client, instrumented
    meter = instrumented(sys.argv[1], api_key="payi_test", base_url=sys.argv[2], flush_interval=0.01)
    with client() as asking:
        for n in range(int(sys.argv[4])):
            ask(asking, f"{sys.argv[3]}-{n:05}")
            if n == 20:
                print("begun", flush=True)
    """

    def test_a_script_that_just_ends(self, tmp_path: Path) -> None:
        """What it did is delivered on its way out."""
        with PayiServer(ours=True) as server:
            ended = run(self.SENDER, tmp_path, server.url, "script", 50)
            assert (ended.returncode, ended.stderr) == (0, "")
            assert server.users() == names(0) + [f"script-{n:05}" for n in range(50)]

    def test_a_server_that_hangs_does_not_keep_a_process(self, tmp_path: Path) -> None:
        """A process ends although the server never answers, and its events wait."""
        hanging = hang()
        with PayiServer(ours=True) as server:
            server.script.append(hanging)
            ended = run(self.SENDER, tmp_path, server.url, "script", 50, env=environment(PAYI_FLUSH_TIMEOUT="0.5"))
            hanging.let_go.set()
        assert ended.returncode == 0, ended.stderr
        take_in(load({"store": f"sqlite:///{tmp_path}/payi.db"}, {}))
        assert len(stored(tmp_path)) == 50

    @pytest.mark.slow
    def test_killed_again_and_again(self, tmp_path: Path) -> None:
        """Processes that are killed at random while they send lose no stored call and double none; order is kept in each."""
        moments = random.Random(3)
        with PayiServer(ours=True) as server:
            for number in range(KILLS):
                process = start(self.SENDER, tmp_path, server.url, f"p{number}", 100_000)
                assert process.stdout is not None
                process.stdout.readline()
                time.sleep(moments.random() / 4)
                process.send_signal(signal.SIGKILL)
                process.communicate()
            ended = run(self.SENDER, tmp_path, server.url, "last", 30)
            assert ended.returncode == 0, ended.stderr
            take_in(load({"store": f"sqlite:///{tmp_path}/payi.db"}, {}))
            with meter_for(server, tmp_path) as meter:
                meter.warm()
                until(lambda: nothing_waits(tmp_path))

            taken = [item for item in server.taken if item["outcome"] == "ok"]
        expected = sorted(event.user_id or "" for event in stored(tmp_path) if event.outcome == "ok")
        assert sorted(item["user_id"] for item in taken) == expected
        assert len(expected) > 20 * KILLS
        for number in range(KILLS):
            mine = [item["user_id"] for item in taken if item["user_id"].startswith(f"p{number}-")]
            assert mine == sorted(mine)

    def test_two_on_one_store(self, tmp_path: Path) -> None:
        """Both processes' calls arrive, each in its order; one hands over at a time, so none is sent twice."""
        with PayiServer(ours=True) as server:
            patient = environment(PAYI_FLUSH_TIMEOUT=str(PATIENCE))
            both = [start(self.SENDER, tmp_path, server.url, name, 400, env=patient) for name in ("one", "two")]
            for process in both:
                _, err = process.communicate(timeout=PATIENCE)
                assert process.returncode == 0, err
            with meter_for(server, tmp_path) as meter:
                meter.warm()
                until(lambda: nothing_waits(tmp_path))
            lines = [line for one in server.asked if one.path == "/api/v1/events" for line in one.body.splitlines()]

        sent = Counter(json.loads(line)["user_id"] for line in lines)
        assert len(sent) == 800
        assert set(sent.values()) == {1}
        for name in ("one", "two"):
            assert [user for user in server.users() if user.startswith(name)] == [f"{name}-{n:05}" for n in range(400)]

    def test_another_takes_over(self, tmp_path: Path) -> None:
        """A process that hangs holds the lock until it is killed; then another one sends all."""
        hanging = hang()
        with PayiServer(ours=True) as server:
            server.script.append(hanging)
            process = start(self.SENDER, tmp_path, server.url, "hung", 100_000)
            until(hanging.reached.is_set)
            with meter_for(server, tmp_path) as meter:
                asked("mine")
                assert not meter.flush(PATIENCE)
                process.send_signal(signal.SIGKILL)
                process.communicate()
                until(lambda: "mine" in server.users())
            hanging.let_go.set()
        assert server.users()[0] == "hung-00000"

    def test_a_forked_child_sends_its_own(self, tmp_path: Path) -> None:
        """A child of a process that has sent something sends what it does itself, and the parent goes on."""
        with PayiServer(ours=True) as server, meter_for(server, tmp_path) as meter:
            asked("before")
            assert meter.flush(PATIENCE)

            def childs() -> str:
                asked("child")
                return str(meter.flush(PATIENCE))

            assert in_child(childs) == "True"
            asked("after")
            assert meter.flush(PATIENCE)
            assert server.users() == ["before", "child", "after"]

    def test_a_fork_does_not_wait_for_a_server(self, tmp_path: Path) -> None:
        """While a request hangs a fork goes on at once, and the child does not keep the parent's lock."""
        hanging = hang()
        with PayiServer(ours=True) as server:
            server.script.append(hanging)
            with meter_for(server, tmp_path):
                asked("parent")
                until(hanging.reached.is_set)
                assert in_child(lambda: str(__import__("payi_middleware").forks.was_quiet())) == "True"
                hanging.let_go.set()
                until(lambda: server.taken)


def test_a_meter_with_a_key_costs_nothing_before_it_is_used() -> None:
    """Neither the import nor a meter loads what sends."""
    ended = run(
        """
        import sys, threading
        from payi_middleware import Meter
        Meter(api_key="payi_1", base_url="http://127.0.0.1:9")
        print([name for name in sys.modules if name.split(".")[0] == "httpx2" or name.startswith("payi_middleware.sinks.")])
        print(threading.active_count())
        """
    )
    assert (ended.stdout, ended.stderr) == ("[]\n1\n", "")


def test_without_a_thread_a_flush_hands_over_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an interpreter ends it starts no thread any more: the flush sends, and gives up in its time where the server hangs."""
    monkeypatch.setattr(Flusher, "_start", lambda self: False)
    hanging = hang()
    with PayiServer(ours=True) as server:
        url = f"sqlite:///{tmp_path}/payi.db"
        with open_store(url, create=True) as store:
            store.write([call(user_id=name) for name in names(3)])
        sending = Delivery(load({"store": url, "api_key": KEY, "base_url": server.url}, {}), Prices())
        server.script.append(hanging)
        until(
            lambda: not sending.flush(0.3) and hanging.reached.is_set()
        )  # a busy machine may not come to send at first
        hanging.let_go.set()
        until(lambda: sending.flush(PATIENCE))
        assert sending.close(PATIENCE)
        assert server.users() == names(3)


def test_a_delivery_can_be_used_alone(tmp_path: Path) -> None:
    """As the command does: what is in the store goes, without a meter."""
    with PayiServer(ours=True) as server:
        url = f"sqlite:///{tmp_path}/payi.db"
        with open_store(url, create=True) as store:
            store.write([call(user_id=name) for name in names(3)])
        settings: Settings = load({"store": url, "api_key": KEY, "base_url": server.url}, {})
        sending = Delivery(settings, Prices())
        assert sending.flush(PATIENCE)
        assert sending.close(PATIENCE)
        assert server.users() == names(3)
