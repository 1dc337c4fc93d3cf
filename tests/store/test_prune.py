"""Old events go; sums, numbers and names stay right, whoever writes meanwhile and whenever it is killed."""

from __future__ import annotations

import multiprocessing
import signal
import time
from pathlib import Path

import msgspec
import pytest
from children import start
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import EVENTS, made, problems, url
from made import DAY, START_NS, call
from stores import by_another_hand
from writing import write_overlapping

from payi_middleware.events import CallEvent, Cost
from payi_middleware.store import Store, open_store, unused
from payi_middleware.store.prune import Pruned, day_before, prune, would_prune
from payi_middleware.store.query import BY

CUT = day_before(START_NS - 30 * DAY)
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody else waits for the store, pruning rests no longer than it works."""
    if request.function is not test_applications_write_meanwhile:
        monkeypatch.setattr("payi_middleware.store.prune._REST", 0.0)
        monkeypatch.setattr("payi_middleware.store.unused._REST", 0.0)


def pruned(store: Store, day: int = CUT, *, keep_sums: bool = True) -> Pruned:
    """What was removed in all."""
    found = Pruned()
    for step in prune(store, day, keep_sums=keep_sums):
        found = found.plus(step)
    return found


def younger(events: list[CallEvent], day: int = CUT) -> list[CallEvent]:
    return [event for event in events if event.started_ns >= day * DAY]


@pytest.mark.parametrize("by", [(name,) for name in BY])
def test_sums_stay(tmp_path: Path, by: tuple[str, ...]) -> None:
    """Old events go, and every report that sums can answer is the one from before."""
    with made(tmp_path) as store:
        before = store.report(by).to_dict()
        part = store.report(by, since_ns=(CUT - 20) * DAY, until_ns=(CUT + 3) * DAY).to_dict()
        expected = len(EVENTS) - len(younger(EVENTS))

        assert would_prune(store, CUT, keep_sums=True).events == expected
        assert pruned(store).events == expected
        assert pruned(store) == Pruned()

        assert store.count() == len(list(store.events())) == len(younger(EVENTS))
        assert store.report(by).to_dict() == before
        assert store.report(by, since_ns=(CUT - 20) * DAY, until_ns=(CUT + 3) * DAY).to_dict() == part
        assert problems(store) == []


def test_a_report_says_what_it_lacks(tmp_path: Path) -> None:
    """A report that reads events says that old ones are gone, if its range has them: by two dimensions, or within an hour."""
    with made(tmp_path) as store:
        pruned(store)
        cutting = (CUT - 5) * DAY + 7

        for by, since in ((("user", "model"), None), (("user",), cutting)):
            assert "were pruned" in (store.report(by, since_ns=since).note or "")
        for by, since in ((("user", "model"), CUT * DAY), (("user",), CUT * DAY + 7), (("user",), None)):
            assert "were pruned" not in (store.report(by, since_ns=since).note or "")


def test_a_report_lacks_nothing_where_nothing_was_old(tmp_path: Path) -> None:
    """A daily removal that finds nothing leaves no mark: the first month may have begun before it."""
    with made(tmp_path, [call(user_id="jane")]) as store:
        list(prune(store, day_before(START_NS)))
        assert "pruned" not in str(store.report(("user", "model")).note)

        list(prune(store, day_before(START_NS) + 1))
        assert "events before 2026-09-22 were pruned" in str(store.report(("user", "model")).note)


@pytest.mark.parametrize("most_keys", [100_000, 4])
def test_sums_go_too(tmp_path: Path, most_keys: int) -> None:
    """Without its old sums a store tells what one tells that never had the old events, the month that is cut included."""
    (tmp_path / "other").mkdir()
    with made(tmp_path, most_keys=most_keys) as store, made(tmp_path / "other", younger(EVENTS)) as expected:
        would = would_prune(store, CUT, keep_sums=False)
        found = pruned(store, keep_sums=False)

        assert (found.events, found.sums) == (would.events, would.sums)
        assert problems(store) == []
        for by in [("model",), ("day",), ("user",)] if most_keys > 4 else [("model",), ("day",)]:
            assert store.report(by).to_dict() == expected.report(by).to_dict()
        assert store.failures().to_dict() == expected.failures().to_dict()


def test_corrections_go_with_their_events_and_their_sums_stay(tmp_path: Path) -> None:
    with made(tmp_path) as store:
        for batch in store.walk():
            store.correct([(n, event, msgspec.structs.replace(event, cost=Cost(9, 0, 9))) for n, event in batch])
        corrected, recorded = store.report(("model",)).to_dict(), store.report(("model",), as_recorded=True).to_dict()
        found = pruned(store, day_before(START_NS + 2 * DAY))

        assert found.corrections == found.events == len(EVENTS)
        assert store.count() == 0
        assert store.report(("model",)).to_dict() == corrected
        assert store.report(("model",), as_recorded=True).to_dict() == recorded
        assert corrected != recorded
        assert problems(store) == []


def test_a_correction_of_an_event_that_is_pruned_meanwhile_is_left_out(tmp_path: Path) -> None:
    with made(tmp_path) as store:
        [batch, *_] = store.walk(until_ns=CUT * DAY)
        pruned(store)
        store.correct([(n, event, msgspec.structs.replace(event, cost=Cost(9, 0, 9))) for n, event in batch])

        assert problems(store) == []
        assert store.report(("model",)).to_dict() == store.report(("model",), as_recorded=True).to_dict()


@pytest.mark.usefixtures("anywhere")
def test_numbers_are_not_given_again(tmp_path: Path) -> None:
    """Events that come after all others were pruned are counted and folded like any."""
    with made(tmp_path) as store:
        calls = store.report(("user",)).total.calls
        pruned(store, day_before(START_NS + 2 * DAY))
        for n in range(4):
            store.write([call(user_id=f"new-{n}") for _ in range(100)])

        assert store.count() == 400
        assert store.report(("user",)).total.calls == calls + 400
        assert problems(store) == []


@pytest.mark.usefixtures("anywhere")
def test_names_that_nobody_uses_go(tmp_path: Path) -> None:
    """Texts, shapes and sets of tags that only pruned events had are removed; those of sums and of others stay."""
    old = [
        call(user_id=f"old-{n}", request_tags=(f"tag-{n}",), ticks=n, started_ns=START_NS - 40 * DAY) for n in range(9)
    ]
    old += [call(endpoint="/v1/old", http_method="PUT", started_ns=START_NS - 40 * DAY)]
    with made(tmp_path, [*old, *younger(EVENTS)]) as store:
        assert pruned(store, keep_sums=False).texts > 18
        names = [name for (name,) in by_another_hand(tmp_path, "SELECT packed FROM texts")]
        assert [name for name in names if "old-" in name or "tag-" in name] == []
        shapes = by_another_hand(tmp_path, "SELECT packed FROM shapes")
        assert [shape for (shape,) in shapes if b"/v1/old" in shape] == []
        assert list(store.events()) == sorted(younger(EVENTS), key=lambda event: event.started_ns)
        assert problems(store) == []


@pytest.mark.usefixtures("anywhere")
def test_a_writer_forgets_numbers_that_were_given_to_others(tmp_path: Path) -> None:
    """A process that remembers the number of a user, which is now another's, asks anew."""
    with made(tmp_path, []) as store, open_store(url(tmp_path), create=True) as other:
        other.write([call(user_id="jane", request_tags=("red",), started_ns=START_NS - 40 * DAY)])
        pruned(store, keep_sums=False)
        store.write([call(user_id="paul")])
        other.write([call(user_id="jane", request_tags=("red",))])

        assert {row.key[0]: row.sums.calls for row in store.report(("user",)).rows} == {"jane": 1, "paul": 1}
        assert {row.key[0] for row in store.report(("tag",)).rows} == {"red", None}
        assert problems(store) == []


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("table", ["tags", "texts", "wide", "shapes"])
@pytest.mark.parametrize("fold_every", [1, 10_000])
def test_a_name_that_comes_into_use_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, fold_every: int
) -> None:
    """What another process writes, or folds, between the look and the removal keeps its user, tags, model and shape."""
    gone = {"user_id": "jane", "request_tags": ("red", "blue"), "resource": "old", "endpoint": "/v1/old"}
    with made(tmp_path, []) as store, open_store(url(tmp_path), create=True, fold_every=fold_every) as other:
        other.write([call(started_ns=START_NS - 40 * DAY, **gone)])
        looked, again = unused._unused, call(**gone)

        def look(at: Store, which: str) -> tuple[int, list[int]]:
            found = looked(at, which)
            if which == table:
                assert found[1] != []
                other.write([again])
            return found

        monkeypatch.setattr(unused, "_unused", look)
        pruned(store, keep_sums=False)

        assert list(store.events()) == [again]
        assert {row.key[0] for row in store.report(("tag",)).rows} == {"red", "blue"}
        assert [row.key[0] for row in store.report(("model",)).rows] == ["old"]
        assert problems(store) == []


@pytest.mark.parametrize("keep_sums", [True, False])
def test_applications_write_meanwhile(tmp_path: Path, keep_sums: bool) -> None:
    """Processes that write old and new events while old ones are pruned lose none and wait for none in vain."""
    barrier = SPAWN.Barrier(3)
    shares = [EVENTS[200 * n : 200 * (n + 1)] for n in range(1, 3)]
    made(tmp_path, EVENTS[:200]).close()
    processes = [SPAWN.Process(target=write_overlapping, args=(url(tmp_path), share, barrier)) for share in shares]
    for process in processes:
        process.start()
    with open_store(url(tmp_path), create=True, timeout=60) as store:
        barrier.wait()
        while any(process.is_alive() for process in processes):
            pruned(store, keep_sums=keep_sums)
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]
        # Parts of batches overlap, and a pruned event that comes again is a new one, so only the young ones are told.
        pruned(store, keep_sums=keep_sums)

        assert {event.event_id for event in store.events()} == {event.event_id for event in younger(EVENTS)}
        assert store.count() == len(younger(EVENTS))
        assert problems(store) == []


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """A prune that is killed with -9 leaves a store that is right, and the next one goes on."""
    made(tmp_path).close()
    left = len(EVENTS)
    for steps, wait in enumerate((0.0, 0.01, 0.03, 0.06, 0.1)):
        process = start(
            """
            import sys
            from payi_middleware.store import open_store
            import payi_middleware.store.prune as prune
            prune._EVENTS = prune._SUMS = 7
            with open_store(sys.argv[1], create=True) as store:
                print("begun", flush=True)
                for step in prune.prune(store, int(sys.argv[2]), keep_sums=False):
                    print("step", flush=True)
            """,
            url(tmp_path),
            CUT,
        )
        assert process.stdout is not None
        for _ in range(steps + 1):
            process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with open_store(url(tmp_path), create=True) as store:
            assert store.count() == len(list(store.events())) <= left
            left = store.count()
            assert [problem for problem in problems(store) if problem.what != "sums"] == []
    assert len(younger(EVENTS)) < left < len(EVENTS)
    with open_store(url(tmp_path), create=True) as store:
        pruned(store, keep_sums=False)
        assert store.count() == len(younger(EVENTS))
        assert problems(store) == []


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, len(EVENTS) - 1), max_size=40),
            st.one_of(st.none(), st.tuples(st.integers(0, 80), st.booleans())),
        ),
        max_size=6,
    )
)
def test_any_order_of_writing_and_pruning(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[list[int], tuple[int, bool] | None]]
) -> None:
    """Whatever is written and pruned in turn: the count is true, and every sum is that of what it stands for."""
    with open_store(url(tmp_path_factory.mktemp("store")), create=True, fold_every=10, most_keys=3) as store:
        for picked, cut in steps:
            store.write([EVENTS[n] for n in picked])
            if cut is not None:
                pruned(store, day_before(START_NS) - cut[0], keep_sums=cut[1])

            assert store.count() == len(list(store.events()))
            assert problems(store) == []
