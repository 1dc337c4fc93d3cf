"""Calls are pruned and persons forgotten in the server's tables too, while the server runs; keys are untouched."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stores
from keeping import files_with
from servers import Server
from typer.testing import CliRunner

from payi_middleware.cli import app
from payi_middleware.server.database import over
from payi_middleware.server.tables import instances, request_properties, scores
from payi_middleware.store import open_store
from payi_middleware.store.forget import Person

JANE = "jane-ü@example.com"
OLD = "2026-01-05T10:00:00Z"
CUT = "2026-06-01"
RUNS = "/api/v1/use_cases/instances/Chat"
ITEM = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 10}}}
DAY = 86_400 * 10**9


@pytest.fixture(params=stores.KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """With a use case whose instances have limits, and a KPI of it."""
    stores.place(tmp_path, request.param)
    with Server(tmp_path) as running, running.http() as http:
        chat = {"name": "Chat", "description": "Chats.", "limit_config": {"max": 1}}
        http.post("/api/v1/use_cases/definitions", json=chat).raise_for_status()
        kpi = {"name": "Stars", "description": "How well.", "goal": 4, "kpi_type": "likert5"}
        http.post("/api/v1/use_cases/definitions/Chat/kpis", json=kpi).raise_for_status()
        yield running


def run(server: Server, command: str, *arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [command, "--store", server.store, *arguments])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.output


def scored(http: Any, use_case_id: str) -> str:
    """An instance with a score; its limit's id."""
    http.put(f"{RUNS}/{use_case_id}/kpis/Stars", json={"score": 4}).raise_for_status()
    limit_id: str = http.get(f"{RUNS}/{use_case_id}").json()["limit_id"]
    return limit_id


def told(http: Any, response_id: str, properties: dict[str, str], **more: Any) -> str:
    """A request with properties beside it; its id."""
    request_id: str = http.post("/api/v1/ingest", json=ITEM | {"provider_response_id": response_id, **more}).json()[
        "request_id"
    ]
    http.put(f"/api/v1/requests/{request_id}/properties", json={"properties": properties}).raise_for_status()
    return request_id


def aged(server: Server, *use_case_ids: str, scores_too: bool = True) -> None:
    """Have instances and what is beside requests be as old as the calls that are old."""
    with open_store(server.store, create=True) as store, store.transaction() as connection:
        sql, then = over(connection), time.time_ns() - 300 * DAY
        for name in use_case_ids:
            sql.execute(instances.update().where(instances.c.use_case_id == name).values(created_ns=then))
            if scores_too:
                sql.execute(scores.update().where(scores.c.use_case_id == name).values(created_ns=then))
        sql.execute(request_properties.update().values(updated_ns=then))


def rows(server: Server, table: Any) -> int:
    with server.app.state.serving.readers.connect() as sql:
        return len(sql.execute(table.select()).all())


def test_prune(server: Server) -> None:
    """Old instances go with their scores, and what lies beside pruned calls; what was scored lately, and limits, stay."""
    with server.http() as http:
        limit_ids = [scored(http, name) for name in ("old", "lately", "new")]
        http.put(f"{RUNS}/plain/properties", json={"properties": {"a": "b"}}).raise_for_status()
        old_id = told(http, "chat-1", {"a": "b"}, event_timestamp=OLD)
        new_id = told(http, "chat-2", {"a": "b"})
        aged(server, "old", "plain")
        aged(server, "lately", scores_too=False)

        expected = {"instances": 2, "scores": 1, "properties": 1}
        would = run(server, "prune", "--older-than", CUT, "--dry-run", "--json")
        assert (would["events"], would["server"]) == (1, expected)
        assert "Of the server: 2 instances, 1 scores, properties of 1 requests would be removed." in run(
            server, "prune", "--older-than", CUT, "--dry-run"
        )
        assert run(server, "prune", "--older-than", CUT, "--json")["server"] == expected

        for name, status in (("old", 404), ("plain", 404), ("lately", 200), ("new", 200)):
            assert http.get(f"{RUNS}/{name}").status_code == status
        assert {http.get(f"/api/v1/limits/{limit_id}").status_code for limit_id in limit_ids} == {200}
        assert http.get(f"/api/v1/requests/{old_id}/result").status_code == 404
        assert http.get(f"/api/v1/requests/{new_id}/result").json()["xproxy_result"]["properties"] == {"a": "b"}
        assert (rows(server, scores), rows(server, request_properties)) == (2, 1)
        assert "Of the server" not in run(server, "prune", "--older-than", CUT, "--drop-sums")
        again = http.post(
            "/api/v1/ingest", json=ITEM, headers={"xProxy-UseCase-Name": "Chat", "xProxy-UseCase-ID": "old"}
        )
        assert set(again.json()["xproxy_result"]["limits"]) == {limit_ids[0]}


def of_jane(server: Server, http: Any) -> None:
    """What somebody may tell of a person, in each table that has room for it."""
    scored(http, f"run of {JANE}")
    run = {"use_case_name": "Chat", "use_case_id": f"run of {JANE}", "provider_response_id": "run"}
    http.post("/api/v1/ingest/bulk", json=[ITEM | run]).raise_for_status()
    http.put(f"{RUNS}/plain/properties", json={"properties": {"mail": JANE, JANE: "x", "a": "b"}}).raise_for_status()
    for limit_id, name in ((f"user:{JANE}", "A"), ("b", f"of {JANE}"), ("c", "C")):
        body = {"limit_name": name, "max": 1, "limit_id": limit_id, "properties": {"who": f"<{JANE}>", "team": "red"}}
        http.post("/api/v1/limits", json=body).raise_for_status()
    http.post(f"/api/v1/limits/user:{JANE}/reset").raise_for_status()
    told(http, "chat-1", {"mail": JANE, "a": "b"})
    told(http, "chat-2", {"mail": "paul@example.com"})


def test_forget(server: Server) -> None:
    """No byte tells of the person; scores, other limits, other properties and all keys stay."""
    with server.http() as http:
        of_jane(server, http)
        expected = {"instances": 2, "scores": 0, "properties": 1}
        would = run(server, "forget", "--user", JANE, "--dry-run", "--json")
        assert (would["server"], would["limits"], would["limit_accounts"]) == (expected, 3, 1)

        done = run(server, "forget", "--user", JANE, "--json")

        assert (done["server"], done["limits"], done["limit_accounts"], done["left"]) == (expected, 3, 1, [])
        assert files_with(server.path.parent, JANE) == files_with(server.path.parent, json.dumps(JANE)[1:-1]) == []
        assert JANE.encode() not in stores.kept_bytes(server.path.parent)
        assert http.get(f"{RUNS}/plain").json()["properties"] == {"a": "b"}
        (kept,) = [one for one in http.get("/api/v1/limits").json()["items"] if one["limit_id"] == "c"]
        assert kept["properties"] == {"team": "red"}
        assert {one["limit_id"] for one in http.get("/api/v1/limits").json()["items"]} & {"b", f"user:{JANE}"} == set()
        path = "/api/v1/requests/provider/system.openai/chat-{}/result"
        properties = [http.get(path.format(n)).json()["xproxy_result"]["properties"] for n in (1, 2)]
        assert properties == [{"a": "b"}, {"mail": "paul@example.com"}]
        with server.app.state.serving.readers.connect() as sql:
            (score,) = sql.execute(scores.select()).all()
            (named,) = sql.execute(instances.select().where(instances.c.use_case_id == score.use_case_id)).all()
        assert http.get(f"{RUNS}/{score.use_case_id}/kpis").json()["items"][0]["score"] == 4
        limit_id = http.get(f"{RUNS}/{named.use_case_id}").json()["limit_id"]
        limit = http.get(f"/api/v1/limits/{limit_id}").json()["limit"]
        assert (limit["limit_name"], limit["spent"]) == (f"Chat {named.use_case_id}", 0)
        again = run(server, "forget", "--user", JANE, "--json")
        assert (again["server"], again["limits"]) == (dict.fromkeys(expected, 0), 0)


def test_forget_with_the_calls(server: Server) -> None:
    """Instances named after the person go with their scores, and so do properties beside calls that go."""
    with server.http() as http:
        of_jane(server, http)
        http.post(
            "/api/v1/ingest", json=ITEM | {"provider_response_id": "chat-3"}, headers={"xProxy-User-ID": JANE.encode()}
        )
        http.put("/api/v1/requests/provider/system.openai/chat-3/properties", json={"properties": {"a": "b"}})
        done = run(server, "forget", "--user", JANE, "--events", "--json")
        assert (done["events"], done["left"]) == (1, [])
        assert (rows(server, scores), rows(server, instances), rows(server, request_properties)) == (0, 1, 2)


def test_forget_of_one_application(server: Server) -> None:
    """What others tell of the person stays theirs."""
    with server.http() as http, server.http(server.key("admin", "other")) as others:
        others.post("/api/v1/use_cases/definitions", json={"name": "Chat", "description": "a"}).raise_for_status()
        kpi = {"name": "Stars", "description": "How well.", "goal": 4, "kpi_type": "likert5"}
        others.post("/api/v1/use_cases/definitions/Chat/kpis", json=kpi).raise_for_status()
        of_jane(server, http)
        of_jane(server, others)
        done = run(server, "forget", "--user", JANE, "--application", "shop", "--json")
        assert (done["server"], done["limits"]) == ({"instances": 2, "scores": 0, "properties": 1}, 3)
        assert len([one for one in others.get("/api/v1/limits").json()["items"] if JANE in one["limit_name"]]) == 1
        assert others.get(f"{RUNS}/run of {JANE}").status_code == 200
        path = "/api/v1/requests/provider/system.openai/chat-1/result"
        assert others.get(path).json()["xproxy_result"]["properties"] == {"mail": JANE, "a": "b"}
        assert http.get(path).json()["xproxy_result"]["properties"] == {"a": "b"}


def test_more_rows_than_one_transaction_takes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is looked at."""
    from payi_middleware.server import housekeeping

    monkeypatch.setattr(housekeeping, "_AT_ONCE", 2)
    with server.http() as http:
        for n in range(5):
            told(http, f"chat-{n}", {"mail": JANE, "n": str(n)})
            scored(http, f"run-{n}")
        aged(server, *(f"run-{n}" for n in range(5)))
        with open_store(server.store, create=True) as store:
            assert sum(done.properties for done in housekeeping.forget(store, Person(JANE))) == 5
            assert sum(done.instances for done in housekeeping.prune(store, 20_600, keep_sums=False)) == 5
        assert rows(server, instances) == 0
        assert rows(server, request_properties) == 5


def test_a_store_without_a_server(tmp_path: Path) -> None:
    """Has nothing to keep."""
    from payi_middleware.server import housekeeping

    with open_store(f"sqlite:///{tmp_path / 'payi.db'}", create=True) as store:
        nothing = housekeeping.Done()
        assert housekeeping.would_prune(store, 20_000, keep_sums=True) == nothing
        assert housekeeping.would_forget(store, Person(JANE)) == nothing
        assert list(housekeeping.prune(store, 20_000, keep_sums=False)) == []
        assert list(housekeeping.forget(store, Person(JANE, events=True))) == []
