"""Our own events as JSON lines: stored as they are, and by an application of its own."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from exchanges import encoded
from made import call
from servers import Server

from payi_middleware.events import CallEvent
from payi_middleware.store import open_store


def stored(server: Server, application: str) -> list[CallEvent]:
    with open_store(server.store, create=False) as store:
        return [event for event in store.events() if event.application == application]


def lines(events: list[CallEvent]) -> bytes:
    return "\n".join(event.to_json() for event in events).encode()


def test_events_are_stored_as_they_are(server: Server) -> None:
    """With the cost they carry and the limits they were held to; again, they are duplicates."""
    events = [call(user_id=f"user-{n}", ticks=n, limits={"hard": "blocked"}, limit_ids=("hard",)) for n in range(2500)]
    key = server.key("ingest", "default")
    with server.http(key) as http:
        first = http.post("/api/v1/events", content=lines(events)).json()
        again = http.post("/api/v1/events", content=lines(events[:10]) + b"\n\n").json()

    assert (first["stored"], first["duplicates"], first["error_count"]) == (2500, 0, 0)
    assert (again["stored"], again["duplicates"]) == (0, 10)
    kept = {event.event_id: event.to_dict() for event in stored(server, "default")}
    assert [kept[event.event_id] for event in events] == [event.to_dict() for event in events]


def test_the_result_of_a_blocked_call_names_who_refused(server: Server) -> None:
    """And with which limit tags it was asked for."""
    event = call(outcome="blocked", limits={"hard": "blocked", "other": "blocked_external"}, limit_tags=("premium",))
    with server.http(server.key("admin", "default")) as http:
        assert http.post("/api/v1/events", content=lines([event])).json()["stored"] == 1
        told = http.get(f"/api/v1/requests/{event.to_dict()['event_id']}/result").json()["xproxy_result"]
    assert told["limits"] == {"hard": {"state": "blocked"}, "other": {"state": "blocked_external"}}
    assert (told["blocked_limit_ids"], told["properties"]) == (["hard"], {"system.limit_tags": "premium"})


def test_bad_lines_are_told_by_number_and_the_others_stored(server: Server) -> None:
    """Whatever a line is."""
    good = call().to_dict()
    bad: list[Any] = [
        {},
        [],
        good | {"schema": 99},
        good | {"event_id": "none"},
        good | {"outcome": "fine"},
        good | {"started_at": "2999-01-01T00:00:00Z"},
        good | {"cost": None},
        good | {"units": {"text": {"input": -1, "output": 0}}},
        good | {"units": {"text": {"input": 2**60, "output": 0}}},
        good | {"time_to_first_token_ms": 10**13},
        good | {"cost": good["cost"] | {"input": "1000000000", "output": "-1000000000", "total": "0"}},
        good | {"more": 1},
        good | {"user_id": "a" * 5000},
    ]
    body = [json.dumps(one) for one in [call().to_dict(), *bad, call().to_dict()]]
    body[1:1] = ["{", "[" * 50_000]
    with server.http(server.key("ingest", "lines")) as http:
        answer = http.post("/api/v1/events", content="\n".join(body))
        only_bad = http.post("/api/v1/events", content="\n".join(body[1:-1]))

    told = answer.json()
    assert (answer.status_code, told["stored"], told["error_count"]) == (200, 2, len(bad) + 2)
    assert [error["line"] for error in told["errors"]] == list(range(2, len(bad) + 4))
    assert [error["xproxy_error"]["code"] for error in told["errors"][:2]] == [
        "invalid_json",
        "request_processing_error",
    ]
    assert (only_bad.status_code, only_bad.json()["stored"]) == (400, 0)
    assert only_bad.json()["message"] == "no line could be stored; `errors` tells why"
    assert len(stored(server, "lines")) == 2


def test_a_key_decides_whose_events_they_are(server: Server) -> None:
    """Whatever they say themselves; and an event that is another application's already is not told of."""
    event = call(application="somebody-else")
    with server.http(server.key("ingest", "mine")) as mine, server.http(server.key("ingest", "other")) as other:
        assert mine.post("/api/v1/events", content=event.to_json()).json()["stored"] == 1
        refused = other.post("/api/v1/events", content=event.to_json())
    assert (refused.status_code, refused.json()["stored"]) == (400, 0)
    assert len(stored(server, "mine")) == 1
    assert stored(server, "somebody-else") == []


def test_limits_are_charged_here_if_nobody_did(server: Server) -> None:
    """An event that names limits and tells no states was held to nothing yet; limits that are not here are passed over."""
    with server.http(server.key("admin", "charged")) as http:
        http.post("/api/v1/limits", json={"limit_name": "Hard", "max": 1, "limit_id": "hard", "limit_type": "block"})
        events = [call(limit_ids=("hard", "unknown")), call(limit_ids=("hard",), limits={"hard": "ok"})]
        http.post("/api/v1/events", content=lines(events))
        totals = http.get("/api/v1/limits/hard").json()["limit"]["totals"]
    assert totals["requests"]["total"] == 1
    assert [event.limits for event in stored(server, "charged")] == [{"hard": "ok"}, {"hard": "ok"}]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_bodies_may_be_compressed(server: Server, encoding: str) -> None:
    """Also in small pieces."""
    packed = encoded(encoding, lines([call(user_id=secrets.token_hex(64)) for _ in range(300)]))
    with server.http(headers={"Content-Encoding": encoding}) as http:
        whole = http.post("/api/v1/events", content=packed).json()
        pieces = http.post("/api/v1/events", content=(packed[n : n + 100] for n in range(0, len(packed), 100))).json()
    assert (whole["stored"], pieces["duplicates"]) == (300, 300)


def test_a_capable_server_says_so(server: Server) -> None:
    """By which a client tells it from Pay-i, with its bounds."""
    with server.http(server.key("ingest", "asking")) as http:
        told = http.get("/api/v1/capabilities").json()
    assert (told["server"], told["application"], told["role"]) == ("payi-middleware", "asking", "ingest")
    assert told["events"] == {
        "path": "/api/v1/events",
        "schema": 1,
        "content_encodings": ["gzip", "deflate", "br", "zstd"],
    }
    assert told["bounds"]["body_bytes"] == 32 << 20
