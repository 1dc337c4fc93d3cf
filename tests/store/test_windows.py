"""Running sums: whatever happens to a store, they are the sums of their days, and reports do not show that they are used."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keeping import problems, url
from made import DAY, HOUR, START_NS, call, some_events
from truth import KEYS, told, truth

from payi_middleware import forks
from payi_middleware.events import CallEvent, Cost
from payi_middleware.store import Store, open_store, query, tending, windows
from payi_middleware.store.catching_up import tended
from payi_middleware.store.forget import Person, forget
from payi_middleware.store.prune import day_before, prune
from payi_middleware.store.query import BY
from payi_middleware.store.rebuild import rebuild
from payi_middleware.store.schema import DAY as BY_DAY
from payi_middleware.store.schema import LAST_7, LAST_30, LAST_90, RANKED, USER, WINDOWS

TODAY = day_before(START_NS)
EVENTS = some_events(600, days=100)
FEW = some_events(150, days=20)
MONTH_NS = 1_788_220_800 * 10**9
"""2026-09-01."""


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The day that it is, to be changed."""
    now = [TODAY]
    monkeypatch.setattr(tending, "today", lambda: now[0])
    monkeypatch.setattr(forks, "rest", lambda seconds: None)
    return now


def made(folder: Path, events: list[CallEvent] | None = None, **more: Any) -> Store:
    """A store whose running sums are full."""
    store = open_store(url(folder), create=True, fold_every=more.pop("fold_every", 150), **more)
    events = EVENTS if events is None else events
    for start in range(0, len(events), 100):
        store.write(events[start : start + 100])
    list(tended(store))
    return store


def members(store: Store) -> dict[int, set[int]]:
    with store.snapshot() as connection:
        return windows.days_in(connection)


def rows(store: Store, where: str) -> list[tuple[Any, ...]]:
    with store.snapshot() as connection:
        return connection.execute(f"SELECT * FROM rollup WHERE {where}").fetchall()


def test_they_are_full(tmp_path: Path) -> None:
    """Each has the days before today, as many as it says, and the sums of these."""
    with made(tmp_path) as store:
        assert members(store) == {grain: {*range(TODAY - n, TODAY)} for grain, n in WINDOWS.items()}
        assert problems(store) == []
        within = [e for e in EVENTS if TODAY - 30 <= day_before(e.started_ns) < TODAY]
        sums = rows(store, f"dim = {USER} AND grain = {LAST_30}")
        ranked = rows(store, f"dim = {USER} AND grain = {RANKED[LAST_30]}")
    assert sum(row[5] for row in sums) == sum(row[5] for row in ranked) == len(within) > 100
    assert len(ranked) == len({event.user_id for event in within}) < len(sums)


@pytest.mark.usefixtures("anywhere")
def test_they_move_on_with_the_days(tmp_path: Path, today: list[int]) -> None:
    """A day later the oldest day is out and yesterday in, two days earlier it is the other way round, a year later all are empty."""
    with made(tmp_path, FEW) as store:
        for now in (TODAY + 1, TODAY - 1, TODAY - 60, TODAY + 400, TODAY):
            today[0] = now
            list(tended(store))
            assert members(store) == {grain: {*range(now - n, now)} for grain, n in WINDOWS.items()}
            assert problems(store) == []
            assert rows(store, f"grain >= {LAST_7} AND calls = 0") == []
        today[0] = TODAY + 400
        list(tended(store))
        assert rows(store, f"grain >= {LAST_7}") == []


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize(("many", "is_in"), [(0, False), (2_000, True)])
def test_late_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int, is_in: bool) -> None:
    """Few that come late are added to the running sums, of many their day goes out, until no more come."""
    monkeypatch.setattr(windows, "_MANY", many)
    late = TODAY - 3
    with made(tmp_path, FEW, fold_every=10) as store:
        store.write([call(started_ns=late * DAY + n, user_id="late", resource="new", ticks=5) for n in range(10)])

        assert [late in days for days in members(store).values()] == [is_in] * 3
        assert problems(store) == []
        found = {row.key[0]: row.sums for row in store.report(("user",), since_ns=START_NS - 7 * DAY).rows}
        assert (found["late"].calls, found["late"].cost_ticks) == (10, 50)

        store.write([call(started_ns=TODAY * DAY + n) for n in range(10)])
        list(tended(store))
        assert [late in days for days in members(store).values()] == [True] * 3
        assert problems(store) == []


RANGES: list[tuple[int | None, int | None]] = [
    (START_NS - 7 * DAY, None),
    (START_NS - 30 * DAY, None),
    (START_NS - 90 * DAY, None),
    ((TODAY - 30) * DAY, TODAY * DAY),
    ((TODAY - 29) * DAY, (TODAY + 1) * DAY),
    (START_NS - 35 * DAY, START_NS - 4 * DAY),
    (MONTH_NS, None),
    (MONTH_NS - 31 * DAY, MONTH_NS),
    (MONTH_NS - 31 * DAY - 2 * HOUR, MONTH_NS - 2 * HOUR),
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tending, "today", lambda: TODAY)
        with made(tmp_path_factory.mktemp("full")) as store:
            yield store


@pytest.mark.parametrize("name", sorted(KEYS))
@pytest.mark.parametrize(("since", "until"), RANGES)
def test_reports_are_exact(full: Store, name: str, since: int, until: int | None) -> None:
    """Over the days that they have, a day or some hours more or less, over months: a report is the sum of its events."""
    found = full.report((name,), since_ns=since, until_ns=until).to_dict()

    within = [e for e in EVENTS if e.started_ns >= since and (until is None or e.started_ns < until)]
    keys = {KEYS[name](event) for event in within}
    assert {row["key"]: told(row) for row in found["rows"]} == {
        key: truth([event for event in within if KEYS[name](event) == key]) for key in keys
    }
    assert told(found["total"]) == truth(within)


@pytest.mark.parametrize("by", [("user",), ("tag",), ("day",), ("model", "route"), ("use-case", "day")], ids="+".join)
@pytest.mark.parametrize(("since", "until"), RANGES)
def test_percentiles_are_those_of_the_days(
    full: Store, monkeypatch: pytest.MonkeyPatch, by: tuple[str, ...], since: int, until: int | None
) -> None:
    """What is taken away of a histogram is as if it had never been in it."""
    found = full.report(by, since_ns=since, until_ns=until).to_dict()
    monkeypatch.setattr(query, "days_in", lambda connection: {})
    monkeypatch.setattr("payi_middleware.store.periods._nearest", lambda hour: -(-hour // 24))

    assert found | {"note": None} == full.report(by, since_ns=since, until_ns=until).to_dict() | {"note": None}


def test_one_sum_is_read_in_place_of_thirty(full: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of the last thirty days reads the running sum, and no more than some days and hours beside it."""
    read: list[query.Span] = []
    ask = query._from_rollup

    def asked(*given: Any) -> Any:
        read.append(given[3])
        return ask(*given)

    monkeypatch.setattr(query, "_from_rollup", asked)
    full.report(("user",), since_ns=(TODAY - 30) * DAY)

    assert {span.grain for span in read} == {LAST_30, BY_DAY}
    assert sum(span.end - span.first for span in read if span.grain == BY_DAY) == 2  # today, in the total and by user


def repriced(store: Store, ticks: int) -> None:
    chance = random.Random(ticks)
    for batch in store.walk(size=200):
        store.correct(
            [
                (
                    number,
                    event,
                    msgspec.structs.replace(event, cost=Cost(ticks, 0, ticks), cost_source="usage", reason=None),
                )
                for number, event in batch
                if chance.random() < 0.4
            ]
        )


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("many", [0, 2_000])
def test_corrections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """Corrected costs are in the running sums, and so is what was recorded."""
    monkeypatch.setattr(windows, "_MANY", many)
    with made(tmp_path) as store:
        repriced(store, 70)
        repriced(store, 80)
        assert problems(store) == []
        list(tended(store))
        assert problems(store) == []
        whole = {"since_ns": (TODAY - 30) * DAY, "until_ns": (TODAY + 1) * DAY}
        now = {row.key[0]: row.sums.cost_ticks for row in store.report(("user",), **whole).rows}
        within = [e for e in store.events() if whole["since_ns"] <= e.started_ns < whole["until_ns"]]
        recorded = store.report(("user",), **whole, as_recorded=True)
    assert now == {
        user: sum(e.cost.total_ticks for e in within if e.user_id == user and e.cost)
        for user in {event.user_id for event in within}
    }
    assert told(recorded.to_dict()["total"]) == truth([e for e in EVENTS if e.started_ns >= whole["since_ns"]])


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("keep_sums", [True, False])
def test_pruning(tmp_path: Path, keep_sums: bool) -> None:
    """Events that go leave the running sums as they are; where the sums of days go, the running ones lose them too."""
    with made(tmp_path) as store:
        before = store.report(("user",), since_ns=(TODAY - 90) * DAY).to_dict()
        list(prune(store, TODAY - 20, keep_sums=keep_sums))
        assert problems(store) == []
        list(tended(store))
        assert problems(store) == []
        found = store.report(("user",), since_ns=(TODAY - 90) * DAY).to_dict()
    if keep_sums:
        assert found == before
    else:
        assert told(found["total"]) == truth([e for e in EVENTS if day_before(e.started_ns) >= TODAY - 20])


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("events", [True, False])
def test_forgetting(tmp_path: Path, events: bool) -> None:
    """No running sum tells of a person who was forgotten."""
    with made(tmp_path) as store:
        list(forget(store, Person("user-3", events=events)))
        assert problems(store) == []
        found = [row.key[0] for row in store.report(("user",), since_ns=(TODAY - 30) * DAY).rows]
        first = [row.key[0] for row in store.report(("user",), since_ns=(TODAY - 30) * DAY, limit=50).rows]
        with store.snapshot() as connection:
            assert connection.execute("SELECT count(*) FROM texts WHERE packed = 'user-3'").fetchone() == (0,)
    assert "user-3" not in found
    assert first == found


WRONG = [
    f"UPDATE rollup SET calls = calls + 1 WHERE dim = 1 AND grain = {LAST_90}",
    f"UPDATE rollup SET latency = CAST(latency || 'A' AS BLOB) WHERE dim = 0 AND grain = {LAST_7}",
    f"DELETE FROM rollup WHERE dim = 3 AND grain = {LAST_30} AND kind = 8",
    f"INSERT INTO rollup VALUES (7, {LAST_30}, 0, 1, 255, 1, 1, 1, 1, CAST('A' AS BLOB), CAST('' AS BLOB))",
    f"UPDATE rollup SET cost_ticks = cost_ticks + 1 WHERE dim = 1 AND grain = {RANKED[LAST_90]}",
    f"DELETE FROM windows WHERE grain = {LAST_7} AND day = {TODAY - 2}",
    f"INSERT INTO windows VALUES ({LAST_7}, {TODAY - 20})",
]


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("statement", WRONG)
def test_a_wrong_one_is_found_and_mended(tmp_path: Path, statement: str) -> None:
    """A running sum that is not that of its days is told, and right after `rebuild`."""
    with made(tmp_path, FEW) as store:
        store._connection.execute(statement)
        found = problems(store)
        assert {problem.what for problem in found} == {"sums"}
        assert all("running sums" in problem.message for problem in found)

        list(rebuild(store))

        assert problems(store) == []
        assert members(store) == {grain: {*range(TODAY - n, TODAY)} for grain, n in WINDOWS.items()}


steps = st.one_of(
    st.tuples(st.just("write"), st.lists(st.integers(0, len(EVENTS) - 1), max_size=60)),
    st.tuples(st.just("day"), st.integers(-100, 20)),
    st.tuples(st.just("correct"), st.integers(1, 99)),
    st.tuples(st.just("prune"), st.integers(0, 100)),
    st.tuples(st.just("forget"), st.integers(0, 8)),
)


@settings(max_examples=12, deadline=None)
@given(st.lists(steps, max_size=7), st.sampled_from([0, 30, 2_000]), st.booleans())
def test_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, happened: list[tuple[str, Any]], many: int, keep_sums: bool
) -> None:
    """In any order of writing, days, corrections, pruning and forgetting, every sum is that of what it stands for."""
    folder, now = tmp_path_factory.mktemp("store"), [TODAY]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tending, "today", lambda: now[0])
        patched.setattr(windows, "_MANY", many)
        with open_store(url(folder), create=True, fold_every=10, most_keys=3) as store:
            for what, value in happened:
                if what == "write":
                    store.write([EVENTS[n] for n in value])
                elif what == "day":
                    now[0] = TODAY + value
                    with store.transaction() as connection:
                        tending.tend(connection, store.most_keys)
                elif what == "correct":
                    repriced(store, value)
                elif what == "prune":
                    list(prune(store, TODAY - value, keep_sums=keep_sums))
                else:
                    list(forget(store, Person(f"user-{value}")))
            assert problems(store) == []
            for by in BY:
                every = store.report((by,)).to_dict()["rows"]
                assert store.report((by,), limit=2, offset=1).to_dict()["rows"] == every[1:3]


def test_nothing_is_to_be_done_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was tended just now is left alone for a while."""
    with made(tmp_path) as store:
        looked: list[int] = []
        monkeypatch.setattr("payi_middleware.store.store.tend", lambda connection, most_keys: bool(looked.append(1)))
        store.tend()
        store.tend()
        assert looked == [1]
