"""The Flask extension: setting it up, users, headers, and real servers."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flask_login
import httpx2
import pytest
from asgiref.wsgi import WsgiToAsgi
from asking import Asking, browser, ids
from flask import Flask, Request, Response, g, request, session, stream_with_context
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Mount, Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from payi_middleware import Attribution, Meter, PayiMiddleware, SettingsError, current, health, use_case
from payi_middleware.demo.standin import StandIn
from payi_middleware.flask import Payi
from payi_middleware.instrumentation import hooked
from payi_middleware.meter import existing_default
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.testing import Events
from payi_middleware.wsgi import PayiWSGIMiddleware


def asking_app(sdk: Asking, name: str = "app") -> Flask:
    """Calls in a view, and in the plain generator that another one streams."""
    app = Flask(name)
    app.secret_key = "not a secret"

    @app.get("/ask")
    @use_case("Ask")
    def ask() -> str:
        sdk.ask("#input=8")
        return "ok"

    @app.get("/stream")
    @use_case("Stream")
    def stream() -> Response:
        return Response(sdk.parts())

    @app.get("/quiet")
    def quiet() -> str:
        return "ok"

    return app


def visit(app: Flask, path: str, **given: Any) -> dict[str, str]:
    """One request that is read and closed, as a server does it; the response's headers."""
    with app.test_client().get(path, **given) as response:
        response.get_data()
        assert response.status_code == 200
        return {name.lower(): value for name, value in response.headers}


def test_application_factory(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """One extension object serves every application a factory makes; `init_app` a second time does nothing."""
    payi = Payi(meter=meter, identify=lambda connection: connection.headers.get("x-user"))

    def create_app() -> Flask:
        app = asking_app(blocking_sdk)
        payi.init_app(app)
        payi.init_app(app)
        Payi(app, meter)
        assert health.counters() == {}
        return app

    for user, app in (("jane", create_app()), ("tom", create_app())):
        visit(app, "/ask", headers={"x-user": user})
    Payi(app, meter, identify=lambda connection: "nobody")
    assert health.counters() == {"second_face": 1}

    assert [event.user_id for event in events] == ["jane", "tom"]


def test_setup_after_the_first_request(meter: Meter, blocking_sdk: Asking) -> None:
    """An application that serves already is refused by Flask itself, and stays as it was."""
    app = asking_app(blocking_sdk)
    visit(app, "/quiet")

    with pytest.raises(AssertionError, match="setup method"):
        Payi(app, meter)

    assert "payi_middleware" not in app.extensions
    visit(app, "/quiet")


def test_settings_of_the_default_meter(
    standin: StandIn, blocking_sdk: Asking, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a meter the default one is made; a second application with other settings is told which differ."""
    monkeypatch.chdir(tmp_path)
    Payi(asking_app(blocking_sdk), store="sqlite:///:memory:", application="shop")
    made = existing_default()
    assert made is not None
    assert made.application == "shop"

    Payi(asking_app(blocking_sdk), application="shop")
    with pytest.raises(SettingsError, match=r"application .is 'shop', not 'other'"):
        Payi(asking_app(blocking_sdk), application="other")
    with pytest.raises(SettingsError, match="unknown setting 'aplication'"):
        Payi(asking_app(blocking_sdk), aplication="shop")  # type: ignore[call-arg]


def test_disabled(standin: StandIn, blocking_sdk: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `PAYI_DISABLED=1` the application is left as it is."""
    monkeypatch.setenv("PAYI_DISABLED", "1")
    app = asking_app(blocking_sdk)
    before = app.wsgi_app

    Payi(app, cost_headers=True, store="sqlite:///:memory:", hosts={standin.host: "openai"})

    assert app.wsgi_app == before
    assert app.before_request_funcs == {}
    assert "x-payi-cost" not in visit(app, "/ask")
    assert not hooked()


def test_two_applications_with_one_meter(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Applications side by side under a dispatcher keep their own routes and their own `identify`."""
    front, back = asking_app(blocking_sdk, "front"), asking_app(blocking_sdk, "back")
    Payi(front, meter, identify=lambda connection: "jane")
    Payi(back, meter, identify=lambda connection: "tom")
    front.wsgi_app = DispatcherMiddleware(front.wsgi_app, {"/back": back})  # type: ignore[method-assign]

    visit(front, "/ask")
    visit(front, "/back/stream")

    assert [(event.user_id, event.use_case_name, event.inbound.http_route) for event in events] == [
        ("jane", "Ask", "/ask"),
        ("tom", "Stream", "/stream"),
    ]


@pytest.mark.parametrize("path", ["/ask", "/stream"])
def test_a_request_that_is_served_again(path: str, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """What an application serves again of the same environ is attributed again."""
    app = asking_app(blocking_sdk)
    Payi(app, meter, identify=lambda request: "jane")
    environ = app.test_request_context(path).request.environ
    for _ in range(2):
        answer = app.wsgi_app(environ, lambda *started: b"".join)
        assert list(answer)
        getattr(answer, "close", list)()

    assert [(event.user_id, event.inbound.http_route) for event in events] == [("jane", path), ("jane", path)]
    assert not health.counters()


@pytest.mark.parametrize("path", ["/ask", "/stream"])
async def test_mounted_in_an_asgi_application(
    path: str, meter: Meter, events: Events, sdk: Asking, blocking_sdk: Asking
) -> None:
    """The middleware of the application around it has the request, and knows the use case of the view."""
    flask = asking_app(blocking_sdk)
    Payi(flask, meter, identify=lambda request: "nobody")
    app = Starlette(routes=[Mount("/old", WsgiToAsgi(flask))])
    app.add_middleware(PayiMiddleware, meter=meter, identify=lambda connection: "jane", cost_headers=True)

    async with browser(app) as client:
        answer = await client.get(f"/old{path}")
        await client.get(f"/old{path}")

    assert ("x-payi-cost" in answer.headers) == (path == "/ask")
    assert {(event.user_id, event.use_case_name) for event in events} == {("jane", path[1:].title())}
    assert len({event.attribution.use_case_id for event in events}) == 2
    assert {event.inbound.http_route for event in events} == {"/old"}
    assert health.counters() == {"second_face": 1}


async def test_asked_from_within_an_asgi_application(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A request of its own to a Flask application in the same process is bound on its own."""
    flask = asking_app(blocking_sdk)
    Payi(flask, meter, identify=lambda request: "inner")

    async def endpoint(request: StarletteRequest) -> StarletteResponse:
        with flask.test_client() as client:
            assert client.get("/ask").status_code == 200
        blocking_sdk.ask()
        return StarletteResponse()

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(PayiMiddleware, meter=meter, identify=lambda connection: "jane")
    async with browser(app) as client:
        await client.get("/")

    assert [(event.user_id, event.inbound.http_route) for event in events] == [("inner", "/ask"), ("jane", "/")]
    assert not health.counters()


def test_middleware_around_an_extended_application(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """The plain middleware around an application that has the extension binds for both: once, and without routes."""
    counts: list[int] = []
    app = asking_app(blocking_sdk)
    Payi(app, meter)

    @app.after_request
    def counted(response: Response) -> Response:
        counts.append(current().calls)
        return response

    app.wsgi_app = PayiWSGIMiddleware(app.wsgi_app, meter)  # type: ignore[method-assign]
    visit(app, "/ask", headers=ids("jane"))
    visit(app, "/stream", headers=ids("tom"))

    assert [event.user_id for event in events] == ["jane", "tom"]
    assert counts == [1, 0]


# Who it is:


class User(flask_login.UserMixin):  # type: ignore[misc]  # untyped
    def __init__(self, name: str) -> None:
        self.id = name


LOADED: list[str] = []


@pytest.fixture(autouse=True)
def _no_users_loaded() -> None:
    LOADED.clear()


def with_login(app: Flask) -> Flask:
    """Users of flask_login, loaded from the session; `/login/<name>` logs one in."""
    login = flask_login.LoginManager(app)

    @login.user_loader
    def load(name: str) -> User | None:
        LOADED.append(name)
        if name == "broken":
            raise RuntimeError("the database is gone")
        return User(name)

    @app.get("/login/<name>")
    def log_in(name: str) -> str:
        session["_user_id"], session["_fresh"] = name, True
        return "ok"

    return app


@pytest.mark.parametrize("path", ["/ask", "/stream"])
def test_login_user(path: str, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """flask_login's current user is the user of the call, also in a plain generator; else it is the server's."""
    app = with_login(asking_app(blocking_sdk))
    Payi(app, meter)
    client = app.test_client()

    def visited() -> None:
        with client.get(path, headers=ids("tom"), environ_base={"REMOTE_USER": "proxy"}) as response:
            response.get_data()

    visited()
    client.get("/login/jane").close()
    visited()

    assert [event.user_id for event in events] == ["proxy", "jane"]


def test_login_user_of_a_thread(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A thread of the view has the user that the view knew; it loads nobody itself."""
    app = with_login(Flask("app"))
    app.secret_key = "not a secret"
    Payi(app, meter)

    def asking() -> str:
        thread = threading.Thread(target=blocking_sdk.ask)
        thread.start()
        thread.join()
        return "ok"

    @app.get("/known")
    def known() -> str:
        assert flask_login.current_user.is_authenticated
        return asking()

    @app.get("/unknown")
    def unknown() -> str:
        return asking()

    client = app.test_client()
    client.get("/login/jane").close()
    client.get("/unknown").close()
    assert LOADED == []
    client.get("/known").close()

    assert [event.user_id for event in events] == [None, "jane"]


def test_user_who_logs_in_during_the_request(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Calls before and after a login in one request have the user of their time."""
    app = with_login(Flask("app"))
    app.secret_key = "not a secret"
    Payi(app, meter)

    @app.get("/")
    def endpoint() -> str:
        blocking_sdk.ask()
        flask_login.login_user(User("jane"))
        blocking_sdk.ask()
        flask_login.logout_user()
        blocking_sdk.ask()
        return "ok"

    visit(app, "/")

    assert [event.user_id for event in events] == [None, "jane", None]


@pytest.mark.parametrize("path", ["/ask", "/stream"])
def test_login_that_fails(
    path: str, meter: Meter, events: Events, blocking_sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """A user loader that raises leaves the user unknown; the request is served, and it is counted and logged once."""
    app = with_login(asking_app(blocking_sdk))
    Payi(app, meter)
    client = app.test_client()
    client.get("/login/broken").close()

    for _ in range(2):
        with client.get(path) as response:
            response.get_data()
            assert response.status_code == 200

    assert [event.user_id for event in events] == [None, None]
    assert health.counters()["identity_raised"] >= 2
    assert caplog.text.count("flask_login could not tell the user") == 1
    assert "the database is gone" in caplog.text


def test_login_is_not_asked_for_nothing(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A request without calls loads no user, nor does one whose application tells the user by `identify`."""
    app, other = with_login(asking_app(blocking_sdk)), with_login(asking_app(blocking_sdk))
    Payi(app, meter)
    Payi(other, meter, identify=lambda connection: "tom")

    for one, paths in ((app, ["/quiet"]), (other, ["/quiet", "/ask", "/stream"])):
        client = one.test_client()
        client.get("/login/jane").close()
        for path in paths:
            with client.get(path) as response:
                response.get_data()

    assert LOADED == []
    assert [event.user_id for event in events] == ["tom", "tom"]


@pytest.mark.parametrize("protection", ["basic", "strong"])
def test_login_of_a_streamed_answer_without_calls(protection: str, meter: Meter) -> None:
    """Nor does a streamed one, which goes out with the very headers that it has without us."""
    headers = []
    for with_us in (False, True):
        app = with_login(Flask("app"))
        app.secret_key = "not a secret"
        app.config["SESSION_PROTECTION"] = protection
        if with_us:
            Payi(app, meter)
        app.add_url_rule("/parts", view_func=lambda: iter(["a", "b"]))
        client = app.test_client()
        client.get("/login/jane").close()
        with client.get("/parts", headers={"User-Agent": "another"}) as response:
            assert response.text == "ab"
            headers.append(dict(response.headers))

    assert headers[0] == headers[1]
    assert LOADED == []


def test_login_of_a_streamed_answer_closes_what_it_opens(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A generator's first call loads the user once, between the application's own beginning and end of a request."""
    app = with_login(asking_app(blocking_sdk))
    Payi(app, meter)
    loaded_by_then: list[int] = []
    app.teardown_request(lambda error: loaded_by_then.append(len(LOADED)))
    client = app.test_client()
    client.get("/login/jane").close()
    loaded_by_then.clear()

    with client.get("/stream") as response:
        response.get_data()

    assert events.one().user_id == "jane"
    assert LOADED == ["jane"]
    assert loaded_by_then == [0, 1]


@pytest.mark.parametrize("path", ["/ask", "/stream"])
@pytest.mark.parametrize("loaded", [True, False])
def test_application_without_login(
    path: str, loaded: bool, meter: Meter, events: Events, blocking_sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where flask_login is not loaded, or not used by this application, nothing is wrong: the server's user counts."""
    if not loaded:
        monkeypatch.delitem(sys.modules, "flask_login")
    app = asking_app(blocking_sdk)
    Payi(app, meter)

    headers = visit(app, path, environ_base={"REMOTE_USER": "jane"})

    assert events.one().user_id == "jane"
    assert health.counters() == {}
    assert "vary" not in headers


@pytest.mark.parametrize("path", ["/ask", "/stream"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_identify(path: str, kind: str, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """`identify` gets Flask's request, and finds its session, also when a plain generator makes the first call."""
    asked: list[object] = []

    def who(connection: Request) -> dict[str, object]:
        asked.append(connection)
        assert request.path == connection.path == path
        return {"user_id": session["name"], "account_name": g.tenant, "request_tags": connection.args.getlist("tag")}

    async def who_async(connection: Request) -> dict[str, object]:
        return who(connection)

    app = asking_app(blocking_sdk)
    Payi(app, meter, identify=who if kind == "sync" else who_async)

    @app.before_request
    def entering() -> None:
        session["name"], g.tenant = "jane", "acme"

    visit(app, path + "?tag=a&tag=b")

    event = events.one(user_id="jane", account_name="acme")
    assert event.attribution.request_tags == ("a", "b")
    assert isinstance(asked[0], Request)
    assert len(asked) == 1
    assert health.counters() == {}


def test_identify_before_flask_has_a_request(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A call of another WSGI middleware, outside of Flask's contexts, still has a request for `identify` to look at."""
    app = asking_app(blocking_sdk)
    inner = app.wsgi_app

    def checking(environ: Any, start_response: Any) -> Any:
        blocking_sdk.ask()
        return inner(environ, start_response)

    app.wsgi_app = checking  # type: ignore[method-assign]
    Payi(app, meter, identify=lambda connection: Attribution(user_id=connection.headers["x-user"]))

    visit(app, "/quiet", headers={"x-user": "jane"})

    assert events.one().user_id == "jane"


def test_user_before_flask_has_a_request(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Such a call without `identify` has the server's user: flask_login cannot know one yet."""
    app = with_login(asking_app(blocking_sdk))
    inner = app.wsgi_app

    def checking(environ: Any, start_response: Any) -> Any:
        blocking_sdk.ask()
        return inner(environ, start_response)

    app.wsgi_app = checking  # type: ignore[method-assign]
    Payi(app, meter)

    visit(app, "/quiet", environ_base={"REMOTE_USER": "jane"})

    assert events.one().user_id == "jane"


def test_identify_that_fails(
    meter: Meter, events: Events, blocking_sdk: Asking, caplog: pytest.LogCaptureFixture
) -> None:
    """An `identify` that raises leaves the user unknown; the request is served."""

    def who(connection: Request) -> str:
        raise RuntimeError("no database")

    app = asking_app(blocking_sdk)
    Payi(app, meter, identify=who)

    visit(app, "/ask")

    assert events.one().user_id is None
    assert health.counters() == {"identify_raised": 1}
    assert "no database" in caplog.text


# What the request tells:


@pytest.mark.parametrize(("peer", "user"), [("127.0.0.1", "jane"), ("203.0.113.9", None)])
def test_headers_of_peers(peer: str, user: str | None, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """xProxy headers count if the peer is trusted; the route's use case stands over the header's."""
    app = asking_app(blocking_sdk)
    Payi(app, meter)

    visit(app, "/ask", headers=ids("jane", usecase_name="Theirs"), environ_base={"REMOTE_ADDR": peer})

    event = events.one()
    assert (event.user_id, event.use_case_name) == (user, "Ask")
    assert health.counters().get("headers_ignored", 0) == (0 if user else 1)


@pytest.mark.parametrize("path", ["/ask", "/stream"])
def test_request_facts(path: str, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Method, rule, request id and trace are the request's."""
    app = asking_app(blocking_sdk)
    Payi(app, meter)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    visit(app, path, headers={"traceparent": trace, "x-request-id": "r-17"})

    inbound = events.one().inbound
    assert (inbound.http_method, inbound.http_route, inbound.http_request_id) == ("GET", path, "r-17")
    assert (inbound.trace_id, inbound.span_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.mark.parametrize(("path", "cost"), [("/ask", "0.0000156"), ("/stream", None), ("/quiet", None)])
def test_cost_headers(path: str, cost: str | None, meter: Meter, blocking_sdk: Asking) -> None:
    """The response tells the cost of a request that made calls, where it is known before the headers go out."""
    app = asking_app(blocking_sdk)
    Payi(app, meter, cost_headers=True)

    headers = visit(app, path)

    assert headers.get("x-payi-cost") == cost
    assert headers.get("server-timing") == (cost and f'payi;desc="1 call, {cost} USD"')


@pytest.mark.parametrize("path", ["/ask", "/stream"])
def test_delivered_before_the_answer_ends(path: str, standin: StandIn, blocking_sdk: Asking) -> None:
    """With `flush="request"` the client has no whole answer before the store has the call."""
    sink = MemorySink()
    hosts = {standin.host: "openai"}
    app = asking_app(blocking_sdk)
    with Meter("sqlite:///:memory:", sinks=[sink], hosts=hosts, flush="request", flush_interval=3600) as meter:
        Payi(app, meter)
        with app.test_client().get(path) as response:
            response.get_data()
            delivered = len(sink.events)

    assert delivered == 1


# A real server:


@contextmanager
def served(app: Flask) -> Iterator[int]:
    """Werkzeug's threaded server; its port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_threaded_server(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Requests of two users that a real server serves at the same time keep their users, also while they stream."""
    both = threading.Barrier(2, timeout=30)
    app = Flask("app")

    @app.get("/<path>")
    @use_case("Served")
    def endpoint(path: str) -> Response:
        def parts() -> Iterator[str]:
            both.wait()
            yield from blocking_sdk.parts()

        both.wait()
        blocking_sdk.ask()
        return Response(stream_with_context(parts()) if path == "jane" else parts())

    Payi(app, meter)
    with served(app) as port:

        def ask(user: str) -> None:
            answer = httpx2.get(f"http://127.0.0.1:{port}/{user}", headers=ids(user), trust_env=False, timeout=30)
            assert answer.status_code == 200

        threads = [threading.Thread(target=ask, args=(user,)) for user in ("jane", "tom")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    seen = events.all(use_case_name="Served", outcome="ok")
    assert sorted(event.user_id or "" for event in seen) == ["jane", "jane", "tom", "tom"]
    assert {event.inbound.http_route for event in seen} == {"/<path>"}


@pytest.mark.parametrize("with_context", [False, True])
def test_client_that_disconnects(with_context: bool, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A client that goes away in mid-stream aborts the call, which is stored as its user's."""
    app = Flask("app")
    closed = threading.Event()

    @app.get("/")
    def endpoint() -> Response:
        def parts() -> Iterator[str]:
            try:
                for part in blocking_sdk.parts("#output=10000 #pause=0.005"):
                    yield part * 1000
            finally:
                closed.set()

        return Response(stream_with_context(parts()) if with_context else parts())

    Payi(app, meter)
    with served(app) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: app\r\nxProxy-User-ID: jane\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.")
        assert closed.wait(30)

    waited = time.monotonic()
    while not len(events) and time.monotonic() - waited < 30:
        time.sleep(0.01)
    event = events.one()
    assert (event.user_id, event.outcome) == ("jane", "aborted")
