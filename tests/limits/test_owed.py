"""Calls that were stored while their ledger was away: the ledger hears of them, whatever became of the process that made them."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from children import run
from made import call
from typer.testing import CliRunner

from payi_middleware import Limit, Meter, PayiTransport, health
from payi_middleware.cli import app as command_line
from payi_middleware.demo.standin import StandIn
from payi_middleware.exceptions import LedgerError
from payi_middleware.intake import take_in
from payi_middleware.limits.dearest import Dearest
from payi_middleware.limits.known import known_of
from payi_middleware.limits.ledger import Totals
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.owed import Owed
from payi_middleware.limits.settling import late_steps
from payi_middleware.limits.sqlite import SqliteLedger
from payi_middleware.once import event_id
from payi_middleware.pricing import Prices
from payi_middleware.record import new_id
from payi_middleware.settings import Settings
from payi_middleware.sinks.memory import MemorySink

PROGRAM = """
    import os, sys, time, httpx2
    from payi_middleware import Limit, Meter, instrument
    store, ledger, host, application = sys.argv[1:]
    meter = Meter(store, ledger=ledger, application=application, hosts={host: 'openai'},
        limits=[Limit('told', 9, type='allow', unit='calls')])
    instrument(meter)
    with httpx2.Client(trust_env=False) as client:
        for _ in range(3):
            client.post(f'http://{host}/v1/chat/completions', json={'model': 'gpt-4o', 'max_tokens': 24,
                'messages': [{'role': 'user', 'content': 'Tell me.'}]})
    assert meter.flush(20)
    assert meter.health()['limits']['unsettled'] == 3, meter.health()
    os._exit(9)
"""


def ids(n: int, at_ns: int = 0) -> list[bytes]:
    return [new_id(at_ns or time.time_ns()) for _ in range(n)]


class Place:
    """A store, and a ledger that can be taken away: its folder is a file then."""

    def __init__(self, folder: Path) -> None:
        self.store = f"sqlite:///{folder / 'payi.db'}"
        self.spool = folder / "payi.db.spool"
        self.there, self._hidden = folder / "ledger", folder / "hidden"
        self.there.mkdir()
        self.path = self.there / "limits"
        self.url = f"sqlite:///{self.path}"

    def away(self) -> None:
        self.there.rename(self._hidden)
        self.there.write_text("no folder")

    def back(self) -> None:
        self.there.unlink()
        self._hidden.rename(self.there)

    def totals(self, application: str) -> Totals:
        ledger = SqliteLedger(self.path)
        try:
            (found,) = ledger.definitions(application).limits
            (totals,) = ledger.totals(application, found.limit_id, "")
            return totals
        finally:
            ledger.close()

    def define(self, application: str) -> None:
        ledger = SqliteLedger(self.path)
        limit = Limit("told", 9, type="allow", unit="calls")
        definition = Definition(limit_id=f"of {application}", application=application, limit=limit, source="code")
        ledger.define(definition)
        ledger.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def made_while_away(place: Place, application: str, *, dies: bool = False) -> None:
    """Three calls of an application, whose process ends, or dies, before the ledger is back."""
    place.define(application)
    place.away()
    with StandIn() as standin:
        if dies:
            ended = run(PROGRAM, *given(place, standin, application))
            assert ended.returncode == 9, ended.stderr
        else:
            settings: Any = {"ledger": place.url, "application": application, "hosts": {standin.host: "openai"}}
            with Meter(place.store, **settings, limits=[Limit("told", 9, type="allow", unit="calls")]) as meter:
                for _ in range(3):
                    ask(meter, standin)
    place.back()


def given(place: Place, standin: StandIn, application: str) -> tuple[str, ...]:
    """Arguments of the program."""
    return place.store, place.url, standin.host, application


def ask(meter: Meter, standin: StandIn) -> None:
    told = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me."}]}
    with httpx2.Client(transport=PayiTransport(httpx2.HTTPTransport(), meter=meter), trust_env=False) as client:
        assert client.post(f"{standin.url}/v1/chat/completions", json=told).status_code == 200
    assert meter.flush(10)


def until(told: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not told():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_the_next_process_has_them_counted(place: Place) -> None:
    """Those of each application that shares store and ledger, once; and nothing is left to be told."""
    made_while_away(place, "one", dies=True)
    made_while_away(place, "other")
    assert (place.totals("one").spent, len(list(place.spool.glob("*.owed")))) == (0, 1)

    with Meter(place.store, ledger=place.url, application="one") as meter:
        meter.warm()
        until(lambda: not list(place.spool.glob("*.owed*")))
        assert meter.health()["limits"]["unsettled"] == 0

    for application in ("one", "other"):
        totals = place.totals(application)
        assert (totals.spent, totals.requests["ok"]) == (3, 3)
    shown = CliRunner().invoke(command_line, ["limits", "audit", "--store", place.store, "--ledger", place.url])
    assert (shown.exit_code, "everything is right" in shown.stdout) == (0, True)


def test_an_audit_has_them_counted_first(place: Place) -> None:
    """What it then finds is right, and what it mends is not counted again."""
    made_while_away(place, "one")
    shown = CliRunner().invoke(
        command_line, ["limits", "audit", "--mend", "--json", "--store", place.store, "--ledger", place.url]
    )
    assert (shown.exit_code, json.loads(shown.stdout)["differing"]) == (0, [])
    assert place.totals("one").spent == 3
    assert not list(place.spool.glob("*.owed*"))


def test_limits_that_were_made_since_do_not_count_them(place: Place) -> None:
    """A limit counts from when it was made."""
    made_while_away(place, "one")
    ledger = SqliteLedger(place.path)
    (old,) = ledger.definitions("one").limits
    ledger.remove("one", old.limit_id)
    ledger.close()
    place.define("one")
    with Meter(place.store, ledger=place.url, application="one") as meter:
        meter.warm()
        until(lambda: not list(place.spool.glob("*.owed*")))
    assert place.totals("one").spent == 0


def test_a_ledger_that_goes_away_again_leaves_them(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for the next look."""
    made_while_away(place, "one")
    refuse = True
    run_steps = SqliteLedger.run

    def steps(self: SqliteLedger, asked: Any) -> Any:
        if refuse:
            raise LedgerError("the disk is gone")
        return run_steps(self, asked)

    monkeypatch.setattr(SqliteLedger, "run", steps)
    with Meter(place.store, ledger=place.url, application="one") as meter:
        meter.warm()
        until(lambda: health.counters().get("limit_owed", 0) > 0)
        assert len(list(place.spool.glob("*.owed.*"))) == 1
        refuse = False

        def caught_up() -> bool:
            meter.limits.catch_up()
            return not list(place.spool.glob("*.owed*"))

        until(caught_up)
    assert place.totals("one").spent == 3


def test_a_process_that_lives_counts_its_own(place: Place) -> None:
    """With the first call after the ledger is back."""
    place.define("one")
    place.away()
    with StandIn() as standin:
        settings: Any = {"ledger": place.url, "application": "one", "hosts": {standin.host: "openai"}}
        with Meter(place.store, **settings, limits=[Limit("told", 9, type="allow", unit="calls")]) as meter:
            ask(meter, standin)
            assert meter.limits.is_behind
            place.back()
            until(lambda: not meter.limits.is_away)
            ask(meter, standin)
            assert not meter.limits.is_behind
    assert place.totals("one").spent == 2


def test_calls_that_cannot_be_written_down_are_kept_in_memory(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are counted from there, if their process lives to see the ledger again."""
    place.define("one")
    place.away()

    def full(self: Owed, event_ids: list[bytes]) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(Owed, "add", full)
    with StandIn() as standin:
        settings: Any = {"ledger": place.url, "application": "one", "hosts": {standin.host: "openai"}}
        with Meter(place.store, **settings, limits=[Limit("told", 9, type="allow", unit="calls")]) as meter:
            ask(meter, standin)
            assert meter.health()["limits"]["unsettled"] == 1
            assert health.counters()["limit_owed"] >= 1
            place.back()
            until(lambda: not meter.limits.is_away)
            ask(meter, standin)
            assert not meter.limits.is_behind
    assert place.totals("one").spent == 2


def test_what_another_process_told_the_ledger_waits_no_more(place: Place) -> None:
    """Of its own calls a process counts how many wait, and any process may have them counted."""
    place.define("one")
    place.away()
    with StandIn() as standin:
        settings: Any = {"ledger": place.url, "application": "one", "hosts": {standin.host: "openai"}}
        with Meter(place.store, **settings, limits=[Limit("told", 9, type="allow", unit="calls")]) as meter:
            ask(meter, standin)
            assert meter.health()["limits"]["unsettled"] == 1
            assert len(settled(owed_of(meter))) == 1  # as the other process does
            place.back()

            def is_known() -> bool:
                meter.limits.catch_up()
                return bool(meter.health()["limits"]["unsettled"] == 0)

            until(is_known)
            assert not meter.limits.is_behind


def test_what_the_store_refused_is_not_remembered_before_it_is_there(place: Place) -> None:
    """Whoever has the ledger told looks the calls up in the store, and forgets what is not there."""
    place.define("one")
    place.away()
    refused, taken_in = (call(application="one", started_ns=time.time_ns()) for _ in range(2))
    limit = Limit("told", 9, type="allow", unit="calls")
    with Meter(place.store, ledger=place.url, application="one", limits=[limit]) as meter:
        limits, owed = meter.limits, owed_of(meter)
        limits.settled([refused])
        limits.settled([taken_in])  # what a dead process left, between two tries of the same batch
        limits.stored([taken_in])
        assert settled(owed) == [taken_in.event_id]
        limits.stored([refused])
        assert settled(owed) == [refused.event_id]


def owed_of(meter: Meter) -> Owed:
    """Where a meter remembers its calls."""
    owed = meter.limits._settling._owed
    assert owed is not None
    return owed


def test_what_is_in_no_store_is_kept_in_memory(tmp_path: Path) -> None:
    """Events that go elsewhere cannot be read again."""
    for meter in (Meter(tmp_path / "payi.db", sinks=[MemorySink()]), Meter("sqlite:///:memory:", spool_dir=tmp_path)):
        assert meter.limits._settling._owed is None
        meter.limits.catch_up()
        meter.close()


def settled(owed: Owed) -> list[bytes]:
    found: list[bytes] = []
    owed.settle(found.extend)
    return found


def test_ids_are_handed_out_once_and_together(tmp_path: Path) -> None:
    """What another process took and could not settle, too."""
    owed, some = Owed(tmp_path / "spool", "", ""), ids(1200)
    assert (owed.is_empty(), settled(owed)) == (True, [])
    owed.add(some[:700])
    calls: list[int] = []

    def refuse(part: list[bytes]) -> None:
        calls.append(len(part))
        raise LedgerError("away")

    with pytest.raises(LedgerError):
        owed.settle(refuse)
    owed.add(some[600:])
    assert (owed.is_empty(), calls) == (False, [500])
    assert sorted({*settled(owed)}) == sorted(some)
    assert (owed.is_empty(), settled(owed)) == (True, [])


def test_stores_and_ledgers_have_files_of_their_own(tmp_path: Path) -> None:
    """One ledger must not be told of what another one counts."""
    for n, (label, ledger) in enumerate([("", ""), ("a", ""), ("", "memory://"), ("a", "memory://")]):
        Owed(tmp_path, label, ledger).add(ids(1))
        assert len(list(tmp_path.glob("*.owed"))) == n + 1


def test_processes_agree_on_a_ledgers_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However its URL is spelled, and whatever password is in it."""
    monkeypatch.chdir(tmp_path)

    def path(ledger: Any) -> Path:
        owed = Owed.of(Settings(store=f"sqlite:///{tmp_path / 'payi.db'}", ledger=ledger), "")
        assert owed is not None
        return owed._path

    assert path("sqlite:///limits") == path(f"sqlite:///{tmp_path / 'limits'}")
    assert path("postgresql://me:one@host/db") == path("postgresql://me:two@host/db")
    assert len({path(one) for one in (None, MemoryLedger(), "memory://", "valkey://host")}) == 4


def test_what_is_all_too_old_is_left_out(tmp_path: Path) -> None:
    """Of a file with nothing young in it, nothing is told."""
    owed = Owed(tmp_path, "", "")
    owed.add(ids(600, time.time_ns() - 20 * 86_400 * 10**9))
    assert (settled(owed), owed.is_empty()) == ([], True)


def test_an_id_that_tells_no_time_is_never_too_old(tmp_path: Path) -> None:
    """One that is made of a provider's id begins with any bits, which are no milliseconds."""
    owed, of_others = Owed(tmp_path, "", ""), [event_id("maps", f"answer-{n}") for n in range(1000)]
    owed.add(of_others)
    assert min(of_others) < new_id(time.time_ns() - 20 * 86_400 * 10**9)
    assert settled(owed) == of_others


def test_a_file_that_was_taken_in_this_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking: what is added goes to a new one."""
    import fcntl

    owed, some, lock = Owed(tmp_path, "", ""), ids(2), fcntl.flock
    owed.add(some[:1])
    found: list[bytes] = []

    def late(fd: int, how: int) -> None:
        monkeypatch.setattr("payi_middleware.limits.owed.fcntl.flock", lock)
        owed.settle(found.extend)
        lock(fd, how)

    monkeypatch.setattr("payi_middleware.limits.owed.fcntl.flock", late)
    owed.add(some[1:])
    assert (found, settled(owed)) == (some[:1], some[1:])


def test_many_add_while_one_takes(tmp_path: Path) -> None:
    """No id is lost between two processes."""
    owed, some, found = Owed(tmp_path, "", ""), ids(400), set[bytes]()

    def add(part: list[bytes]) -> None:
        own = Owed(tmp_path, "", "")
        for one in part:
            own.add([one])

    threads = [threading.Thread(target=add, args=(some[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        owed.settle(found.update)
    owed.settle(found.update)
    assert found == set(some)


def test_a_torn_file_and_old_ids(tmp_path: Path) -> None:
    """Half an id, as a full disk leaves it; what is older than a ledger knows is left to the audit."""
    owed, young = Owed(tmp_path, "", ""), ids(2)
    owed.add([*young, *ids(3, time.time_ns() - 14 * 86_400 * 10**9)])
    (path,) = tmp_path.glob("*.owed")
    with path.open("ab") as file:
        file.write(b"torn")
    assert settled(owed) == young


def test_what_is_added_behind_a_torn_id_is_found(tmp_path: Path) -> None:
    """The torn one is cut off first: else all that follow would be read from their midst."""
    owed, before, after = Owed(tmp_path, "", ""), ids(2), ids(3)
    owed.add(before)
    (path,) = tmp_path.glob("*.owed")
    with path.open("ab") as file:
        file.write(b"torn")
    owed.add(after)
    assert settled(owed) == before + after


def test_a_disk_that_takes_a_part_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owed, before, after = Owed(tmp_path, "", ""), ids(2), ids(3)
    owed.add(before)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:20]))
    with pytest.raises(OSError, match=r"[Nn]o space"):
        owed.add(ids(4))
    monkeypatch.undo()
    owed.add(after)
    assert settled(owed) == before + after


def test_calls_of_another_application_are_counted_by_whoever_takes_them_in(place: Place) -> None:
    """Its process died and left them in the spool: a command, or another application of the store, finds them there."""
    place.define("shop")
    place.away()
    dying = PROGRAM.replace("assert meter.flush(20)", "os.kill(os.getpid(), 9)")
    with StandIn() as standin:
        ended = run(dying, *given(place, standin, "shop"))
    assert ended.returncode == -9, ended.stderr
    place.back()

    assert take_in(Settings(store=place.store, ledger=place.url)) == 3
    assert place.totals("shop").spent == 3


def test_a_folder_that_cannot_be_looked_into_ends_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows then what is owed; the thread that asks goes on."""
    place.define("default")
    with Meter(place.store, ledger=place.url) as meter:
        meter.limits.now_known()

        def refuse(path: Path) -> bool:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(Path, "exists", refuse)
        meter.limits.catch_up()
        monkeypatch.undo()
    assert health.counters()["limit_owed"] == 1


def test_a_file_that_is_full_or_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and takes nothing."""
    owed = Owed(tmp_path, "", "")
    monkeypatch.setattr("payi_middleware.limits.owed._MOST_BYTES", 40)
    owed.add(ids(2))
    with pytest.raises(OSError, match="can be remembered") as caught:
        owed.add(ids(1))
    assert caught.value.errno == errno.EDQUOT
    assert len(settled(owed)) == 2
    os.symlink(tmp_path / "elsewhere", owed._path)
    with pytest.raises(OSError, match=r".") as caught:
        owed.add(ids(1))
    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "elsewhere").exists()
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(("outcome", "counted"), [("unknown", 1), ("ok", 0)])
def test_a_call_that_died_while_its_limit_was_made_is_counted(outcome: str, counted: int) -> None:
    """It began before the limit, and was held for by it; one that ended before is another matter."""
    ledger, limit = MemoryLedger(), Limit("told", 9, unit="calls")
    ledger.define(Definition(limit_id="told", application="app", limit=limit, source="code"))
    known = known_of(ledger.definitions("app"))
    event = call(application="app", outcome=outcome, started_ns=time.time_ns() - 10**9, duration_ns=0)
    assert len(late_steps([event], lambda _: known, Dearest(Prices()))) == counted
