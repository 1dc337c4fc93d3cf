"""A store from before there were the newer dimensions: nothing is held up, reports are right all the while, and all is filled in."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from keeping import EVENTS, made, problems, url
from made import DAY, START_NS, call

from payi_middleware import forks
from payi_middleware.events import Cost
from payi_middleware.store import Store, open_store, tending, windows
from payi_middleware.store.catching_up import fill, tended
from payi_middleware.store.filled import filled
from payi_middleware.store.forget import Person, forget
from payi_middleware.store.prune import day_before, prune
from payi_middleware.store.rebuild import rebuild
from payi_middleware.store.schema import EVER, LATER, NARROW, ROUTED

BYS = [
    ("use-case",),
    ("model",),
    ("provider", "day"),
    ("application",),
    ("day",),
    ("route", "model"),
    ("use-case", "route"),
]
TODAY = day_before(START_NS)


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "today", lambda: TODAY)
    monkeypatch.setattr(forks, "rest", lambda seconds: None)


def older(folder: Path) -> None:
    """Take from the store of a folder what its schema of before did not have."""
    connection = sqlite3.connect(folder / "payi.db", isolation_level=None)
    dims = ", ".join(f"{dim}, {dim | 8}" for dim in LATER)
    for statement in (
        f"DELETE FROM rollup WHERE dim IN ({dims}) OR grain > 2",
        "DROP TABLE windows",
        "DROP TABLE filled",
        "ALTER TABLE folded RENAME COLUMN event TO id",
        "ALTER TABLE corrections RENAME COLUMN told TO rest",
        "PRAGMA user_version = 4",
    ):
        connection.execute(statement)
    connection.close()


def reports(store: Store) -> list[dict[str, Any]]:
    ranges = ((None, None), (START_NS - 40 * DAY, None), (START_NS - 30 * DAY, START_NS - 3 * DAY))
    found = [store.report(by, since_ns=since, until_ns=until).to_dict() for by in BYS for since, until in ranges]
    return [one | {"note": None} for one in found]


def repriced(store: Store) -> None:
    [batch, *_] = store.walk(size=300)
    store.correct([(n, event, msgspec.structs.replace(event, cost=Cost(9, 0, 9))) for n, event in batch])


def state(store: Store) -> dict[int, int]:
    with store.snapshot() as connection:
        return filled(connection)


@pytest.mark.parametrize("is_corrected", [False, True])
def test_it_is_filled_in_a_day_at_a_time(tmp_path: Path, is_corrected: bool) -> None:
    """Before, between and after, each report is what it was; what comes meanwhile is counted once."""
    with made(tmp_path) as store:
        if is_corrected:
            repriced(store)
        before = reports(store)
    older(tmp_path)
    with open_store(url(tmp_path), create=True, fold_every=5) as store:
        assert set(state(store).values()) == {(TODAY + 1) * 24}
        assert reports(store) == before
        assert problems(store) == []
        for number, _ in enumerate(fill(store)):
            if number == 30:
                assert reports(store) == before
                assert problems(store) == []
        assert set(state(store).values()) == {EVER}
        assert reports(store) == before
        assert problems(store) == []


def test_what_comes_meanwhile(tmp_path: Path) -> None:
    """Events of days that are filled, of days that are not, and their corrections, while it is under way."""
    with made(tmp_path, EVENTS[:400]) as store:
        pass
    older(tmp_path)
    more = EVENTS[400:]
    with open_store(url(tmp_path), create=True, fold_every=20) as store:
        while more:
            store.write(more[:20])
            more = more[20:]
            if len(more) in (140, 60):
                repriced(store)
                assert problems(store) == []
        list(tended(store))
        assert problems(store) == []
        assert set(state(store).values()) == {EVER}
        with store.snapshot() as connection:
            assert windows.days_in(connection)[3] == {*range(TODAY - 7, TODAY)}
        found = {row.key: row.sums.calls for row in store.report(("model", "route")).rows}
        kept = list(store.events())
    assert found == {
        key: sum((e.resource, e.inbound.http_route) == key for e in kept)
        for key in {(e.resource, e.inbound.http_route) for e in kept}
    }


def test_days_whose_events_were_pruned(tmp_path: Path) -> None:
    """Of those, models, providers and the like are told by sums as before; routes with them are not, and it is said."""
    with made(tmp_path) as store:
        list(prune(store, TODAY - 20))
        before = [store.report(by).to_dict() for by in BYS[:5]]
        missing = store.report(("model", "route"), since_ns=(TODAY - 20) * DAY).to_dict()
    older(tmp_path)
    with open_store(url(tmp_path), create=True) as store:
        list(fill(store))
        assert [store.report(by).to_dict() for by in BYS[:5]] == before
        assert {state(store)[dim] for dim in NARROW} == {EVER}
        assert state(store)[ROUTED] >= (TODAY - 20) * 24
        assert store.report(("model", "route"), since_ns=(TODAY - 20) * DAY).to_dict() == missing
        assert "were pruned" in str(store.report(("model", "route")).note)
        assert problems(store) == []
        assert list(fill(store)) == []


def test_it_is_forgotten_and_made_anew_in_between(tmp_path: Path) -> None:
    """A person who is forgotten, and a rebuild, while only some days are filled in."""
    with made(tmp_path) as store:
        pass
    older(tmp_path)
    with open_store(url(tmp_path), create=True) as store:
        for number, _ in enumerate(fill(store)):
            if number == 20:
                break
        list(forget(store, Person("user-4", events=True)))
        assert problems(store) == []
        list(rebuild(store))
        assert problems(store) == []
        assert set(state(store).values()) == {EVER}


def test_a_store_without_calls_has_nothing_to_be_filled_in(tmp_path: Path) -> None:
    with open_store(url(tmp_path), create=True) as store:
        assert set(state(store).values()) == {EVER}
        store.write([call()])
    with made(tmp_path, []) as store:
        list(prune(store, TODAY + 2))
        assert store.count() == 0
    older(tmp_path)
    with open_store(url(tmp_path), create=True) as store:  # of its only call just the sums are left
        assert set(state(store).values()) == {(TODAY + 1) * 24}
        list(fill(store))
        assert [row.sums.calls for row in store.report(("model",)).rows] == [1]
        assert problems(store) == []


def test_a_process_of_before_that_still_runs_writes_nothing(tmp_path: Path) -> None:
    """What it would fold or correct fails, so its events wait in the spool, and no sum is wrong."""
    with made(tmp_path, EVENTS[:200]) as store:
        running = sqlite3.connect(tmp_path / "payi.db")
        for statement in ("SELECT id FROM folded", "UPDATE folded SET id = max(id, 7)", "SELECT rest FROM corrections"):
            with pytest.raises(sqlite3.OperationalError, match="no such column"):
                running.execute(statement)
        running.close()
        assert problems(store) == []


def test_more_routes_than_the_bound(tmp_path: Path) -> None:
    """Beyond the bound of a day, models with routes are told with the route "(other)", and nothing is lost."""
    events = [
        call(http_route=f"/{n}", resource=f"m{n % 2}", ticks=10, started_ns=START_NS - n % 3 * DAY) for n in range(60)
    ]
    with made(tmp_path, events, most_keys=4) as store:
        with store.transaction():
            store.fold()
        repriced(store)
        found = store.report(("model", "route"))
        assert problems(store) == []
    others = {row.key[0]: row.sums for row in found.rows if row.key[1] == "(other)"}
    assert set(others) == {"m0", "m1"}
    assert sum(sums.calls for sums in others.values()) == 60 - 3 * 4
    assert found.total.cost_ticks == sum(row.sums.cost_ticks for row in found.rows) == 60 * 9
