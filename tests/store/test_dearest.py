"""Some rows of a report are those that all of it would begin with, read without adding up the others."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from made import DAY, HOUR, START_NS, call, some_events

from payi_middleware.events import Cost
from payi_middleware.store import Store, open_store, report
from payi_middleware.store.query import BY

EVENTS = some_events(900)
RANGES = [(None, None), (START_NS - 33 * DAY - 5, START_NS - DAY - 7), (START_NS + DAY, None), (START_NS - HOUR, None)]


@pytest.fixture(scope="module", params=[1, 300, 10**6], ids=["folded", "some folded", "none folded"])
def store(request: pytest.FixtureRequest) -> Any:
    """The events, all in the rollups, most of them, or none."""
    with open_store("sqlite:///:memory:", create=True, fold_every=request.param, most_keys=6) as opened:
        for start in range(0, len(EVENTS), 70):
            opened.write(EVENTS[start : start + 70])
        yield opened


@pytest.mark.parametrize("by", [*[(name,) for name in BY], ("model", "route"), ("user", "day")], ids="+".join)
@pytest.mark.parametrize(("since", "until"), RANGES)
def test_a_page_is_a_part_of_the_whole(store: Store, by: tuple[str, ...], since: int | None, until: int | None) -> None:
    """Whatever the page: its rows, the number of all, and the total."""
    every = store.report(by, since_ns=since, until_ns=until)
    told = every.to_dict()
    assert every.size == len(every.rows)
    for offset, limit in ((0, 1), (0, 4), (3, 2), (2, 500), (0, 2_000), (len(every.rows), 3), (0, 0)):
        page = store.report(by, since_ns=since, until_ns=until, offset=offset, limit=limit)

        assert page.size == every.size
        assert page.to_dict() | {"note": None} == told | {"note": None, "rows": told["rows"][offset : offset + limit]}


def test_what_costs_the_same_is_in_the_order_of_names() -> None:
    """Of many that cost the same the first by name are chosen, whichever came first."""
    with open_store("sqlite:///:memory:", create=True) as store:
        store.write([call(user_id=f"user-{n % 20:02}", ticks=5) for n in range(0, 600, 7)])
        store.write([call(user_id=name, ticks=1) for name in ("b", "c", "a", None)])
        names = [row.key[0] for row in store.report(("user",)).rows]

        assert names[-4:] == [None, "a", "b", "c"]
        for n in range(len(names) + 1):
            assert [row.key[0] for row in store.report(("user",), limit=n).rows] == names[:n]


def test_others_are_not_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """To show three of three hundred users, three are collected."""
    with open_store("sqlite:///:memory:", create=True, fold_every=1) as store:
        store.write([call(user_id=f"user-{n}", ticks=n) for n in range(300)])
        collected: list[int] = []
        collect = report._collect

        def collecting(groups: Any, width: int) -> Any:
            found = collect(groups, width)
            collected.append(len(found))
            return found

        monkeypatch.setattr(report, "_collect", collecting)
        page = store.report(("user",), limit=3)

    assert [row.key[0] for row in page.rows] == ["user-299", "user-298", "user-297"]
    assert collected == [3]


def test_failures_page_by_page(store: Store) -> None:
    every = store.failures()
    assert [row.key for row in store.failures(limit=2, offset=1).rows] == [row.key for row in every.rows[1:3]]


def test_it_is_told_how_long_a_long_way_took(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sums alone took long, the report says so, and why."""
    whole = START_NS // HOUR * HOUR // DAY * DAY
    assert store.report(("model",), since_ns=whole - 9 * DAY, until_ns=whole).note is None
    monkeypatch.setattr(report, "_LONG", 0.0)
    told = store.report(("model",), since_ns=whole - 49 * DAY, until_ns=whole - 38 * DAY).note
    assert "no running sum is near the range: the sums of 11 days were added up, which took 0." in str(told)
    assert "to add up the sums took 0." in str(store.report(("day",), since_ns=whole - 9 * DAY, until_ns=whole).note)


def test_corrections_at_the_edge_of_a_range_and_no_range_at_all() -> None:
    """Where a range cuts an hour, corrections of its events count; beyond all calls there is nothing."""
    with open_store("sqlite:///:memory:", create=True, fold_every=1) as store:
        store.write([call(user_id=f"user-{n}", ticks=n, started_ns=START_NS + n) for n in range(9)])
        batches = list(store.walk())
        store.correct([(n, e, msgspec.structs.replace(e, cost=Cost(9, 0, 9))) for n, e in batches[0] if n % 2])
        every = [row.key for row in store.report(("user",), since_ns=START_NS + 3).rows]

        assert [row.key for row in store.report(("user",), since_ns=START_NS + 3, limit=4).rows] == every[:4]
        assert store.report(("user",), since_ns=10**20, until_ns=10**21, limit=4).size == 0
