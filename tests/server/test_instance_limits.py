"""The limit that each instance of a use case gets by `limit_config`: one in the ledger, and one each by REST."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from servers import Server

from payi_middleware import health
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.server import instance_limits

CALL: dict[str, Any] = {
    "category": "system.openai",
    "resource": "gpt-4o",
    "units": {"text": {"input": 1000, "output": 100}},
}
COST = 0.0035
CHAT = "/api/v1/use_cases/definitions/Chat"


def configured(http: httpx2.Client, **config: Any) -> None:
    body = {"name": "Chat", "description": "-", "limit_config": {"max": 1} | config}
    http.post("/api/v1/use_cases/definitions", json=body).raise_for_status()


def told(http: httpx2.Client, *runs: str, **more: Any) -> None:
    """A call of each instance."""
    items = [CALL | {"use_case_name": "Chat", "use_case_id": run} | more for run in runs]
    answer = http.post("/api/v1/ingest/bulk", json=items).json()
    assert answer["ingest_count"] == len(runs), answer


def instance(http: httpx2.Client, run: str) -> dict[str, Any]:
    return dict(http.get(f"/api/v1/use_cases/instances/Chat/{quote(run, safe='')}").json())


def limit(http: httpx2.Client, limit_id: str) -> dict[str, Any]:
    return dict(http.get(f"/api/v1/limits/{limit_id}").json()["limit"])


def names(http: httpx2.Client) -> list[str]:
    return [one["limit_name"] for one in http.get("/api/v1/limits").json()["items"]]


def test_each_is_told_as_a_limit_of_its_own(server: Server) -> None:
    """Whatever its instance is called; and nothing of it tells that the ledger has one for all."""
    runs = ["run-1", "a/b c", "Jörg", "~x", "*", "r" * 200]
    with server.http(server.key("admin", "told")) as http:
        configured(http, properties={"a": "b"}, threshold=0.8)
        told(http, *runs, *runs)
        ids = [instance(http, run)["limit_id"] for run in runs]
        assert (ids[0], len(set(ids))) == ("Chat:run-1", len(runs))
        for limit_id, run in zip(ids, runs, strict=True):
            one = limit(http, limit_id)
            assert one["limit_id"] == limit_id
            assert one["limit_name"] == (f"Chat {run}" if len(run) < 100 else f"Chat {run[:122]}…")
            assert one["totals"]["requests"] == {"ok": 2, "total": 2} | dict.fromkeys(
                ("exceeded", "overrun", "blocked", "blocked_external", "failed"), 0
            )
            assert (one["properties"], one["threshold"], one["source"]) == ({"a": "b"}, 0.8, "instance")
            assert (one["per"], one["match"], one["accounts"], one["window_starts_at"]) == ([], {}, 1, None)
        (account,) = http.get(f"/api/v1/limits/{ids[0]}/accounts").json()["items"]
        assert (account["key"], account["spent"]) == ([], 2 * COST)
        result = http.post(
            "/api/v1/ingest", json=CALL, headers={"xProxy-UseCase-Name": "Chat", "xProxy-UseCase-ID": "run-1"}
        )
        assert result.json()["xproxy_result"]["limits"] == {"Chat:run-1": {"state": "ok"}}
        assert http.get("/api/v1/limits/Chat:never").json()["limit"]["spent"] == 0
        for odd in ("Other:run-1", "Chat:", "Chat:~", "Chat:a%2Fb", "Chat:~!"):
            assert http.get(f"/api/v1/limits/{odd}").status_code == 404


def test_a_new_instance_changes_no_definition(server: Server) -> None:
    """Else each process would read all limits anew with each run."""
    ledger = server.app.state.serving.ledger
    with server.http(server.key("admin", "steady")) as http:
        configured(http)
        before = ledger.definitions("steady")
        told(http, *(f"run-{n}" for n in range(20)))
        http.post("/api/v1/use_cases/instances/Chat").raise_for_status()
        assert ledger.definitions("steady") == before
        assert len(ledger.totals("steady", "Chat:*")) == 20


def test_those_begun_last_are_listed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """All others are there all the same, for whoever knows them."""
    monkeypatch.setattr(instance_limits, "MOST", 3)
    with server.http(server.key("admin", "many")) as http:
        configured(http)
        told(http, *(f"run-{n}" for n in range(5)))
        begun = http.post("/api/v1/use_cases/instances/Chat").json()["use_case_id"]
        http.post("/api/v1/limits", json={"limit_name": "Mine", "max": 1}).raise_for_status()
        assert names(http) == ["Mine", f"Chat {begun}", "Chat run-4", "Chat run-3"]
        first = http.get("/api/v1/limits", params={"limit": 2}).json()
        second = http.get("/api/v1/limits", params={"limit": 2, "cursor": first["cursor"]}).json()
        assert [one["limit_name"] for one in second["items"]] == ["Chat run-4", "Chat run-3"]
        named = http.get("/api/v1/limits", params={"limit_name": "Chat run-3"}).json()["items"]
        assert [one["spent"] for one in named] == [COST]
        assert limit(http, "Chat:run-0")["spent"] == COST


def test_one_is_reset_and_deleted_by_itself(server: Server) -> None:
    """Its history has its own names; deleted it counts anew, as its instance may go on."""
    with server.http(server.key("admin", "alone")) as http:
        configured(http)
        told(http, "one", "one", "two")
        history = http.post("/api/v1/limits/Chat:one/reset").json()["limit_history"]
        assert (history["limit_id"], history["limit_name"]) == ("Chat:one", "Chat one")
        assert history["totals"]["cost"]["total"]["base"] == 2 * COST
        told(http, "one")
        assert [limit(http, f"Chat:{run}")["spent"] for run in ("one", "two")] == [COST, COST]
        http.delete("/api/v1/limits/Chat:two").raise_for_status()
        assert [limit(http, f"Chat:{run}")["spent"] for run in ("one", "two")] == [COST, 0]
        told(http, "two")
        assert limit(http, "Chat:two")["spent"] == COST


def test_what_a_limit_config_says_is_changed_there(server: Server) -> None:
    """For all instances at once, those that run too; not by the limit of one, nor by that of all."""
    with server.http(server.key("admin", "changed")) as http:
        configured(http)
        told(http, "one")
        for limit_id in ("Chat:one", "Chat:*"):
            answers = [
                http.put(f"/api/v1/limits/{limit_id}", json={"max": 2}),
                http.put(f"/api/v1/limits/{limit_id}/properties", json={"properties": {"a": "b"}}),
            ]
            assert [one.json()["xproxy_error"]["code"] for one in answers] == ["update_limit_validation_failed"] * 2
            assert "limit_config of use case 'Chat'" in answers[0].json()["message"]
        assert http.delete("/api/v1/limits/Chat:*").status_code == 400
        http.post(f"{CHAT}/limit_config", json={"max": COST / 2, "limit_type": "block"}).raise_for_status()
        one = limit(http, "Chat:one")
        assert (one["max"], one["limit_type"], one["spent"]) == (COST / 2, "block", COST)
        whole = limit(http, "Chat:*")
        assert (whole["per"], whole["match"], whole["spent"]) == (["instance"], {"use_case_name": "Chat"}, COST)
        same = http.post("/api/v1/limits", json={"limit_name": "x", "limit_id": "Chat:one", "max": COST / 2})
        assert same.json()["limit"]["limit_name"] == "Chat one"


def test_instances_that_have_one_keep_it(server: Server) -> None:
    """When new ones get none any more; when they do again, all have one; and it goes with its use case."""
    ledger = server.app.state.serving.ledger
    with server.http(server.key("admin", "kept")) as http:
        configured(http)
        told(http, "one")
        begun = http.post("/api/v1/use_cases/instances/Chat").json()
        for _ in range(2):
            http.delete(f"{CHAT}/limit_config").raise_for_status()
            told(http, "one", "new", begun["use_case_id"])
        assert instance(http, "new").get("limit_id") is None
        assert {one.key for one in ledger.totals("kept", "Chat:*")} == {'["one"]', f'["{begun["use_case_id"]}"]'}
        assert limit(http, "Chat:one")["spent"] == 3 * COST
        assert limit(http, begun["limit_id"])["spent"] == 2 * COST
        assert http.get("/api/v1/limits/Chat:new").status_code == 404

        http.post(f"{CHAT}/limit_config", json={"max": 2}).raise_for_status()
        told(http, "new")
        assert (limit(http, "Chat:new")["spent"], limit(http, "Chat:one")["max"]) == (COST, 2)
        http.delete(CHAT).raise_for_status()
        assert http.get("/api/v1/limits/Chat:one").status_code == 404
        assert ledger.definitions("kept").limits == ()
        http.post("/api/v1/use_cases/definitions", json={"name": "Chat", "description": "-"}).raise_for_status()
        assert http.delete(f"{CHAT}/limit_config").status_code == 200


def test_calls_may_name_the_limit_of_an_instance(server: Server) -> None:
    """Also calls that are of none, or of another; by whatever ids they name it, a call counts once."""
    with server.http(server.key("admin", "named")) as http:
        configured(http, limit_type="block")
        told(http, "one")
        for who in ({}, {"use_case_name": "Chat", "use_case_id": "one"}):
            http.post("/api/v1/ingest/bulk", json=[CALL | {"limit_ids": ["Chat:one"]} | who]).raise_for_status()
        assert limit(http, "Chat:one")["spent"] == 3 * COST
        answer = http.post("/api/v1/ingest", json=CALL, headers={"xProxy-Limit-IDs": "Other:one"})
        assert answer.json()["xproxy_error"]["code"] == "invalid_limit_ids"


def test_names_and_ids_of_others_are_left_alone(server: Server) -> None:
    """The limit of all goes under its id then; one whose id is taken is refused, and its calls are taken."""
    ledger = server.app.state.serving.ledger
    with server.http(server.key("admin", "taken")) as http:
        ledger.define(Definition(limit_id="mine", application="taken", limit=Limit("Chat, each instance", 1)))
        configured(http)
        told(http, "one")
        assert [one.limit.name for one in ledger.definitions("taken").limits] == ["Chat, each instance", "Chat:*"]
        http.post(f"{CHAT}/limit_config", json={"max": 2}).raise_for_status()
        assert limit(http, "Chat:one")["max"] == 2

        ledger.define(Definition(limit_id="Talk:*", application="taken", limit=Limit("Talk", 1)))
        body = {"name": "Talk", "description": "-"}
        answer = http.post("/api/v1/use_cases/definitions", json=body | {"limit_config": {"max": 1}})
        assert answer.json()["xproxy_error"]["code"] == "create_limit_validation_failed"
        http.post("/api/v1/use_cases/definitions", json=body).raise_for_status()
        assert http.delete("/api/v1/use_cases/definitions/Talk").status_code == 200
        assert limit(http, "Talk:*")["limit_name"] == "Talk"


def test_a_ledger_that_is_new_learns_them(tmp_path: Path) -> None:
    """When the server starts; what cannot be kept holds nobody up."""
    with Server(tmp_path) as running, running.http() as http:
        configured(http)
        http.post(
            "/api/v1/use_cases/definitions", json={"name": "Talk", "description": "-", "limit_config": {"max": 1}}
        ).raise_for_status()
        key = running.key("admin", "shop")
    for file in tmp_path.glob("payi.db.ledger*"):
        file.unlink()
    with Server(tmp_path) as running, running.http(key) as http:
        ledger = running.app.state.serving.ledger
        assert {one.limit_id for one in ledger.definitions("shop").limits} == {"Chat:*", "Talk:*"}
        told(http, "one")
        assert limit(http, "Chat:one")["spent"] == COST
        ledger.remove("shop", "Talk:*")
        ledger.define(Definition(limit_id="Talk:*", application="shop", limit=Limit("Talk", 1)))
    with Server(tmp_path) as running, running.http(key) as http:
        assert health.counters()["server_limit_config"] == 1
        told(http, "two", use_case_name="Talk")
        assert health.counters()["server_ledger"] == 1
    health.reset()
