"""Flask requests from their first function to after their end: what runs early, what runs late, what is left behind."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from asking import Asking, ids
from flask import Flask, g, request, session
from garbage import collect
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder

from payi_middleware import Meter, health, use_case
from payi_middleware.flask import Payi
from payi_middleware.testing import Events


def test_functions_registered_before_the_extension(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A call of a `before_request` function that stood before the extension has the route and its use case."""
    app = Flask(__name__)
    app.before_request(blocking_sdk.ask)
    Payi(app, meter)
    app.add_url_rule("/page", view_func=use_case("Page")(lambda: "ok"))

    app.test_client().get("/page")

    event = events.one()
    assert (event.use_case_name, event.inbound.http_route) == ("Page", "/page")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_thread_that_outlives_its_request(
    asynchronous: bool, meter: Meter, events: Events, blocking_sdk: Asking
) -> None:
    """`identify` finds Flask's request, session and `g` also for a thread whose request is long over."""
    app = Flask(__name__)
    app.secret_key = "s"
    over = threading.Event()
    late: list[threading.Thread] = []

    def identify(request: Any) -> dict[str, str]:
        return {"user_id": session["user"], "account_name": g.account + request.headers["more"]}

    async def identify_async(request: Any) -> dict[str, str]:
        return identify(request)

    Payi(app, meter, identify=identify_async if asynchronous else identify)

    @app.get("/")
    def view() -> str:
        session["user"], g.account = "jane", "acme"
        late.append(threading.Thread(target=lambda: over.wait(10) and blocking_sdk.ask()))
        late[0].start()
        return "ok"

    app.test_client().get("/", headers={"more": "!"})
    over.set()
    late[0].join()

    event = events.one()
    assert (event.user_id, event.account_name) == ("jane", "acme!")
    assert health.counters() == {}


def test_requests_leave_no_cycles(meter: Meter, blocking_sdk: Asking) -> None:
    """Flask takes care that a request is freed without the garbage collector; so do we."""
    app = Flask(__name__)
    Payi(app, meter)
    seen: list[weakref.ref[Any]] = []

    @app.get("/")
    def view() -> str:
        seen.append(weakref.ref(request._get_current_object()))  # type: ignore[attr-defined]
        blocking_sdk.ask()
        return "ok"

    def serve() -> None:
        answer = app(EnvironBuilder("/").get_environ(), lambda *_: None)  # type: ignore[arg-type]
        b"".join(answer)
        answer.close()  # type: ignore[attr-defined]

    serve()
    collect()
    gc.disable()
    try:
        serve()
        assert seen[-1]() is None
    finally:
        gc.enable()


def asking_view(sdk: Asking) -> Callable[[], str]:
    def view() -> str:
        sdk.ask()
        return "ok"

    return view


@pytest.mark.parametrize("order", ["before", "after"])
def test_behind_proxy_fix(order: str, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """With werkzeug's ProxyFix the peer is the one that the proxy names, whichever of the two is outside."""
    app = Flask(__name__)
    app.add_url_rule("/", view_func=asking_view(blocking_sdk))
    if order == "before":
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    Payi(app, meter)
    if order == "after":
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]

    app.test_client().get("/", headers=ids("mallory") | {"x-forwarded-for": "203.0.113.9"})
    app.test_client().get("/", headers=ids("jane"))

    assert [event.user_id for event in events] == [None, "jane"]


def test_unix_socket_of_wsgi_servers(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A server behind a Unix socket has an empty peer, which is trusted by the word `unix`."""
    hosts, sinks = meter.settings.hosts, meter._given_sinks
    with Meter("sqlite:///:memory:", sinks=sinks, hosts=hosts, trusted_hosts=("unix",)) as trusting:
        app = Flask(__name__)
        app.add_url_rule("/", view_func=asking_view(blocking_sdk))
        Payi(app, trusting)
        client = Client(app)
        client.get("/", headers=ids("jane"), environ_overrides={"REMOTE_ADDR": ""})
        client.get("/", headers=ids("mallory"), environ_overrides={"REMOTE_ADDR": "127.0.0.1"})

        assert [event.user_id for event in events] == ["jane", None]
