"""The server on PostgreSQL: several on one database, one that is stopped and started, and the first key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
import stores
from postgres import database, server
from servers import Server

from payi_middleware.exceptions import SettingsError, StoreError
from payi_middleware.server.database import prepare
from payi_middleware.server.start import first_key
from payi_middleware.store import open_store

CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o",
    "units": {"text": {"input": 1000, "output": 100}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Whose stores are on PostgreSQL."""
    stores.place(tmp_path, "postgresql")
    return tmp_path


def test_a_database_that_is_stopped_and_started(folder: Path) -> None:
    """503 and readiness say so meanwhile; then all is well by itself, and nothing that was answered is lost or twice."""
    body = CALL | {"provider_response_id": "a"}
    with Server(folder) as serving, serving.http() as http:
        http.post("/api/v1/limits", json={"limit_name": "A", "max": 1, "limit_id": "a"}).raise_for_status()
        assert http.post("/api/v1/ingest", json=body).status_code == 200
        server().stop()
        try:
            assert http.get("/healthz").status_code == 200
            ready = http.get("/readyz")
            refused = [http.post("/api/v1/ingest", json=CALL), http.get("/api/v1/limits/a"), http.get("/api/v1/limits")]
        finally:
            server().start()
        assert (ready.status_code, ready.json()["title"]) == (503, "not ready")
        assert "cannot be reached" in ready.json()["detail"]
        assert [(answer.status_code, answer.headers["retry-after"]) for answer in refused] == [(503, "1")] * 3
        assert http.get("/readyz").status_code == 200
        assert http.get("/api/v1/limits/a").status_code == 200
        again = http.post("/api/v1/ingest", json=body, headers={"xProxy-Limit-IDs": "a"}).json()
        assert again["xproxy_result"]["duplicate_request"] is True
        http.post("/api/v1/ingest", json=CALL, headers={"xProxy-Limit-IDs": "a"}).raise_for_status()
        assert http.get("/api/v1/limits/a").json()["limit"]["totals"]["requests"]["ok"] == 1
    with open_store(serving.store, create=False) as store:
        assert store.count() == 2


def test_an_unknown_key_while_the_database_is_away(folder: Path) -> None:
    """Nobody can tell whether it is one: it is to be sent again, not thrown away."""
    with Server(folder) as serving, serving.http(serving.key("read", "later")) as http:
        server().stop()
        try:
            refused = http.get("/api/v1/limits")
        finally:
            server().start()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert http.get("/api/v1/limits").status_code == 200


def test_restarted_under_load(folder: Path) -> None:
    """What was answered is there, each once; what was not is sent again, as clients do."""
    answered: set[str] = set()
    with Server(folder) as serving:

        def send(n: int) -> None:
            with serving.http() as http:
                for m in range(25):
                    name = f"{n}-{m}"
                    while not _taken(http, name):
                        pass
                    answered.add(name)

        with ThreadPoolExecutor(5) as pool:
            sending = [pool.submit(send, n) for n in range(4)]
            server().stop()
            server().start()
            for one in sending:
                one.result()
    with open_store(serving.store, create=False) as store:
        ids = [event.provider_response_id for event in store.events()]
    assert sorted(ids) == sorted(answered)
    assert len(ids) == 100


def _taken(http: httpx2.Client, name: str) -> bool:
    answer = http.post("/api/v1/ingest", json=CALL | {"provider_response_id": name})
    assert answer.status_code in (200, 503), answer.text
    return answer.status_code == 200


def test_two_servers_see_what_each_other_writes(folder: Path) -> None:
    """Limits, prices and definitions at once, although each remembers them; and money is counted once, whoever counts."""
    with Server(folder) as one, Server(folder) as other:
        key = one.key("admin", "both")
        with one.http(key) as first, other.http(key) as second:
            first.post("/api/v1/limits", json={"limit_name": "A", "max": 1, "limit_id": "a"}).raise_for_status()
            named = {"xProxy-Limit-IDs": "a", "xProxy-UseCase-Name": "Chat", "xProxy-UseCase-ID": "run"}
            with ThreadPoolExecutor(4) as pool:
                told = [
                    pool.submit(http.post, "/api/v1/ingest", json=CALL, headers=named) for http in [first, second] * 20
                ]
                assert {answer.result().status_code for answer in told} == {200}
            totals = first.get("/api/v1/limits/a").json()["limit"]["totals"]
            assert (totals["requests"]["ok"], totals["cost"]["total"]["base"]) == (40, 0.14)
            first.delete("/api/v1/limits/a").raise_for_status()
            assert second.post("/api/v1/ingest", json=CALL, headers=named).status_code == 400
            assert len(second.get("/api/v1/use_cases/definitions").json()["items"]) == 1


def test_the_first_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is kept in the user's folder, made once; who has none, and whoever others could reach, is told what to do."""
    url = database()
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "~nobody-of-this-name")
    with pytest.raises(SettingsError, match="no folder to keep a first one in"):
        first_key(url, "shop", loopback=True)
    with pytest.raises(SettingsError, match=r"payi keys create --role admin --store postgresql://postgres@"):
        first_key(url.replace("postgres@", "postgres:s3cret@"), "shop", loopback=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = first_key(url, "shop", loopback=True)
    assert file is not None
    assert file.parent == tmp_path / "payi"
    assert file.stat().st_mode & 0o777 == 0o600
    assert first_key(url, "shop", loopback=True) is None


def test_a_newer_servers_tables_are_left_alone(folder: Path) -> None:
    """What they mean now, this server does not know."""
    prepare(stores.url(folder)).close()
    stores.by_another_hand(folder, "UPDATE server_version SET version = 99")
    with pytest.raises(StoreError, match="written by a newer server"):
        prepare(stores.url(folder))
