"""Whether the server lives and can work, its metrics, its document; and a store that cannot be written."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from children import environment
from servers import Server
from starlette.requests import Request
from starlette.responses import Response

from payi_middleware.store import open_store

CALL = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1000, "output": 100}}}


def test_a_server_says_how_it_is(server: Server) -> None:
    """Without a key; what is nowhere is told as Problem Details."""
    with httpx2.Client(base_url=server.url, trust_env=False) as http:
        assert http.get("/healthz").json() == {"status": "ok"}
        assert http.get("/readyz").json() == {"status": "ok"}
        nowhere = http.get("/nowhere")
    assert nowhere.headers["content-type"] == "application/problem+json"
    assert (nowhere.json()["status"], nowhere.json()["title"]) == (404, "Not Found")


def test_metrics_take_an_admin_key(server: Server) -> None:
    """As they count all applications; unless only this machine can ask."""
    with server.http(server.key("read")) as http:
        assert http.get("/metrics").status_code == 401
    with httpx2.Client(base_url=server.url, trust_env=False) as http:
        assert http.get("/metrics").status_code == 401


def test_metrics_count_events_and_money(tmp_path: Path) -> None:
    """By category, with those of the applications' own together."""
    with Server(tmp_path, open_metrics=True) as server:
        with server.http() as http:
            body = [CALL | {"provider_response_id": "a"}] * 3 + [{"category": "own", "units": {}}, {}]
            http.post("/api/v1/ingest/bulk", json=body)
            http.post("/api/v1/ingest", json={})
        with httpx2.Client(base_url=server.url, trust_env=False) as http:
            text = http.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['payi_events_total{category="system.openai"}'] == "1.0"
    assert lines['payi_events_total{category="other"}'] == "1.0"
    assert lines['payi_cost_usd_total{category="system.openai"}'] == "0.0035"
    assert (lines["payi_events_duplicate_total"], lines["payi_events_refused_total"]) == ("2.0", "2.0")
    assert lines['payi_request_seconds_count{method="POST",status="4xx"}'] == "1.0"
    assert lines["payi_events_waiting"] == "0.0"
    assert float(lines["payi_request_bytes_total"]) > 100


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    """Is said by readiness and answered with 503, which clients send again; when it can be, all is well, and nothing is lost or twice."""
    with Server(tmp_path) as server, server.http() as http:
        body = CALL | {"provider_response_id": "a"}
        other = sqlite3.connect(server.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            assert http.get("/readyz").status_code == 503
            refused = http.post("/api/v1/ingest", json=body)
            assert http.get("/healthz").status_code == 200
        finally:
            other.execute("ROLLBACK")
            other.close()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "is locked by another program" in refused.json()["message"]
        assert http.get("/readyz").status_code == 200
        answer = http.post("/api/v1/ingest", json=body).json()
        assert answer["xproxy_result"]["duplicate_request"] is False


@pytest.mark.slow
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Files that may not grow: 503, readiness says so, the process lives, and all that was answered is kept."""
    resource = pytest.importorskip("resource")
    store = f"sqlite:///{tmp_path / 'payi.db'}"
    process = subprocess.Popen(
        [sys.executable, "-m", "payi_middleware.cli", "serve", "--port", "0", "--store", store],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert process.stdout is not None
    try:
        address = next(line for line in process.stdout if line.startswith("http://")).partition(" ")[0]
        headers = {"xProxy-api-key": (tmp_path / "payi.db.key").read_text().strip()}
        answered = 0
        with httpx2.Client(base_url=address, headers=headers, trust_env=False, timeout=30) as http:
            for n in range(100):
                items = [CALL | {"provider_response_id": f"{n}-{m}", "user_id": f"user-{m}"} for m in range(500)]
                answer = http.post("/api/v1/ingest/bulk", json=items)
                if answer.status_code != 200:
                    break
                answered += answer.json()["ingest_count"]
            # What is smaller may still find room; the smallest of all is what readiness writes.
            probes = [http.get("/readyz").status_code for _ in range(300)]
            other = http.post("/api/v1/use_cases/definitions", json={"name": "a" * 64, "description": "a" * 4000})
            assert (answer.status_code, probes[-1], other.status_code) == (503, 503, 503)
            assert http.get("/healthz").status_code == 200
            assert http.get("/api/v1/limits").status_code == 200
    finally:
        process.kill()
        process.communicate()
    with open_store(store, create=False) as kept:
        assert kept.count() == answered > 0


def test_a_fault_of_ours_is_told_as_one(tmp_path: Path) -> None:
    """In Pay-i's shape, and nothing of it but that."""

    async def broken(request: Request) -> Response:
        raise RuntimeError("secret")

    with Server(tmp_path) as server, server.http() as http:
        server.app.add_route("/api/v1/broken", broken)
        answer = http.get("/api/v1/broken")
    assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (500, "unexpected_error")
    assert "secret" not in answer.text


def test_the_document_tells_every_operation(server: Server) -> None:
    """Those of the plain routes too, with bodies, keys and errors as they are."""
    with httpx2.Client(base_url=server.url, trust_env=False) as http:
        document = http.get("/openapi.json").json()
        assert http.get("/docs").status_code == 200
    told = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert len(told) == 44  # the client's forty, bulk-upsert, events, capabilities, accounts of a limit
    assert ("/api/v1/ingest/bulk-upsert", "post") in told
    assert ("/api/v1/limits/{limit_id}/properties", "put") in told
    assert document["paths"]["/api/v1/limits/{limit_id}/reset"]["post"]["parameters"][1]["name"] == "resetDate"
    assert set(document["components"]["securitySchemes"]) == {"xProxy-api-key", "bearer"}
    for methods in document["paths"].values():
        for operation in methods.values():
            assert "422" not in operation["responses"]
            assert {"400", "401"} <= operation["responses"].keys()


def test_the_documents_examples_are_taken(server: Server) -> None:
    """As they stand."""
    with server.http() as http:
        paths = http.get("/openapi.json").json()["paths"]
        shown = [path for path in paths if path.startswith(("/api/v1/ingest", "/api/v1/events"))]
        for path in shown:
            ((kind, body),) = paths[path]["post"]["requestBody"]["content"].items()
            content = body["example"] if isinstance(body["example"], str) else json.dumps(body["example"])
            answer = http.post(path, content=content, headers={"Content-Type": kind})
            assert (answer.status_code, answer.json().get("error_count", 0)) == (200, 0), path
    assert len(shown) == 4


@pytest.mark.parametrize("version", [3])
def test_a_newer_servers_tables_are_left_alone(tmp_path: Path, version: int) -> None:
    """What they mean now, this server does not know."""
    from payi_middleware.exceptions import StoreError
    from payi_middleware.server.database import prepare

    prepare(tmp_path / "payi.db").close()
    with sqlite3.connect(tmp_path / "payi.db") as other:
        other.execute("UPDATE server_version SET version = ?", (version,))
    other.close()
    with pytest.raises(StoreError, match="written by a newer server"):
        prepare(tmp_path / "payi.db")
