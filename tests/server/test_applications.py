"""Keys and roles; and two applications of which neither sees, changes or guesses anything of the other's."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest
from servers import Server
from stores import kept_bytes

UNITS = {"text": {"input": 1000, "output": 100}}
CALL = {"category": "system.openai", "resource": "gpt-4o", "units": UNITS, "provider_response_id": "chat-1"}
RUN = "/api/v1/use_cases/instances/Chat"
CHAT = "/api/v1/use_cases/definitions/Chat"


@pytest.fixture(scope="module")
def theirs(server: Server) -> dict[str, str]:
    """One of each thing, of application `first`; its ids by name."""
    with server.http(server.key("admin", "first")) as http:

        def post(path: str, body: Any = None) -> Any:
            return http.post(f"/api/v1{path}", json=body).raise_for_status().json()

        post("/limits", {"limit_name": "A", "max": 1, "limit_id": "limit-a"})
        resource = post("/categories/gold/resources/bar", {"units": {"bar": {"input_price": 3}}})
        post("/use_cases/definitions", {"name": "Chat", "description": "Chats."})
        kpi = {"name": "Liked", "description": "It was.", "goal": 1, "kpi_type": "boolean"}
        post("/use_cases/definitions/Chat/kpis", kpi)
        run = post("/use_cases/instances/Chat")
        http.put(f"{RUN}/{run['use_case_id']}/kpis/Liked", json={"score": True}).raise_for_status()
        told = post("/ingest", CALL)
    return {"resource": resource["resource_id"], "run": run["use_case_id"], "request": told["request_id"]}


OPERATIONS: list[tuple[str, str, Any]] = [
    ("GET", "/api/v1/limits/limit-a", None),
    ("PUT", "/api/v1/limits/limit-a", {"max": 2}),
    ("DELETE", "/api/v1/limits/limit-a", None),
    ("POST", "/api/v1/limits/limit-a/reset", None),
    ("PUT", "/api/v1/limits/limit-a/properties", {"properties": {}}),
    ("DELETE", "/api/v1/categories/gold", None),
    ("DELETE", "/api/v1/categories/gold/resources/bar", None),
    ("GET", "/api/v1/categories/gold/resources/bar/{resource}", None),
    ("DELETE", "/api/v1/categories/gold/resources/bar/{resource}", None),
    ("GET", CHAT, None),
    ("PUT", CHAT, {"description": "B"}),
    ("DELETE", CHAT, None),
    ("POST", f"{CHAT}/increment_version", None),
    ("POST", f"{CHAT}/limit_config", {"max": 1}),
    ("DELETE", f"{CHAT}/limit_config", None),
    ("POST", f"{CHAT}/kpis", {"name": "B", "description": "B", "goal": 1, "kpi_type": "number"}),
    ("GET", f"{CHAT}/kpis", None),
    ("GET", f"{CHAT}/kpis/Liked", None),
    ("PUT", f"{CHAT}/kpis/Liked", {"goal": 2}),
    ("DELETE", f"{CHAT}/kpis/Liked", None),
    ("POST", RUN, None),
    ("GET", f"{RUN}/{{run}}", None),
    ("DELETE", f"{RUN}/{{run}}", None),
    ("PUT", f"{RUN}/{{run}}/properties", {"properties": {}}),
    ("GET", f"{RUN}/{{run}}/kpis", None),
    ("PUT", f"{RUN}/{{run}}/kpis/Liked", {"score": False}),
    ("GET", "/api/v1/requests/{request}/result", None),
    ("PUT", "/api/v1/requests/{request}/properties", {"properties": {}}),
    ("GET", "/api/v1/requests/provider/system.openai/chat-1/result", None),
    ("PUT", "/api/v1/requests/provider/system.openai/chat-1/properties", {"properties": {}}),
]
"""What names something, which another application has not."""

LISTINGS = (
    "/api/v1/limits",
    "/api/v1/categories",
    "/api/v1/categories/gold/resources",
    "/api/v1/categories/gold/resources/bar",
    "/api/v1/use_cases/definitions",
)


def state(server: Server, theirs: dict[str, str]) -> list[Any]:
    """All that the first application has, without the ids of answers."""
    with server.http(server.key("read", "first")) as http:
        paths = [*LISTINGS, *[path.format(**theirs) for method, path, _ in OPERATIONS if method == "GET"]]
        answers = [http.get(path).raise_for_status().json() for path in paths]
    return [without_ids(answer) for answer in answers]


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_ids(item) for name, item in value.items() if name != "request_id"}
    return [without_ids(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS, ids=lambda value: str(value)[:60])
def test_nothing_of_another_application_is_found(
    server: Server, theirs: dict[str, str], method: str, path: str, body: Any
) -> None:
    """With an admin key of its own, by the very id: told as if it were not there, and nothing has changed."""
    before = state(server, theirs)
    with server.http(server.key("admin", "second")) as http:
        answer = http.request(method, path.format(**theirs), json=body)
    assert answer.status_code == 404, answer.text
    assert state(server, theirs) == before


@pytest.mark.parametrize("path", LISTINGS)
def test_listings_show_what_is_ones_own(server: Server, theirs: dict[str, str], path: str) -> None:
    """Also from a cursor of another application's."""
    with server.http(server.key("admin", "first")) as http:
        http.post("/api/v1/limits", json={"limit_name": "B", "max": 1, "limit_id": "limit-b"})
        http.post("/api/v1/use_cases/definitions", json={"name": "B", "description": "b"})
        # A cursor is a text where the ledger is asked, else a number.
        ours = path if path.startswith("/api/v1/limits") else "/api/v1/use_cases/definitions"
        cursor = http.get(ours, params={"limit": 1}).json()["cursor"]
        assert cursor
    with server.http(server.key("read", "third")) as http:
        assert http.get(path).json()["items"] == []
        assert http.get(path, params={"cursor": cursor, "sort_ascending": True}).json()["items"] == []


def test_the_same_names_are_different_things(server: Server, theirs: dict[str, str]) -> None:
    """A second application may have a limit, a resource, a use case and a provider's id of the same names."""
    before = state(server, theirs)
    with server.http(server.key("admin", "fourth")) as http:
        gold = CALL | {"category": "gold", "resource": "bar", "units": {"bar": {"input": 1}}}
        assert http.post("/api/v1/ingest", json=gold, headers={"xProxy-Limit-IDs": "limit-a"}).status_code == 400
        assert http.post("/api/v1/ingest", json=gold).json()["xproxy_result"]["cost"]["total"]["base"] == 0
        http.post("/api/v1/limits", json={"limit_name": "A", "max": 9, "limit_id": "limit-a"}).raise_for_status()
        http.post("/api/v1/categories/gold/resources/bar", json={"units": {"bar": {"input_price": 5}}})
        http.post("/api/v1/use_cases/definitions", json={"name": "Chat", "description": "B"}).raise_for_status()
        again = http.post("/api/v1/ingest", json=CALL, headers={"xProxy-Limit-IDs": "limit-a"}).json()
        http.delete("/api/v1/categories/gold").raise_for_status()
        http.delete(CHAT).raise_for_status()
        http.delete("/api/v1/limits/limit-a").raise_for_status()
    assert again["xproxy_result"]["duplicate_request"] is False
    assert again["request_id"] != theirs["request"]
    assert state(server, theirs) == before


SEND = {("POST", RUN), ("DELETE", f"{RUN}/{{run}}"), ("PUT", f"{RUN}/{{run}}/properties")}


def test_a_role_may_do_what_it_is_for(server: Server, theirs: dict[str, str]) -> None:
    """Ingest sends and tells of what it sent, read looks, and only admin manages."""

    def statuses(role: str) -> dict[tuple[str, str], int]:
        found = {}
        with server.http(server.key(role, "first")) as http:
            for method, path, body in [*OPERATIONS, *[("GET", path, None) for path in LISTINGS]]:
                if method == "GET" or role != "admin":
                    found[method, path] = http.request(method, path.format(**theirs), json=body).status_code
        return found

    looking = statuses("read")
    assert {status for (method, _), status in looking.items() if method == "GET"} == {200}
    assert {status for (method, _), status in looking.items() if method != "GET"} == {403}
    before = state(server, theirs)
    with server.http(server.key("read", "first")) as http:
        for path in ("", "/bulk", "/bulk-upsert"):
            assert http.post(f"/api/v1/ingest{path}", json=[]).status_code == 403
        assert http.post("/api/v1/events", content=b"").status_code == 403
        assert http.post("/api/v1/limits", json={"limit_name": "Z", "max": 1}).status_code == 403
        assert http.post("/api/v1/use_cases/definitions", json={"name": "Z", "description": "Z"}).status_code == 403
        assert http.post("/api/v1/categories/z/resources/z", json={"units": {"z": {}}}).status_code == 403
    assert state(server, theirs) == before
    sending = statuses("ingest")
    own = {key for key, status in sending.items() if status != 403}
    assert own == {
        *((method, path) for method, path, _ in OPERATIONS if path.startswith((RUN, "/api/v1/requests"))),
    }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"xProxy-api-key": ""},
        {"xProxy-api-key": "payi_"},
        {"xProxy-api-key": "payi_000000000000_" + "a" * 43},
        {"xProxy-api-key": "a" * 10_000},
        {"xProxy-api-key": b"\xff\xfe"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic YTpi"},
    ],
)
def test_without_a_key_there_is_nothing(server: Server, headers: dict[str, Any]) -> None:
    """401 in Pay-i's shape, for paths that are there and such that are not."""
    with httpx2.Client(base_url=server.url, trust_env=False, headers=headers) as http:
        for path in ("/api/v1/limits", "/api/v1/nothing"):
            answer = http.get(path)
            assert (answer.status_code, answer.json()["xproxy_error"]["code"]) == (401, "invalid_api_key")


def test_a_key_counts_in_either_header(server: Server) -> None:
    """Also where only a character of it is wrong, it does not; of two keys Pay-i's own header counts."""
    key = server.key("read")
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    for headers, status in (
        ({"XPROXY-API-KEY": key}, 200),
        ({"Authorization": f"Bearer {key}"}, 200),
        ({"Authorization": f"bearer {key}", "xproxy-api-key": wrong}, 401),
        ({"Authorization": f"Bearer {wrong}"}, 401),
    ):
        with httpx2.Client(base_url=server.url, trust_env=False, headers=headers) as http:
            assert http.get("/api/v1/limits").status_code == status


def test_a_revoked_key_is_refused_a_second_later(server: Server) -> None:
    """A rotated one too, and its successor is accepted."""
    from payi_middleware.server import keys
    from payi_middleware.server.database import over, prepare

    key = server.key("read", "revoked")
    with server.http(key) as http:
        assert http.get("/api/v1/limits").status_code == 200
        with prepare(server.store) as store, store.batch() as batch:
            sql = over(batch.connection)
            successor = keys.rotate(sql, key)
            assert keys.rotate(sql, key) is None
            assert not keys.revoke(sql, key)
        time.sleep(1.1)
        assert http.get("/api/v1/limits").status_code == 401
    with server.http(successor) as http:
        assert http.get("/api/v1/limits").status_code == 200


def test_no_key_is_in_the_store(server: Server) -> None:
    """Only its digest."""
    prefix, secret = server.key("read").split("_", 2)[1:]
    kept = kept_bytes(server.path.parent)
    assert secret.encode() not in kept
    assert prefix.encode() in kept
