"""Limits that a server of before kept in the store."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from servers import Server

from payi_middleware.exceptions import LedgerError
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.server.database import over, prepare
from payi_middleware.server.takeover import take_over

OLD = """
CREATE TABLE server_version (version INTEGER NOT NULL, probed_ns BIGINT NOT NULL);
INSERT INTO server_version VALUES (1, 0);
CREATE TABLE server_applications (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO server_applications VALUES (1, 'shop'), (2, 'desk');
CREATE TABLE server_limits (
    id INTEGER PRIMARY KEY, application INTEGER NOT NULL, limit_id TEXT NOT NULL, limit_name TEXT NOT NULL,
    limit_type TEXT NOT NULL, max_ticks BIGINT NOT NULL, threshold FLOAT, properties JSON NOT NULL, created_ns BIGINT NOT NULL,
    updated_ns BIGINT NOT NULL, of_instance BOOLEAN NOT NULL, input_ticks BIGINT NOT NULL, output_ticks BIGINT NOT NULL,
    ok BIGINT NOT NULL, exceeded BIGINT NOT NULL, overrun BIGINT NOT NULL, blocked BIGINT NOT NULL,
    blocked_external BIGINT NOT NULL, failed BIGINT NOT NULL, UNIQUE (application, limit_id)
);
INSERT INTO server_limits VALUES
    (1, 1, 'all', 'All', 'allow', 20000000000, 0.8, '{"team": "a"}', 1700000000000000000, 1700000001000000000, 0,
     5000000000, 1000000000, 3, 2, 1, 0, 0, 4),
    (2, 1, 'run', 'All', 'block', 10000000000, NULL, '{}', 1700000000000000000, 1700000000000000000, 1, 0, 0, 0, 0, 0, 0, 0, 0),
    (3, 2, 'all', 'LONG', 'allow', 10000000000, NULL, '{}', 1700000000000000000, 1700000000000000000, 0, 7, 0, 1, 0, 0, 0, 0, 0);
CREATE TABLE server_limit_history (
    id INTEGER PRIMARY KEY, application INTEGER NOT NULL, limit_id TEXT NOT NULL, limit_name TEXT NOT NULL,
    limit_type TEXT NOT NULL, max_ticks BIGINT NOT NULL, reset_ns BIGINT NOT NULL
);
INSERT INTO server_limit_history VALUES (1, 2, 'all', 'All', 'allow', 1, 1700000009000000000);
""".replace("LONG", "l" * 150)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with the tables of before."""
    prepare(tmp_path / "payi.db").close()
    with sqlite3.connect(tmp_path / "payi.db") as connection:
        for table in ("server_version", "server_applications"):
            connection.execute(f"DROP TABLE {table}")
        connection.executescript(OLD)
    connection.close()
    return tmp_path / "payi.db"


def test_limits_go_on_in_the_ledger(path: Path) -> None:
    """With their ids, properties, times and all that was counted; a second server finds nothing to take over."""
    for _ in range(2):
        with Server(path.parent) as server, server.http(server.key("admin", "shop")) as http:
            limits = {one["limit_id"]: one for one in http.get("/api/v1/limits").json()["items"]}
            http.post(
                "/api/v1/ingest",
                json={"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1}}},
                headers={"xProxy-Limit-IDs": "all"},
            ).raise_for_status()
            desk = server.key("admin", "desk")
            with server.http(desk) as other:
                (long,) = other.get("/api/v1/limits").json()["items"]
    every = limits["all"]
    assert (every["limit_name"], every["limit_type"], every["max"], every["threshold"]) == ("All", "allow", 2, 0.8)
    assert (every["properties"], every["source"]) == ({"team": "a"}, "api")
    assert every["limit_creation_timestamp"] == "2023-11-14T22:13:20.000000Z"
    assert (
        every["totals"]["cost"]["total"]["base"] == 0.6 + 0.0000025
    )  # what the first round of this test ingested, too
    assert every["totals"]["requests"] == {
        "ok": 4, "exceeded": 2, "overrun": 1, "blocked": 0, "blocked_external": 0, "failed": 4, "total": 11,
    }  # fmt: skip
    assert (limits["run"]["limit_name"], limits["run"]["source"]) == ("All run", "instance")  # the name was taken
    assert long["limit_name"] == "l" * 64 + "… all"
    assert long["limit_creation_timestamp"] == "2023-11-14T22:13:29.000000Z"  # since when it counts


def test_a_crash_between_loses_nothing(path: Path) -> None:
    """What the ledger was told already is told again, and nothing of the store is gone before it has all."""

    class Breaking(MemoryLedger):
        told = 0

        def set_spent(self, *args: object) -> None:
            super().set_spent(*args)  # type: ignore[arg-type]
            self.told += 1
            if self.told == 2:
                raise LedgerError("away")

    ledger = Breaking()
    with prepare(path) as store:
        with pytest.raises(LedgerError), store.batch() as batch:
            take_over(over(batch.connection), ledger)
        for expected in (3, 0):
            with store.batch() as batch:
                assert take_over(over(batch.connection), ledger) == expected
    (totals,) = ledger.totals("shop", "all")
    assert (totals.spent, totals.requests["failed"]) == (6_000_000_000, 4)
    assert len(ledger.definitions("shop").limits) == 2
