"""How much a key may ask for and bring in a second."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made import call
from servers import Server

from payi_middleware.cli import serve
from payi_middleware.server.errors import ApiError
from payi_middleware.server.rates import EVENTS, REQUESTS, Rates

ITEM = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1}}}


class Clock:
    """Stands still unless it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    """That allows ten requests and a hundred events a second."""
    with Server(tmp_path, rates=Rates(10, 100, clock)) as running:
        yield running


def refusal(answer: Any) -> tuple[int, str, str, str]:
    body = answer.json()
    return answer.status_code, answer.headers["Retry-After"], body["xproxy_error"]["code"], body["message"]


def test_a_key_has_so_many_requests_a_second(server: Server, clock: Clock) -> None:
    """The next is refused with the bound and when to come again; another key is not, and after a while neither is this one."""
    with server.http() as http, server.http(server.key("read")) as other:
        assert [http.get("/api/v1/limits").status_code for _ in range(10)] == [200] * 10
        message = "more than 10 requests a second by this key; send it again in 1 s"
        assert refusal(http.get("/api/v1/limits")) == (429, "1", "rate_exceeded", message)
        assert other.get("/api/v1/limits").status_code == 200
        clock.now += 0.2
        assert [http.get("/api/v1/limits").status_code for _ in range(3)] == [200, 200, 429]
        assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["ingest/bulk", "ingest/bulk-upsert", "events"])
def test_a_key_has_so_many_events_a_second(server: Server, clock: Clock, path: str) -> None:
    """What has begun is taken whole, and what it was too much is made up for by those after it, refused before they are read."""
    with server.http() as http:

        def send(number: int) -> Any:
            if path == "events":
                return http.post(f"/api/v1/{path}", content="\n".join(call().to_json() for _ in range(number)))
            return http.post(f"/api/v1/{path}", json=[ITEM] * number)

        assert send(60).status_code == send(190).status_code == 200
        message = "more than 100 events a second by this key; send it again in 2 s"
        assert (
            refusal(send(1)) == refusal(http.post("/api/v1/ingest", json=ITEM)) == (429, "2", "rate_exceeded", message)
        )
        assert http.get("/api/v1/limits").status_code == 200
        clock.now += 2
        assert http.post("/api/v1/ingest", json=ITEM).status_code == send(1).status_code == 200
    assert len(list(server.app.state.serving.events.events())) == 252


def test_single_events_count(tmp_path: Path, clock: Clock) -> None:
    """Also those that are refused for what is in them: they are looked at all the same."""
    with Server(tmp_path, rates=Rates(0, 3, clock)) as server, server.http() as http:
        told = [http.post("/api/v1/ingest", json=body).status_code for body in (ITEM, {}, ITEM, ITEM)]
    assert told == [200, 400, 200, 429]


def test_the_bounds_are_told(server: Server) -> None:
    with server.http() as http:
        bounds = http.get("/api/v1/capabilities").json()["bounds"]
    assert (bounds["requests_per_second"], bounds["events_per_second"]) == (10, 100)


def test_none_is_none() -> None:
    """0 is no bound."""
    budget = Rates(0, 0).of(b"key")
    for _ in range(100_000):
        budget.ask()
    budget.bring(1 << 40)
    budget.begin()


def test_a_second_of_rest_is_no_more_than_a_second(clock: Clock) -> None:
    """Who has asked for nothing in an hour may not ask for an hour's worth at once."""
    budget = Rates(10, 100, clock).of(b"key")
    clock.now = 3600.0
    for _ in range(10):
        budget.ask()
    with pytest.raises(ApiError):
        budget.ask()


def test_the_command_has_the_same_defaults() -> None:
    """It does not import the server only to tell them."""
    parameters = inspect.signature(serve.command).parameters
    assert parameters["requests_per_second"].default == REQUESTS
    assert parameters["events_per_second"].default == EVENTS
