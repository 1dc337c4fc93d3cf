"""An application whose store is on PostgreSQL: nothing is lost while the database is away, and one process hands over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from payiserver import KEY, PayiServer
from postgres import database, server

from payi_middleware import Meter, health
from payi_middleware.sinks import delivery
from payi_middleware.store import open_store

PATIENCE = 60.0
"""Seconds until a test gives up; nothing waits so long unless it fails."""


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(delivery, "OTHERS_SECONDS", 0.02)
    return database()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never happens"
        time.sleep(0.005)


def told(meter: Meter, *users: str) -> None:
    for user in users:
        meter.record("system.openai", "gpt-4o", {"text": (1000, 100)}, user_id=user)


def stored(url: str) -> list[str | None]:
    with open_store(url, create=False) as store:
        return [event.user_id for event in store.events()]


def test_events_wait_while_the_database_is_away(url: str, tmp_path: Path) -> None:
    """In the spool in the user's folder; when it is back they are stored, each once, without anybody's doing."""
    meter = Meter(url, flush_interval=0.01)
    told(meter, "first")
    assert meter.flush(PATIENCE)
    server().stop()
    try:
        told(meter, *(f"user-{n}" for n in range(50)))
        assert not meter.flush(1)
        assert health.counters()["sink_refused"] >= 1
        assert list((tmp_path / "state" / "payi").glob("postgresql-*.spool/*.spool"))
    finally:
        server().start()
    until(lambda: len(stored(url)) == 51)
    meter.close()
    assert sorted(Counter(stored(url)).values()) == [1] * 51
    assert "s3cret" not in repr(meter.settings)


def test_what_a_dead_process_left_is_taken_in(url: str) -> None:
    """By the next that has the same store, whatever its user and password."""
    dead = Meter(url.replace("?", "?application_name=dead&"), flush_interval=3600)
    told(dead, "left")
    dead.spool.abandon()  # as if its process had ended
    meter = Meter(url, flush_interval=0.01)
    told(meter, "here")
    until(lambda: sorted(map(str, stored(url))) == ["here", "left"])
    meter.close()


def test_one_of_several_hands_over(url: str) -> None:
    """Meters of two processes on one database: the server gets each event once, whoever made it."""
    with PayiServer(ours=True) as running:
        options: dict[str, Any] = {"api_key": KEY, "base_url": running.url, "flush_interval": 0.01}
        meters = [Meter(url, **options) for _ in range(2)]
        for n in range(20):
            told(meters[n % 2], f"user-{n}")
        until(lambda: len(running.users()) >= 20 and all(meter.flush(1) for meter in meters))
        for meter in meters:
            meter.close()
        assert sorted(Counter(running.users()).values()) == [1] * 20
    with open_store(url, create=False) as store:
        assert [place.waiting for place in store.deliveries()] == [0]
