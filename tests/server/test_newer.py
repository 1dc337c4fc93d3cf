"""Rates that are fetched while a server runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from publishing import Publisher, listing
from servers import Server

from payi_middleware import updates
from payi_middleware.fetched import Fetched, fetched_at
from payi_middleware.server import newer

ITEM = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1_000_000}}}


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    """Asked where genai-prices is, by servers that look often."""
    made = Publisher()
    monkeypatch.setattr(newer, "_SECONDS", 0.02)
    yield made
    made.close()


def cost(http: Any) -> float:
    told: float = http.post("/api/v1/ingest", json=ITEM).json()["xproxy_result"]["cost"]["total"]["base"]
    return told


def becomes(http: Any, expected: float) -> bool:
    """Whether a call is priced so before long."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if cost(http) == expected:
            return True
        time.sleep(0.05)
    return False


def test_a_running_server_takes_newer_rates_over(publisher: Publisher, tmp_path: Path) -> None:
    """Fetched by another process of the store; the next server has them at once; listings and version follow; a bad file changes nothing."""
    path = fetched_at(tmp_path / "payi.db")
    assert path is not None
    with Server(tmp_path) as server, server.http() as http:
        before = http.get("/api/v1/capabilities").json()["price_version"]
        assert cost(http) == 2.5
        Fetched(path).fetch(publisher.url)
        assert becomes(http, 7)
        assert http.get("/api/v1/capabilities").json()["price_version"] != before
        listed, *_ = http.get("/api/v1/categories/system.openai/resources/gpt-4o").json()["items"]
        assert listed["units"]["text"]["input_price"] == 7e-6
    with Server(tmp_path) as server, server.http() as http:
        assert cost(http) == 7
        path.write_bytes(b"no rates")
        assert becomes(http, 2.5)  # those that are installed, as a meter does
        publisher.body = json.dumps(listing(9)).encode()
        Fetched(path).fetch(publisher.url)
        assert becomes(http, 9)


def test_a_server_fetches_itself(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting `update_prices`, also where the first try fails."""
    monkeypatch.setenv("PAYI_UPDATE_PRICES", "60")
    made = updates.Updates
    monkeypatch.setattr("payi_middleware.server.app.Updates", lambda *given: made(*given, publisher.url))
    with Server(tmp_path) as server, server.http() as http:
        assert becomes(http, 7)


def test_a_fault_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised, the next look is made."""
    monkeypatch.setattr(newer, "_SECONDS", 0.01)
    looks = []

    class Broken:
        def load(self) -> None:
            looks.append(1)
            raise RuntimeError

    watch = newer.Newer(Broken(), lambda then: None)  # type: ignore[arg-type]
    while len(looks) < 3:
        time.sleep(0.01)
    watch.close()
