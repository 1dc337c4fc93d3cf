"""What a web application answers where a limit refused a call and the endpoint did not catch that."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from exchanges import Watched
from fastapi import FastAPI
from flask import Flask, Response
from loopback import Loopback
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from werkzeug.test import create_environ

from payi_middleware import Limit, LimitReached, PayiMiddleware, current
from payi_middleware.flask import Payi
from payi_middleware.limits import defined as defined_module
from payi_middleware.limits.ledger import Account, Amount, Reserve, Settle
from payi_middleware.limits.limit import Definition
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.limits.problem import problem_of
from payi_middleware.wsgi import PayiWSGIMiddleware

Limited = Callable[..., Watched]
OWN = Limit("premium", 1, unit="tokens", per="user", window="month")
SHARED = Limit("everybody's", 1, unit="tokens")


class FailedError(Exception):
    """As an SDK raises it."""

    def __init__(self, answer: Any) -> None:
        super().__init__("400")
        self.response = answer


def spent(limit: Limit, key: str = "") -> MemoryLedger:
    """A ledger in which all of a limit is spent."""
    ledger = MemoryLedger()
    ledger.define(Definition(limit_id="1", application="default", limit=limit, source="code"))
    ledger.run([Settle(os.urandom(16), "default", (Account("1", key),), 0, 0, limit.most, time.time_ns())])
    return ledger


def ask(url: str) -> None:
    """A call that its SDK raises for."""
    with httpx2.Client(trust_env=False) as client:
        answer = client.post(url, json={"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me."}]})
        if answer.status_code >= 400:
            raise FailedError(answer)


def got(app: Any, path: str, **headers: str) -> httpx2.Response:
    """The answer of an ASGI application."""

    async def get() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://app", headers=headers) as client:
            return await client.get(path)

    return asyncio.run(get())


def who(connection: Any) -> str:
    return "jane"


def starlette_of(url: str, **arguments: Any) -> Starlette:
    def plain(request: Request) -> Response:
        ask(url)
        raise AssertionError("the call went through")

    async def in_stream(request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield "begun"
            ask(url)

        return StreamingResponse(parts())

    def caught(request: Request) -> JSONResponse:
        try:
            ask(url)
        except FailedError as error:
            found = LimitReached.of(error)
            assert found is not None
            return JSONResponse({"cheaper": found.limit.name}, 200)
        raise AssertionError("the call went through")

    def other(request: Request) -> Response:
        raise RuntimeError("something else")

    def both(request: Request) -> Response:
        try:
            ask(url)
        except FailedError:
            pass
        raise RuntimeError("something else")

    routes = [Route(f"/{one.__name__}", one) for one in (plain, in_stream, caught, other, both)]
    return Starlette(routes=routes, **arguments)


def test_a_limit_that_nobody_catches_is_a_429(provider: Loopback, limited: Limited) -> None:
    """Problem Details with the user's own figures, and when to come back."""
    watched = limited("openai", OWN, ledger=spent(OWN, '["jane"]'))
    app = starlette_of(provider.url)
    app.add_middleware(PayiMiddleware, meter=watched.meter, identify=who)

    answer = got(app, "/plain")

    assert (answer.status_code, answer.headers["content-type"]) == (429, "application/problem+json")
    assert 0 < int(answer.headers["retry-after"]) <= 31 * 86_400
    told = answer.json()
    assert told.pop("resets_at").endswith("-01T00:00:00Z")
    limit_id = told.pop("limit_id")
    detail = told.pop("detail")
    assert int(told.pop("wanted")) > 1
    assert told == {
        "type": "urn:payi-middleware:limit-reached",
        "title": "Limit reached",
        "status": 429,
        "limit": "premium",
        "unit": "tokens",
        "reason": "spent",
        "spent": "1",
        "held": "0",
        "max": "1",
    }
    assert detail.startswith("limit 'premium' is reached: 1 tokens of 1 tokens, until ")
    assert watched.one.limits == {limit_id: "blocked"}
    assert provider.asked == []


def test_a_limit_that_is_made_while_it_runs_is_a_429_at_once(
    provider: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the very request whose call is the first to hear of it."""
    monkeypatch.setattr(defined_module, "FRESH", 1)
    monkeypatch.setattr(defined_module, "STALE", 1)
    ledger = MemoryLedger()
    watched = Watched(hosts={provider.host: "openai"}, ledger=ledger)
    app = starlette_of(provider.url)
    app.add_middleware(PayiMiddleware, meter=watched.meter)
    assert got(app, "/plain").status_code == 500  # the endpoint's own: the call went through
    assert (len(provider.asked), watched.meter.limits.wakes > 0) == (1, True)

    full = Limit("full", 1, unit="tokens", strict=True)
    ledger.define(Definition(limit_id="1", application="default", limit=full, source="code"))

    assert got(app, "/plain").status_code == 429
    watched.meter.close()


def test_what_is_held_by_running_calls_is_free_again_soon(provider: Loopback, limited: Limited) -> None:
    """Not at the window's end: who was refused for that may try again in seconds."""
    ledger = MemoryLedger()
    own = Limit("premium", 2_000_000, unit="tokens", strict=True, per="user", window="month")
    ledger.define(Definition(limit_id="1", application="default", limit=own, source="code"))
    version = ledger.definitions("default").version
    ledger.run([Reserve(b"r" * 16, "default", version, (Account("1", '["jane"]'),), Amount(0, 1_999_500))])
    watched = limited("openai", own, ledger=ledger)
    app = starlette_of(provider.url)
    app.add_middleware(PayiMiddleware, meter=watched.meter, identify=who)

    answer = got(app, "/plain")
    told = answer.json()

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    assert "resets_at" not in told
    wanted = int(told["wanted"])
    assert (told["reason"], told["spent"], told["held"], told["max"], wanted > 500) == (
        "held",
        "0",
        "1999500",
        "2000000",
        True,
    )
    assert told["detail"] == (
        "limit 'premium' has no room until calls end that run now: 0 spent and 1999500 held by running calls of 2000000 tokens; "
        f"this call may take {wanted} tokens"
    )
    assert watched.one.reason.endswith("with `max_tokens`, or its like, less is held for it")


def test_a_call_larger_than_its_limit_has_nothing_to_wait_for(provider: Loopback, limited: Limited) -> None:
    """It says so, and not when to come back; of a shared limit without figures."""
    watched = limited("openai", Limit("shared", 1, unit="tokens", strict=True, window="month"))
    app = starlette_of(provider.url)
    app.add_middleware(PayiMiddleware, meter=watched.meter)

    answer = got(app, "/plain")
    told = answer.json()

    assert (answer.status_code, "retry-after" in answer.headers, "resets_at" in told) == (429, False, False)
    assert told["detail"] == "limit 'shared' is smaller than what this call may take"
    assert {"spent", "held", "max", "wanted"}.isdisjoint(told)


def test_what_others_spent_is_not_told(provider: Loopback, limited: Limited) -> None:
    """Of a limit that all share its name alone."""
    watched = limited("openai", SHARED, ledger=spent(SHARED))
    app = starlette_of(provider.url)
    app.add_middleware(PayiMiddleware, meter=watched.meter)

    told = got(app, "/plain").json()

    assert {"spent", "max", "resets_at"}.isdisjoint(told)
    assert told["detail"] == 'limit "everybody\'s" is reached, until it is reset'


def test_a_framework_that_is_wrapped_from_outside(provider: Loopback, limited: Limited) -> None:
    """It has answered 500 by the time its error comes out; that is held back until it is known why."""
    watched = limited()
    app = PayiMiddleware(starlette_of(provider.url), watched.meter, cost_headers=True)

    assert got(app, "/plain").status_code == 429
    assert got(app, "/both").status_code == 500
    assert got(app, "/other").status_code == 500


def test_a_handled_500_goes_out(provider: Loopback, limited: Limited) -> None:
    """Where the application handled the error, its own answer counts, however many parts that has."""
    watched = limited()

    def handled(request: Request, error: Exception) -> StreamingResponse:
        return StreamingResponse((f"{n} " for n in range(40)), 500)

    app = PayiMiddleware(
        starlette_of(provider.url, exception_handlers={FailedError: handled}), watched.meter, flush="background"
    )

    answer = got(app, "/plain")

    assert (answer.status_code, answer.text.split()) == (500, [str(n) for n in range(40)])


def test_what_the_endpoint_catches_is_its_own(provider: Loopback, limited: Limited) -> None:
    """And other errors are as they were."""
    watched = limited()
    app = starlette_of(provider.url)
    app.add_middleware(PayiMiddleware, meter=watched.meter)

    assert got(app, "/caught").json() == {"cheaper": "full"}
    assert got(app, "/other").status_code == 500
    begun = got(app, "/in_stream")
    assert (begun.status_code, begun.text) == (200, "begun")


def test_it_can_be_turned_off(provider: Loopback, limited: Limited) -> None:
    """By a setting, for all faces."""
    watched = limited(limit_responses=False)
    app = starlette_of(provider.url)
    app.add_middleware(PayiMiddleware, meter=watched.meter)
    flask = flask_of(provider.url)
    Payi(flask, watched.meter)

    assert got(app, "/plain").status_code == 500
    assert flask.test_client().get("/plain").status_code == 500


def test_fastapi(provider: Loopback, limited: Limited) -> None:
    """Its dependencies and its own handlers stand in between."""
    watched = limited()
    app = FastAPI()
    app.add_middleware(PayiMiddleware, meter=watched.meter)

    @app.get("/plain")
    async def plain() -> None:
        await asyncio.to_thread(ask, provider.url)

    assert got(app, "/plain").status_code == 429


def flask_of(url: str) -> Flask:
    app = Flask("app")

    @app.get("/plain")
    def plain() -> str:
        ask(url)
        raise AssertionError("the call went through")

    @app.get("/other")
    def other() -> str:
        raise RuntimeError("something else")

    @app.get("/stream")
    def stream() -> Response:
        def parts() -> Iterator[str]:
            ask(url)
            yield "never"

        return Response(parts())

    @app.after_request
    def marked(response: Response) -> Response:
        response.headers["x-marked"] = "1"
        return response

    return app


def test_flask(provider: Loopback, limited: Limited) -> None:
    """Flask makes an error a 500 before any WSGI middleware sees it; its functions after a request still run."""
    watched = limited("openai", OWN, ledger=spent(OWN, '["jane"]'))
    app = flask_of(provider.url)
    Payi(app, watched.meter, identify=who)
    client = app.test_client()

    answer = client.get("/plain")

    assert (answer.status_code, answer.headers["x-marked"]) == (429, "1")
    assert answer.content_type == "application/problem+json"
    assert json.loads(answer.data)["limit"] == "premium"
    assert int(answer.headers["retry-after"]) > 0
    assert client.get("/other").status_code == 500
    begun: list[str] = []
    body = app(create_environ("/stream"), lambda status, headers, exc_info=None: begun.append(status))
    assert json.loads(b"".join(body))["status"] == 429
    assert begun == ["200 OK", "429 TOO MANY REQUESTS".title()]


def test_flask_own_handlers_come_first(provider: Loopback, limited: Limited) -> None:
    """What the application handles is not ours to answer."""
    watched = limited()
    app = flask_of(provider.url)
    app.register_error_handler(FailedError, lambda error: ("mine", 418))
    Payi(app, watched.meter)

    assert app.test_client().get("/plain").status_code == 418


def test_wsgi(provider: Loopback, limited: Limited) -> None:
    """Before anything is sent an answer can be another one; afterwards it breaks off as ever."""
    watched = limited()
    begun: list[tuple[str, Any]] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        if exc_info and begun and begun[-1][0] == "sent":
            raise exc_info[1]
        begun.append((status, dict(headers)))

    def plain(environ: Any, start: Any) -> list[bytes]:
        ask(provider.url)
        return []

    def first(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        ask(provider.url)
        yield b"never"

    def late(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"begun"
        begun.append(("sent", None))
        ask(provider.url)

    for app in (plain, first):
        body = b"".join(PayiWSGIMiddleware(app, watched.meter)({}, start_response))
        assert json.loads(body)["status"] == 429
        assert begun[-1][0] == "429 Too Many Requests"
        assert begun[-1][1]["content-type"] == "application/problem+json"
    with pytest.raises(FailedError):
        list(PayiWSGIMiddleware(late, watched.meter)({}, start_response))
    with pytest.raises(FailedError):
        PayiWSGIMiddleware(plain, limited(limit_responses=False).meter)({}, start_response)


def test_a_ledger_out_of_reach_is_a_503(provider: Loopback, limited: Limited) -> None:
    """Which is no fault of the user's, and soon over."""
    ledger = MemoryLedger()
    watched = limited(ledger=ledger)
    ledger.run = None  # type: ignore[assignment,method-assign]  # as a ledger whose every step fails
    try:
        ask(provider.url)
    except FailedError as error:
        problem = problem_of(error)
    assert problem is not None
    told = json.loads(problem.body)
    assert (problem.status, problem.headers["retry-after"], told["title"]) == (503, "5", "Limits cannot be checked")
    assert told["detail"] == "limit 'full' cannot be checked now"
    assert watched.one.error_type == "limit_unavailable"


def test_what_is_left_is_told_in_a_header(provider: Loopback, limited: Limited) -> None:
    """With `cost_headers`, of the user's own block limits."""
    limits = (
        Limit('pre"m', "0.01", per="user"),
        Limit("calls", 5, unit="calls", per="user", window="day"),
        Limit("everybody's", 5, unit="calls"),
        Limit("told", 5, unit="calls", per="user", type="allow"),
    )
    watched = limited("openai", *limits)

    def once(request: Request) -> PlainTextResponse:
        ask(provider.url)
        return PlainTextResponse(str({one.name: (one.left, one.own) for one in current().limits}))

    app = Starlette(routes=[Route("/", once)])
    app.add_middleware(PayiMiddleware, meter=watched.meter, identify=who, cost_headers=True)

    first, second = got(app, "/"), got(app, "/")

    # An answer costs 0.000027 USD.
    assert first.headers["x-payi-limit-remaining"] == '"pre\\"m";usd=0.009973, "calls";calls=4'
    assert second.headers["x-payi-limit-remaining"] == '"pre\\"m";usd=0.009946, "calls";calls=3'
    assert "everybody's\": (Decimal('4'), False)" in first.text
