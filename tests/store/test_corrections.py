"""Corrections of costs: reports and events show them, and what was recorded is still there."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from made import DAY, HOUR, START_NS, call, some_events
from stores import place, url

from payi_middleware.events import CallEvent, Cost, Unpriced
from payi_middleware.exceptions import StoreError
from payi_middleware.store import Store, open_store
from payi_middleware.store.check import check
from payi_middleware.store.query import BY
from payi_middleware.store.schema import MIGRATIONS

EVENTS = some_events()
RANGES = [(None, None), (START_NS - 40 * DAY, None), (START_NS - 30 * DAY + 7, START_NS - 3 * HOUR - 11)]


def changed(event: CallEvent, chance: random.Random) -> CallEvent:
    """The same call at another price, or none."""
    source = chance.choice(["usage", "estimate", "none"])
    ticks = chance.randrange(10**9)
    return msgspec.structs.replace(
        event,
        cost=None if source == "none" else Cost(ticks, 0, ticks),
        cost_source=source,
        unpriced=chance.choice([(), (Unpriced("audio", 1, "no rate"),)]),
        reason=chance.choice([None, "why"]),
        price_version="another",
    )


@pytest.fixture(
    scope="module",
    params=[("sqlite", 1), ("sqlite", 300), ("sqlite", 10**6), ("postgresql", 300)],
    ids=["folded", "some folded", "none folded", "some folded on PostgreSQL"],
)
def stores(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, Store, Store]]:
    """A store whose events were corrected, twice some of them; one that has them so from the start; one without corrections."""
    folder = tmp_path_factory.mktemp("stores")
    kind, fold_every = request.param
    place(folder, kind)
    names = ("corrected", "so from the start", "recorded")
    made = [open_store(url(folder, f"{name}.db"), create=True, fold_every=fold_every) for name in names]
    chance = random.Random(3)
    now = {event.event_id: event for event in EVENTS}
    for start in range(0, len(EVENTS), 100):
        made[0].write(EVENTS[start : start + 100])
        made[2].write(EVENTS[start : start + 100])
    for _ in range(2):
        for batch in made[0].walk(START_NS - 50 * DAY, None, size=170):
            picked = [(number, event) for number, event in batch if chance.random() < 0.5]
            new = [(number, event, changed(event, chance)) for number, event in picked]
            made[0].correct(new)
            now |= {event.event_id: event for _, _, event in new}
    made[1].write(list(now.values()))
    yield made[0], made[1], made[2]
    for store in made:
        store.close()


@pytest.mark.parametrize(
    "by", [*[(name,) for name in BY], ("user", "model"), ("model", "day"), ("use-case", "provider")]
)
@pytest.mark.parametrize(("since_ns", "until_ns"), RANGES)
def test_a_report_is_that_of_a_store_with_the_corrected_costs(
    stores: tuple[Store, Store, Store], by: tuple[str, ...], since_ns: int | None, until_ns: int | None
) -> None:
    corrected, expected, recorded = stores
    told = corrected.report(by, since_ns=since_ns, until_ns=until_ns).to_dict()
    assert told | {"note": None} == expected.report(by, since_ns=since_ns, until_ns=until_ns).to_dict() | {"note": None}

    original = corrected.report(by, since_ns=since_ns, until_ns=until_ns, as_recorded=True).to_dict()
    assert original | {"note": None} == recorded.report(by, since_ns=since_ns, until_ns=until_ns).to_dict() | {
        "note": None
    }
    assert original["total"] != told["total"]


def test_failures_too(stores: tuple[Store, Store, Store]) -> None:
    corrected, expected, recorded = stores
    assert corrected.failures().to_dict() == expected.failures().to_dict()
    assert corrected.failures(as_recorded=True).to_dict() == recorded.failures().to_dict()


def test_events_show_the_last_correction_or_what_was_recorded(stores: tuple[Store, Store, Store]) -> None:
    corrected, expected, recorded = stores
    by_id = {event.event_id: event for event in expected.events()}
    assert {event.event_id: event for event in corrected.events()} == by_id
    assert list(corrected.events(as_recorded=True)) == list(recorded.events())
    assert corrected.latest(20) == [by_id[event.event_id] for event in recorded.latest(20)]
    assert corrected.latest(20, as_recorded=True) == recorded.latest(20)


@pytest.mark.usefixtures("anywhere")
def test_of_request(tmp_path: Path) -> None:
    event = call(http_request_id="one")
    with open_store(url(tmp_path), create=True) as store:
        store.write([event])
        new = changed(event, random.Random(1))
        store.correct([(1, event, new)])
        assert store.of_request("one") == [new]
        assert store.of_request("one", as_recorded=True) == [event]


@pytest.mark.usefixtures("anywhere")
def test_what_a_rollup_counts_as_other_is_corrected_there(tmp_path: Path) -> None:
    events = [call(user_id=f"user-{n}", ticks=10) for n in range(20)]
    with open_store(url(tmp_path), create=True, fold_every=1, most_keys=5) as store:
        store.write(events)
        before = {row.key[0]: row.sums.calls for row in store.report(["user"]).rows}
        assert before["(other)"] == 15
        [batch] = store.walk()
        store.correct([(n, event, msgspec.structs.replace(event, cost=Cost(30, 0, 30))) for n, event in batch])
        rows = store.report(["user"]).rows
    assert {row.key[0]: row.sums.calls for row in rows} == before
    assert {row.key[0]: row.sums.cost_ticks for row in rows} == {key: 30 * calls for key, calls in before.items()}


@pytest.mark.usefixtures("anywhere")
def test_corrections_are_written_all_or_none(tmp_path: Path) -> None:
    events = [call(), call()]
    with open_store(url(tmp_path), create=True) as store:
        store.write(events)
        new = [changed(event, random.Random(1)) for event in events]
        wrong = msgspec.structs.replace(new[1], cost=Cost(1 << 70, 0, 1 << 70))
        with pytest.raises(OverflowError):
            store.correct([(1, events[0], new[0]), (2, events[1], wrong)])
        assert list(store.events()) == events
        assert store.report(["user"]).to_dict() == store.report(["user"], as_recorded=True).to_dict()


@pytest.mark.usefixtures("anywhere")
def test_two_who_correct_at_once(tmp_path: Path) -> None:
    """The cost of an event that somebody else corrected since it was read stays, and reports have each difference once."""
    event, gone = call(ticks=10), call(started_ns=START_NS - 9 * DAY, ticks=1)
    with open_store(url(tmp_path), create=True) as one, open_store(url(tmp_path), create=True) as other:
        one.write([event, gone])
        dear, dearer = (msgspec.structs.replace(event, cost=Cost(ticks, 0, ticks)) for ticks in (20, 35))
        assert one.correct([(1, event, dear), (1, event, dearer)]) == {1}
        assert other.correct([(1, event, dearer), (3, gone, dearer)]) == set()
        assert one.find(event.event_id) == dear
        assert one.report(["user"]).total.cost_ticks == 21

        assert other.correct([(1, dear, dearer)]) == {1}
        unpriced = msgspec.structs.replace(dearer, cost=None, cost_source="none")
        free = msgspec.structs.replace(dearer, cost=Cost(0, 0, 0))
        assert one.correct([(1, dearer, unpriced)]) == {1}
        for who in one, other:
            who.correct([(1, unpriced, free)])
        total = one.report(["user"]).total
        assert (total.calls, total.cost_ticks, total.unpriced_calls) == (2, 1, 0)
        assert list(filter(None, check(one))) == []


def test_a_store_from_before_there_were_corrections_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "payi.db"
    older = sqlite3.connect(path, isolation_level=None)
    for statement in MIGRATIONS[0]:
        older.execute(statement)
    older.execute(f"PRAGMA application_id = {0x50617969}")
    older.execute("PRAGMA user_version = 1")
    older.close()

    with pytest.raises(StoreError, match="has an older schema"):
        open_store(f"sqlite:///{path}", create=False)
    event = call()
    with open_store(f"sqlite:///{path}", create=True) as store:
        store.write([event])
        store.correct([(1, event, changed(event, random.Random(1)))])
        assert list(store.events(as_recorded=True)) == [event]
