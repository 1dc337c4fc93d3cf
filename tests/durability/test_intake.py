"""Taking in what dead processes left."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from children import start
from forking import in_child
from made import call
from mocked import stored

from payi_middleware import health, intake, record
from payi_middleware.events import Attribution, CallEvent, Inbound
from payi_middleware.exceptions import StoreError
from payi_middleware.intake import orphans, take_in
from payi_middleware.label import label_of
from payi_middleware.pricing import Prices
from payi_middleware.settings import Settings
from payi_middleware.spool import BEGUN, Spool
from payi_middleware.store import open_store

OWN = """
[[rate]]
provider = "openai"
models = ["gpt-4o-mini*"]
source = "our contract"
rates = { "text.input" = "2.00/M", "text.output" = "3.00/M" }
"""


@pytest.fixture(autouse=True)
def _fresh_health() -> Iterator[None]:
    health.reset()
    yield
    health.reset()


def dead(folder: Path, *payloads: bytes) -> None:
    """What a process left that wrote these records and is gone."""
    spool = Spool(folder, limit=1 << 30, wake=lambda: True)
    for payload in payloads:
        spool.append(payload)


def dead_of(settings: Settings, *payloads: bytes) -> None:
    """The same of a process with these settings."""
    spool = Spool(settings.spool_path, limit=1 << 30, wake=lambda: True, label=label_of(settings))
    for payload in payloads:
        spool.append(payload)


def ended(event: CallEvent) -> bytes:
    return record.ended(event.event_id, event)


def begun(event: CallEvent) -> bytes:
    fields = (
        "app",
        "track",
        1,
        "openai",
        "system.openai",
        "m",
        "/v1",
        False,
        1,
        event.event_id,
        Attribution(),
        Inbound(),
    )
    return BEGUN + event.event_id + record.encode(fields)


def test_calls_ended_in_flight_and_taken_over(tmp_path: Path) -> None:
    """Ended calls come with their events, calls in flight as unknown at the end, calls taken over not at all."""
    done, flying, over = call(), call(), call()
    dead(tmp_path, begun(done), begun(flying), begun(over), ended(done), record.void(over.event_id))
    written: list[CallEvent] = []

    assert orphans(tmp_path, "", Prices(), written.extend) == 2

    assert written[0] == done
    assert (written[1].event_id, written[1].outcome) == (flying.event_id, "unknown")
    assert [path.name for path in tmp_path.iterdir()] == [intake.LOCK]
    assert (tmp_path / intake.LOCK).stat().st_mode & 0o777 == 0o600


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much was left, it is written in batches of a stated size."""
    monkeypatch.setattr(intake, "BATCH", 10)
    dead(tmp_path, *(ended(call()) for _ in range(25)), *(begun(call()) for _ in range(25)))
    sizes: list[int] = []

    assert orphans(tmp_path, "", Prices(), lambda events: sizes.append(len(events))) == 50
    assert sizes == [10, 10, 5, 10, 10, 5]


def test_what_was_delivered_is_not_delivered_again(tmp_path: Path) -> None:
    """Up to the mark of the last delivery, records are only looked at for calls in flight."""
    first, second, flying = call(), call(), call()
    spool = Spool(tmp_path, limit=1 << 30, wake=lambda: True)
    for payload in (begun(flying), begun(first), ended(first)):
        spool.append(payload)
    spool.take(9)
    spool.commit()
    spool.append(ended(second))
    del spool
    written: list[CallEvent] = []
    orphans(tmp_path, "", Prices(), written.extend)

    assert [event.event_id for event in written] == [second.event_id, flying.event_id]


def test_a_store_that_refuses_leaves_everything(tmp_path: Path) -> None:
    """An error of the store goes to the caller; the files stay, unlocked, for another try."""
    dead(tmp_path, ended(call()), ended(call()))

    def refuse(events: Sequence[CallEvent]) -> None:
        raise StoreError("locked")

    for _ in range(2):
        with pytest.raises(StoreError, match="locked"):
            orphans(tmp_path, "", Prices(), refuse)

    assert orphans(tmp_path, "", Prices(), lambda events: None) == 2


def test_unreadable_records_are_left_out(tmp_path: Path) -> None:
    """A begun record of another version is counted, and holds up nothing."""
    dead(tmp_path, b"\x01" + bytes(16) + b"\x90", ended(call()))

    assert orphans(tmp_path, "", Prices(), lambda events: None) == 1
    assert health.counters() == {"record_unreadable": 1}


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """While another process takes in, there is nothing to do; also where the lock cannot be had at all."""
    dead(tmp_path, ended(call()))
    fd = os.open(tmp_path / intake.LOCK, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert orphans(tmp_path, "", Prices(), lambda events: None) == 0
    os.close(fd)
    (tmp_path / intake.LOCK).unlink()
    (tmp_path / intake.LOCK).symlink_to("elsewhere")
    assert orphans(tmp_path, "", Prices(), lambda events: None) == 0
    (tmp_path / intake.LOCK).unlink()

    assert orphans(tmp_path, "", Prices(), lambda events: None) == 1


def test_a_lock_that_cannot_be_opened_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where the lock's file is no file of ours, nothing is taken in, and a warning says why."""
    dead(tmp_path, ended(call()))
    (tmp_path / intake.LOCK).symlink_to("elsewhere")

    assert orphans(tmp_path, "", Prices(), lambda events: None) == 0
    assert health.counters() == {"intake": 1}
    assert intake.LOCK in caplog.text


def test_reading_rights_suffice_for_the_lock(tmp_path: Path) -> None:
    """A lock file that may not be written still serves."""
    dead(tmp_path, ended(call()))
    (tmp_path / intake.LOCK).touch(0o400)
    opened: list[int] = []
    before = os.open

    def watch(path: str, flags: int, *rest: int) -> int:
        if str(path).endswith(intake.LOCK):
            opened.append(flags & (os.O_RDWR | os.O_WRONLY))
        return before(path, flags, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", watch)
        assert orphans(tmp_path, "", Prices(), lambda events: None) == 1
    assert set(opened) == {0}


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give files away")
def test_what_root_takes_in_stays_the_applications(tmp_path: Path) -> None:
    """`payi report` run by root makes no file that the application's user may not use: all are the folder owner's."""
    folder = tmp_path / "app"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    dead(folder / "payi.db.spool", ended(call()))
    kept = Settings(store=f"sqlite:///{folder}/payi.db")

    assert take_in(kept) == 1

    with open_store(kept, create=True) as store:
        store.write([call()])
        made = {path.relative_to(folder).as_posix(): path.stat().st_uid for path in folder.rglob("*")}
    assert made == dict.fromkeys(
        ["payi.db", "payi.db-wal", "payi.db-shm", "payi.db.spool", f"payi.db.spool/{intake.LOCK}"], 65534
    )


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give files away")
def test_a_container_whose_root_may_not_give_files_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses, the files stay root's, and all goes on."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchown", refuse)
    dead(tmp_path / "payi.db.spool", ended(call()))

    assert take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db")) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="needs to become somebody else")
def test_files_of_another_user_are_told(tmp_path: Path) -> None:
    """A file that may not be opened is left where it is, with a warning that says what is missing."""
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(0o711)
    tmp_path.chmod(0o777)
    dead(tmp_path / "s", ended(call()))
    os.chown(tmp_path / "s", 65534, 65534)

    def take() -> str:
        os.setgid(65534)
        os.setuid(65534)
        return f"{orphans(tmp_path / 's', '', Prices(), lambda events: None)} {health.counters()}"

    assert in_child(take) == "0 {'intake': 1}"


def test_stores_that_share_a_folder_take_in_their_own(tmp_path: Path) -> None:
    """With one `spool_dir` for two stores, each gets its own events; a store that does not exist is not made by asking."""
    spools = [
        Settings(store=f"sqlite:///{tmp_path}/{name}.db", spool_dir=f"{tmp_path}/s") for name in ("a", "b", "typo")
    ]
    for name, settings in zip("ab", spools, strict=False):
        dead_of(settings, ended(call(user_id=name)))

    assert take_in(spools[2]) == 0
    assert [take_in(settings) for settings in spools[:2]] == [1, 1]

    assert not (tmp_path / "typo.db").exists()
    for name in "ab":
        with open_store(f"sqlite:///{tmp_path}/{name}.db", create=False) as store:
            assert [event.user_id for event in store.events()] == [name]


def test_a_store_that_is_moved_with_its_folder_keeps_its_spool(tmp_path: Path) -> None:
    """In its own folder a spool is the store's beside it, wherever both are: in a container, on its host, after a move."""
    (tmp_path / "one").mkdir()
    dead_of(Settings(store=f"sqlite:///{tmp_path}/one/payi.db"), ended(call()))
    (tmp_path / "one").rename(tmp_path / "two")

    assert take_in(Settings(store=f"sqlite:///{tmp_path}/two/payi.db")) == 1


def test_a_store_has_one_label_by_whatever_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, absolute and linked spellings of one store name the same files; naming the default folder is the default."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(tmp_path / "data")
    spellings = ("payi.db", f"{tmp_path}/data/payi.db", f"{tmp_path}/link/payi.db", "../data/payi.db")

    labels = {label_of(Settings(store=f"sqlite:///{path}", spool_dir="/s")) for path in spellings}

    assert len(labels) == 1
    assert labels != {label_of(Settings(store="sqlite:///other.db", spool_dir="/s"))}
    assert label_of(Settings(store="sqlite:///payi.db")) == ""
    assert label_of(Settings(store="sqlite:///payi.db", spool_dir=f"{tmp_path}/link/payi.db.spool")) == ""
    assert label_of(Settings(store="sqlite:///:memory:")) == ""
    assert label_of(Settings(store="sqlite:///:memory:", spool_dir="/s")) != ""


def test_a_store_in_memory_takes_nothing_with_it(tmp_path: Path) -> None:
    """A command on a store in memory takes in nothing, since that would be lost with it."""
    settings = Settings(store="sqlite:///:memory:", spool_dir=str(tmp_path))
    dead_of(settings, ended(call()))

    assert take_in(settings) == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_a_child_that_is_forked_meanwhile_keeps_nothing_locked(tmp_path: Path) -> None:
    """A fork in the middle of an intake leaves neither the lock nor a dead process's files with the child."""
    dead(tmp_path, ended(call()))
    answers: list[str] = []

    def held() -> str:
        return str([link for link in map(os.readlink, _descriptors()) if str(tmp_path) in link])

    orphans(tmp_path, "", Prices(), lambda events: answers.append(in_child(held)))

    assert answers == ["[]"]
    assert list(tmp_path.glob("*.spool")) == []


def _descriptors() -> list[str]:
    return [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")]


def test_nothing_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, an empty one, or a system without locks: nothing is taken in, no store is made."""
    assert orphans(None, "", Prices(), lambda events: None) == 0
    assert orphans(tmp_path / "missing", "", Prices(), lambda events: None) == 0
    assert orphans(tmp_path, "", Prices(), lambda events: None) == 0
    assert take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db")) == 0
    assert take_in(Settings(store="sqlite:///:memory:")) == 0
    dead(tmp_path, ended(call()))
    monkeypatch.setattr(intake, "fcntl", None)
    assert orphans(tmp_path, "", Prices(), lambda events: None) == 0
    assert not (tmp_path / "payi.db").exists()


def test_calls_that_ended_before_rates_were_loaded_are_priced(tmp_path: Path) -> None:
    """A record left unpriced is priced by whoever takes it in."""
    event = call(units={"text": (100, 10)}, resource="gpt-4o-mini", cost=None)
    dead(tmp_path / "payi.db.spool", record.ended(event.event_id, event, to_price=True))

    assert take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db")) == 1

    (found,) = stored(tmp_path)
    assert found.cost is not None
    assert found.cost.total_ticks == 210_000
    assert found.cost_source == "usage"


def test_the_owners_prices_hold_for_what_is_taken_in(tmp_path: Path) -> None:
    """Whoever takes a call in prices it as its application would have: the setting `prices` tells the owner's rates."""
    event = call(units={"text": (100, 10)}, resource="gpt-4o-mini", cost=None)
    dead(tmp_path / "payi.db.spool", record.ended(event.event_id, event, to_price=True))
    prices = tmp_path / "prices.toml"
    prices.write_text(OWN)

    assert take_in(Settings(store=f"sqlite:///{tmp_path}/payi.db", prices=prices)) == 1

    (found,) = stored(tmp_path)
    assert found.cost is not None
    assert found.cost.total_ticks == 100 * 20_000 + 10 * 30_000


def test_living_processes_that_start_together_take_in_once(tmp_path: Path) -> None:
    """Several processes that start at the same moment on one folder take in a dead one's calls exactly once."""
    ready = "import sys; from payi_middleware.intake import take_in; from payi_middleware.settings import Settings"
    source = (
        ready
        + """
settings = Settings(store=f"sqlite:///{sys.argv[1]}/payi.db")
print("ready", flush=True)
sys.stdin.readline()
print(take_in(settings))
"""
    )
    left_by = Settings(store=f"sqlite:///{tmp_path}/payi.db")
    for owner in "abc":
        dead_of(left_by, *(ended(call(user_id=f"{owner}-{n}")) for n in range(700)))
    starting = [start(source, tmp_path, stdin=-1) for _ in range(4)]
    for process in starting:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in starting:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    taken = [int(process.communicate(timeout=60)[0]) for process in starting]

    assert sum(taken) == 2100
    found = [event.user_id for event in stored(tmp_path)]
    assert len(found) == len(set(found)) == 2100
