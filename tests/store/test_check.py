"""A store that is whole has no problems; one that is not has the ones it has, and rebuilding mends what can be."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
from keeping import EVENTS, made, problems, url
from made import DAY, START_NS, call
from stores import by_another_hand

from payi_middleware.events import Cost
from payi_middleware.store import open_store
from payi_middleware.store.rebuild import rebuild


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else waits for these stores, so rebuilding rests no longer than it works."""
    monkeypatch.setattr("payi_middleware.store.rebuild._REST", 0.0)


@pytest.mark.parametrize("most_keys", [100_000, 4])
def test_a_whole_store(tmp_path: Path, most_keys: int) -> None:
    """Folded or not, corrected, with values beyond the bound of a day, opened for reading: nothing is wrong."""
    with made(tmp_path, most_keys=most_keys) as store:
        [batch, *_] = store.walk(size=200)
        store.correct([(n, event, msgspec.structs.replace(event, cost=Cost(9, 0, 9))) for n, event in batch])
        assert problems(store) == []
    with open_store(url(tmp_path), create=False) as store:
        assert problems(store) == []
        assert store.count() == 600


SUMS = [
    "UPDATE rollup SET calls = calls + 1 WHERE grain = 0 AND dim = 1 AND period = (SELECT min(hour) FROM events)",
    "UPDATE rollup SET cost_ticks = cost_ticks - 1 WHERE grain = 1 AND dim = 0",
    "UPDATE rollup SET latency = CAST(latency || 'A' AS BLOB) WHERE grain = 2 AND dim = 4",
    "DELETE FROM rollup WHERE grain = 0 AND dim = 3 AND kind = 8",
    "DELETE FROM rollup WHERE grain = 2",
    "INSERT INTO rollup VALUES (1, 0, 400000, 1, 8, 1, 1, 1, 1, CAST('A' AS BLOB), CAST('' AS BLOB))",
    "INSERT INTO rollup VALUES (1, 2, 24000, 1, 8, 1, 1, 1, 1, CAST('A' AS BLOB), CAST('' AS BLOB))",
    "INSERT INTO rollup VALUES (9, 0, (SELECT max(hour) FROM events), 1, 8, 1, 1, 1, 1, CAST('' AS BLOB), CAST('' AS BLOB))",
]


@pytest.mark.parametrize("statement", SUMS)
def test_a_wrong_sum_is_found_and_mended(tmp_path: Path, statement: str) -> None:
    """A sum that is wrong, missing, or of nothing is told with its day, and is right after `rebuild`."""
    with made(tmp_path) as store:
        before = store.report(("user",)).to_dict()
        by_another_hand(tmp_path, statement)

        found = problems(store)
        assert {problem.what for problem in found} == {"sums"}
        assert {problem.cure for problem in found} == {"payi store rebuild"}

        assert len(list(rebuild(store))) > 60
        assert problems(store) == []
        assert store.report(("user",)).to_dict() == before


@pytest.mark.usefixtures("anywhere")
def test_a_store_of_some_days(tmp_path: Path) -> None:
    """The same wherever a store is: what is wrong is found, day by day, and rebuilding mends it."""
    events = [event for event in EVENTS if event.started_ns > START_NS - 3 * DAY]
    with made(tmp_path, events) as store:
        store.correct([(1, events[0], msgspec.structs.replace(events[0], cost=Cost(9, 0, 9)))])
        assert problems(store) == []
        before = store.report(("user",)).to_dict()
        by_another_hand(tmp_path, *SUMS[:3], SUMS[-1], "UPDATE keeping SET removed = 3")
        assert {problem.what for problem in problems(store)} == {"count", "sums"}
        assert len(list(rebuild(store))) == 4
        assert problems(store) == []
        assert store.report(("user",)).to_dict() == before
        by_another_hand(tmp_path, "DELETE FROM shapes", "DELETE FROM texts WHERE packed LIKE 'user-%'")
        assert {problem.what for problem in problems(store)} == {"reference"}


def test_what_else_rebuilding_mends(tmp_path: Path) -> None:
    """Corrections of no event, sums of no name, and a wrong count."""
    with made(tmp_path) as store:
        by_another_hand(
            tmp_path,
            "INSERT INTO corrections (event, at_ns, old_kind, old_ticks, kind, ticks, told) VALUES (9999, 0, 8, 1, 8, 2, CAST('' AS BLOB))",
            "INSERT INTO rollup VALUES (1, 0, (SELECT max(hour) FROM events), 8888, 8, 1, 1, 1, 1, CAST('A' AS BLOB), CAST('' AS BLOB))",
            "UPDATE keeping SET removed = 3",
        )
        assert {problem.what for problem in problems(store)} == {"correction", "reference", "count", "sums"}
        list(rebuild(store))
        assert problems(store) == []
        assert store.count() == 600


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM shapes", "shape is not in shapes"),
        ("DELETE FROM texts WHERE packed = 'user-3'", "user is not in texts"),
        ("UPDATE events SET wide = 77 WHERE id = 5", "1 of event: wide is not in wide"),
    ],
)
def test_what_only_a_backup_mends(tmp_path: Path, statement: str, told: str) -> None:
    with made(tmp_path) as store:
        by_another_hand(tmp_path, statement)
        [found] = [one for one in problems(store) if "backup" in one.cure]
        assert found.what == "reference"
        assert told in found.message


def test_a_damaged_file(tmp_path: Path) -> None:
    """A page that was overwritten is told as damage of the file, as far as the database still reads it."""
    with made(tmp_path, [call(user_id=f"user-{n}", started_ns=START_NS + n) for n in range(3000)]) as store:
        store.checkpoint()
    by_another_hand(tmp_path, "PRAGMA journal_mode = DELETE")
    path = tmp_path / "payi.db"
    other = sqlite3.connect(path)
    root = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_by_hour'").fetchone()[0]
    other.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 + 8 : (root - 1) * 4096 + 12] = bytes(4)
    path.write_bytes(content)
    with open_store(url(tmp_path), create=False) as store:
        found = problems(store)
    assert {problem.what for problem in found} == {"file"}
    assert "the file is damaged" in found[0].message
