"""Keys and roles; and two applications of which neither sees, changes or guesses anything of the other's."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest
from documented import asked
from servers import Server
from stores import kept_bytes

from payi_middleware.server.answers import ANSWERS

UNITS = {"bar": {"input": 1000, "output": 100}}
CALL = {"category": "gold", "resource": "bar", "units": UNITS, "provider_response_id": "chat-1"}
CHAT = "/api/v1/use_cases/definitions/Chat"

OPERATIONS = sorted(ANSWERS)
"""Method and path of each operation: those of the OpenAPI document, as another test holds."""
NAMING = [(method, path) for method, path in OPERATIONS if "{" in path]
"""Those that name something, which another application has not."""


@pytest.fixture(scope="module")
def theirs(server: Server) -> dict[str, str]:
    """One of each thing, of application `first`: by the names of the paths' parameters."""
    with server.http(server.key("admin", "first")) as http:

        def post(path: str, body: Any = None) -> Any:
            return http.post(f"/api/v1{path}", json=body).raise_for_status().json()

        post("/limits", {"limit_name": "A", "max": 1, "limit_id": "limit-a"})
        resource = post("/categories/gold/resources/bar", {"units": {"bar": {"input_price": 3}}})
        post("/use_cases/definitions", {"name": "Chat", "description": "Chats."})
        kpi = {"name": "Liked", "description": "It was.", "goal": 1, "kpi_type": "boolean"}
        post("/use_cases/definitions/Chat/kpis", kpi)
        run = post("/use_cases/instances/Chat")["use_case_id"]
        scored = f"/api/v1/use_cases/instances/Chat/{run}/kpis/Liked"
        http.put(scored, json={"score": True}).raise_for_status()
        told = post("/ingest", CALL)
    return {
        "limit_id": "limit-a",
        "category": "gold",
        "resource": "bar",
        "resource_id": resource["resource_id"],
        "use_case_name": "Chat",
        "kpi_name": "Liked",
        "use_case_id": run,
        "request_id": told["request_id"],
        "provider_response_id": "chat-1",
    }


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
        paths = [path.format(**theirs) for method, path in OPERATIONS if method == "GET" and "capabilities" not in path]
        answers = [http.get(path).raise_for_status().json() for path in paths]
    return [without_ids(answer) for answer in answers]


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_ids(item) for name, item in value.items() if name != "request_id"}
    return [without_ids(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def before(server: Server, theirs: dict[str, str]) -> list[Any]:
    """What the first application has, before others have tried anything."""
    return state(server, theirs)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_nothing_of_another_application_is_found(
    server: Server, theirs: dict[str, str], before: list[Any], method: str, path: str
) -> None:
    """With an admin key of its own, by the very id: told as if it were not there, and nothing has changed."""
    with server.http(server.key("admin", "second")) as http:
        answer = asked(server, http, method, path, theirs)
    if (method, path) not in NAMING:
        assert answer.status_code == 200, answer.text
        assert not any(theirs[name] in answer.text for name in theirs if name.endswith("_id"))
    elif method == "GET" and path.endswith(("/resources", "/resources/{resource}")):
        assert answer.json()["items"] == []
    elif (method, path) != ("POST", "/api/v1/categories/{category}/resources/{resource}"):  # makes one of its own
        assert answer.status_code == 404, answer.text
    assert state(server, theirs) == before
    if method == "POST" and path.startswith("/api/v1/categories"):
        with server.http(server.key("admin", "second")) as http:
            http.delete(path.format(**theirs)).raise_for_status()


@pytest.mark.parametrize("path", LISTINGS)
def test_listings_show_what_is_ones_own(server: Server, theirs: dict[str, str], path: str) -> None:
    """Also from a cursor of another application's."""
    with server.http(server.key("admin", "cursors")) as http:
        for name in ("A", "B"):
            http.post("/api/v1/limits", json={"limit_name": name, "max": 1, "limit_id": f"limit-{name}"})
            http.post("/api/v1/use_cases/definitions", json={"name": name, "description": name})
        # A cursor is a name where the ledger is asked, else a number.
        ours = path if path.startswith("/api/v1/limits") else "/api/v1/use_cases/definitions"
        cursor = http.get(ours, params={"limit": 1}).json()["cursor"]
        assert cursor
    with server.http(server.key("read", "third")) as http:
        for asked in ({}, {"cursor": cursor, "sort_ascending": True}):
            items = http.get(path, params=asked).json()["items"]
            assert [item for item in items if not item.get("category", "").startswith("system.")] == []


def test_the_same_names_are_different_things(server: Server, theirs: dict[str, str], before: list[Any]) -> None:
    """A second application may have a limit, a resource, a use case and a provider's id of the same names."""
    with server.http(server.key("admin", "fourth")) as http:
        gold = {"category": "gold", "resource": "bar", "units": {"bar": {"input": 1}}}
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
    assert again["request_id"] != theirs["request_id"]
    assert state(server, theirs) == before


def test_a_role_may_do_what_it_is_for(server: Server, theirs: dict[str, str], before: list[Any]) -> None:
    """Ingest sends and tells of what it sent, read looks, and only admin manages."""

    def forbidden(role: str, application: str) -> set[tuple[str, str]]:
        with server.http(server.key(role, application)) as http:
            answers = {which: asked(server, http, *which, theirs).status_code for which in OPERATIONS}
        return {which for which, status in answers.items() if status == 403}

    assert forbidden("read", "first") == {which for which in OPERATIONS if which[0] != "GET"}
    assert state(server, theirs) == before
    own = (
        "/api/v1/use_cases/instances",
        "/api/v1/requests",
        "/api/v1/ingest",
        "/api/v1/events",
        "/api/v1/capabilities",
    )
    assert forbidden("ingest", "roles") == {which for which in OPERATIONS if not which[1].startswith(own)}


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
