"""Writing: each event once, whoever writes and however often."""

from __future__ import annotations

import multiprocessing
import random
from pathlib import Path

import msgspec
import pytest
from made import START_NS, call
from stores import by_another_hand, url
from writing import write_overlapping

from payi_middleware import health
from payi_middleware.store import open_store
from payi_middleware.store.check import check

SPAWN = multiprocessing.get_context("spawn")


def sums(store_url: str) -> dict[str | None, tuple[int, int]]:
    """User -> calls and ticks."""
    with open_store(store_url, create=False) as store:
        return {row.key[0]: (row.sums.calls, row.sums.cost_ticks) for row in store.report(("user",)).rows}


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("fold_every", [1, 10**6])
def test_the_same_batch_twice_changes_nothing(tmp_path: Path, fold_every: int) -> None:
    """Events that were stored are not stored again: in another batch, in the same one, or after a restart."""
    events = [call(user_id=f"user-{n % 3}") for n in range(30)]
    with open_store(url(tmp_path), create=True, fold_every=fold_every) as store:
        assert store.write(events[:20]) == 20
        assert store.write(events[:20]) == 0
    once = sums(url(tmp_path))
    with open_store(url(tmp_path), create=True, fold_every=fold_every) as store:
        assert store.write(events[10:20] + events[10:20]) == 0
        assert sums(url(tmp_path)) == once
        assert store.write([*events[15:], events[29]]) == 10
        assert store.write([]) == 0

    assert sums(url(tmp_path)) == {f"user-{n}": (10, 10 * 35_000_000) for n in range(3)}


@pytest.mark.usefixtures("anywhere")
def test_large_batches_are_compared_in_parts(tmp_path: Path) -> None:
    """A batch of thousands, half of it known, stores the other half."""
    events = [call() for _ in range(2500)]
    with open_store(url(tmp_path), create=True) as store:
        store.write(events[::2])

        assert store.write(events) == 1250
        assert store.count() == 2500


@pytest.mark.usefixtures("anywhere")
def test_several_processes_make_and_write_one_store(tmp_path: Path) -> None:
    """Four processes that create the same store at once and write the same and different events store each one once."""
    shared = [call(user_id="shared", ticks=7) for _ in range(150)]
    barrier = SPAWN.Barrier(4)
    own = [[call(user_id=f"own-{n}", ticks=5) for _ in range(100)] for n in range(4)]
    shuffled = [random.Random(n).sample(shared + mine, k=250) for n, mine in enumerate(own)]
    processes = [SPAWN.Process(target=write_overlapping, args=(url(tmp_path), events, barrier)) for events in shuffled]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert sums(url(tmp_path)) == {"shared": (150, 1050)} | {f"own-{n}": (100, 500) for n in range(4)}
    with open_store(url(tmp_path), create=False) as store:
        assert len(store.processes()) == 4
        assert sum(process.events for process in store.processes()) == 550


@pytest.mark.usefixtures("anywhere")
def test_a_reader_sees_whole_batches(tmp_path: Path) -> None:
    """A report that runs while another connection writes sees a batch wholly or not at all."""
    with (
        open_store(url(tmp_path), create=True, fold_every=3) as writer,
        open_store(url(tmp_path), create=False) as reader,
    ):
        for n in range(1, 8):
            writer.write([call() for _ in range(5)])

            assert reader.report(("user",)).total.calls == 5 * n


@pytest.mark.usefixtures("anywhere")
def test_health_is_kept_for_each_process(tmp_path: Path) -> None:
    """A process's health is written with its events and without any, the newest wins, and unknown members are kept."""
    with open_store(url(tmp_path), create=True) as store:
        store.write([call(), call()], {"process": "aa", "seen_ns": 5, "counters": {"late": 1}, "odd": [1]})
        store.write([], {"process": "aa", "seen_ns": 9, "counters": {"late": 2}})
        store.write([call()], {"host": "h", "pid": 3})

        first, second = store.processes()

    assert (first.process, first.seen_ns, first.events) == ("aa", 9, 2)
    assert first.health == {"process": "aa", "seen_ns": 9, "counters": {"late": 2}}
    assert (second.process, second.seen_ns, second.events) == ("h:3", 0, 1)


def test_only_so_many_processes_are_remembered(tmp_path: Path) -> None:
    """Workers that come and go by the thousand do not fill the store; the last thousand stay."""
    with open_store(url(tmp_path), create=True) as store:
        for n in range(1010):
            store.write([], {"process": f"p{n}", "seen_ns": n})

        assert [process.seen_ns for process in store.processes()] == list(range(1009, 9, -1))


@pytest.mark.usefixtures("anywhere")
def test_events_are_read_in_order(tmp_path: Path) -> None:
    """Events come out by the time their calls began, whenever written: all, the last few, those of a request."""
    hour = 3600 * 10**9
    events = [
        call(started_ns=START_NS + n * hour // 3, http_request_id=f"request-{n % 4}" if n % 5 else None)
        for n in range(60)
    ]
    with open_store(url(tmp_path), create=True) as store:
        store.write(events[::-1])

        assert list(store.events()) == events
        assert store.latest(7) == events[-7:]
        assert store.of_request("request-2") == [e for e in events if e.inbound.http_request_id == "request-2"]
        assert store.of_request("request") == []


@pytest.mark.usefixtures("anywhere")
def test_requests_with_the_same_small_key_are_told_apart(tmp_path: Path) -> None:
    """Two request ids of one CRC-32 do not get each other's events."""
    one, other = "plumless", "buckeroo"
    with open_store(url(tmp_path), create=True) as store:
        store.write([call(http_request_id=one), call(http_request_id=other)])

        assert [e.inbound.http_request_id for e in store.of_request(one)] == [one]


@pytest.mark.usefixtures("anywhere")
def test_numbers_of_texts_survive_a_failed_batch(tmp_path: Path) -> None:
    """A text first met in a batch that was rolled back is stored anew with the next batch."""
    with open_store(url(tmp_path), create=True) as store:
        with pytest.raises(OverflowError), store.batch() as batch:
            batch.add([call(user_id="jane", request_tags=("red",)), call(ticks=1 << 60)])
        store.write([call(user_id="paul")])
        store.write([call(user_id="jane", request_tags=("red",))])

    assert set(sums(url(tmp_path))) == {"jane", "paul"}
    assert by_another_hand(tmp_path, "SELECT count(*) FROM tags") == [(1,)]


@pytest.mark.usefixtures("anywhere")
def test_sums_never_overflow(tmp_path: Path) -> None:
    """Events of the most tokens, and of the highest cost, are taken as long as the sums of the store can; then all others still are."""
    dear = 1 << 50
    with (
        open_store(url(tmp_path), create=True, fold_every=900) as store,
        open_store(url(tmp_path), create=True, fold_every=900) as other,
    ):
        taken = [who.write([call(ticks=dear) for _ in range(300)]) for _ in range(4) for who in (store, other)]
        assert taken == [300] * 6 + [248, 0]
        tokens = call(units={"text": ((1 << 36) - 1, 1)}, ticks=0)
        assert store.write([tokens, call(units={"text": (1 << 36, 1)}, ticks=0), call(ticks=7)]) == 2
        assert other.write([call(ticks=1) for _ in range(1000)]) == 1000

        total = store.report(("model",)).total
        assert (total.calls, total.cost_ticks) == (2048 + 2 + 1000, 2048 * dear + 7 + 1000)
        assert [problem for problem in check(store) if problem is not None] == []
    assert health.counters()["event_unstorable"] == 52 + 300 + 1


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("elsewhere", [True, False], ids=["by another connection", "by its own"])
def test_what_is_done_between_batches_is_seen(tmp_path: Path, elsewhere: bool) -> None:
    """A writer that knows how far the store was looks again when events were removed meanwhile: no number is given twice."""
    with open_store(url(tmp_path), create=True) as store, open_store(url(tmp_path), create=True) as other:
        for _ in range(2):
            store.write([call(), call()])
        with (other if elsewhere else store).transaction() as connection:
            connection.execute("DELETE FROM events")
            connection.execute("UPDATE folded SET event = 4")
        store.write([call()])
        store.write([call()])

    assert by_another_hand(tmp_path, "SELECT id FROM events ORDER BY id") == [(5,), (6,)]


@pytest.mark.usefixtures("anywhere")
def test_rollups_are_brought_up_to_date_once_in_so_many_events(tmp_path: Path) -> None:
    """Of batches one after the other, be it with others' in between, each tenth event folds what there is by then."""
    marks = []
    with (
        open_store(url(tmp_path), create=True, fold_every=10) as store,
        open_store(url(tmp_path), create=True) as other,
    ):
        for n in range(8):
            (other if n == 5 else store).write([call() for _ in range(3)])
            marks += by_another_hand(tmp_path, "SELECT event FROM folded")[0]

    assert marks == [0, 0, 0, 12, 12, 12, 12, 24]


def test_known_events_among_those_that_cannot_be_stored(tmp_path: Path) -> None:
    """What is offered again beside new events, one of which no database takes, holds up none of them."""
    known, new = [call() for _ in range(3)], [call() for _ in range(60)]
    with open_store(url(tmp_path), create=True) as store:
        store.write(known)

        assert store.write([*known, *new, call(http_status=2**70), call(started_ns=2**64)]) == 60
        assert store.count() == 63


@pytest.mark.usefixtures("anywhere")
def test_events_that_no_ledger_counted_name_none(tmp_path: Path) -> None:
    """The others that have all else in common with them stay as they are, and what is written after it finds its ledger."""
    events = [call(ledger=f"sqlite:{n % 2}") for n in range(4)]
    with open_store(url(tmp_path), create=True) as store:
        store.write(events)
        with store.batch() as batch:
            batch.uncounted([events[0].event_id, events[1].event_id, b"nobody's"])
        store.write(after := [call(ledger="sqlite:0"), call()])
        assert [event.ledger for event in store.events()] == [None, None, "sqlite:0", "sqlite:1", "sqlite:0", None]
        assert list(store.events())[2:] == [*events[2:], *after]
        assert next(iter(store.events())) == msgspec.structs.replace(events[0], ledger=None)
