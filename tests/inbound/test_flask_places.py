"""Wherever in a Flask request a call is made, it belongs to the request."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from asking import Asking, ids
from flask import (
    Blueprint,
    Flask,
    Response,
    after_this_request,
    copy_current_request_context,
    make_response,
    request,
    stream_template_string,
    stream_with_context,
)
from flask.views import MethodView, View

from payi_middleware import Meter, current, track, use_case
from payi_middleware.flask import Payi
from payi_middleware.testing import Events

Place = Callable[[Flask, Asking], None]


async def aask(sdk: Asking) -> None:
    """Each asynchronous view has an event loop of its own, and so needs a client of its own."""
    transport = openai.DefaultAsyncHttpxClient(verify=False, trust_env=False)
    async with openai.AsyncOpenAI(base_url=sdk.sync.base_url, api_key="secret-key", http_client=transport) as client:
        await client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])


def view(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        sdk.ask()
        return "ok"


def view_annotated_above_its_route(app: Flask, sdk: Asking) -> None:
    @use_case("Place")
    @app.get("/<int:number>")
    def endpoint(number: int) -> str:
        sdk.ask()
        return "ok"


def view_async(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    async def endpoint(number: int) -> str:
        await aask(sdk)
        return "ok"


def view_async_annotated_above_its_route(app: Flask, sdk: Asking) -> None:
    @use_case("Place")
    @app.get("/<int:number>")
    async def endpoint(number: int) -> str:
        await asyncio.create_task(aask(sdk))
        return "ok"


def view_async_with_a_thread(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    async def endpoint(number: int) -> str:
        await asyncio.to_thread(sdk.ask)
        return "ok"


def blueprint(app: Flask, sdk: Asking) -> None:
    rooms = Blueprint("rooms", __name__)

    @rooms.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        sdk.ask()
        return "ok"

    app.register_blueprint(rooms)


def blueprint_before_request(app: Flask, sdk: Asking) -> None:
    rooms = Blueprint("rooms", __name__)
    rooms.before_request(sdk.ask)

    @rooms.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        return "ok"

    app.register_blueprint(rooms)


def method_view_class(app: Flask, sdk: Asking) -> None:
    @use_case("Place")
    class Endpoint(MethodView):
        def get(self, number: int) -> str:
            sdk.ask()
            return "ok"

    app.add_url_rule("/<int:number>", view_func=Endpoint.as_view("endpoint"))


def method_view_method(app: Flask, sdk: Asking) -> None:
    class Endpoint(MethodView):
        @use_case("Place")
        def get(self, number: int) -> str:
            sdk.ask()
            return "ok"

    app.add_url_rule("/<int:number>", view_func=Endpoint.as_view("endpoint"))


def method_view_method_streams(app: Flask, sdk: Asking) -> None:
    class Endpoint(MethodView):
        @use_case("Place")
        def get(self, number: int) -> Response:
            return Response(sdk.parts())

    app.add_url_rule("/<int:number>", view_func=Endpoint.as_view("endpoint"))


def method_view_as_view(app: Flask, sdk: Asking) -> None:
    class Endpoint(MethodView):
        def get(self, number: int) -> Response:
            return Response(sdk.parts())

    app.add_url_rule("/<int:number>", view_func=use_case("Place")(Endpoint.as_view("endpoint")))


def method_view_decorators(app: Flask, sdk: Asking) -> None:
    class Endpoint(MethodView):
        decorators = [use_case("Place")]

        def get(self, number: int) -> Response:
            return Response(sdk.parts())

    app.add_url_rule("/<int:number>", view_func=Endpoint.as_view("endpoint"))


def view_class_dispatch(app: Flask, sdk: Asking) -> None:
    class Endpoint(View):
        @use_case("Place")
        def dispatch_request(self, number: int) -> Response:
            return Response(sdk.parts())

    app.add_url_rule("/<int:number>", view_func=Endpoint.as_view("endpoint"))


def generator_plain(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> Response:
        return Response(sdk.parts())


def generator_returned(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> Iterator[str]:
        return sdk.parts()


def generator_with_context(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> Response:
        return Response(stream_with_context(sdk.parts()))


def generator_with_context_as_view(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    @stream_with_context
    def endpoint(number: int) -> Iterator[str]:
        assert request.view_args == {"number": number}
        yield from sdk.parts()


def before_request(app: Flask, sdk: Asking) -> None:
    app.before_request(sdk.ask)

    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        return "ok"


def after_request(app: Flask, sdk: Asking) -> None:
    @app.after_request
    def asking(response: Response) -> Response:
        sdk.ask()
        return response

    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        return "ok"


def after_this_one(app: Flask, sdk: Asking) -> None:
    def asking(response: Response) -> Response:
        sdk.ask()
        return response

    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        after_this_request(asking)
        return "ok"


def teardown_request(app: Flask, sdk: Asking) -> None:
    @app.teardown_request
    def asking(error: BaseException | None) -> None:
        sdk.ask()

    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        return "ok"


def teardown_appcontext(app: Flask, sdk: Asking) -> None:
    @app.teardown_appcontext
    def asking(error: BaseException | None) -> None:
        sdk.ask()

    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        return "ok"


def close_of_response(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> Response:
        response = make_response("ok")
        response.call_on_close(sdk.ask)
        return response


def error_handler(app: Flask, sdk: Asking) -> None:
    @app.errorhandler(LookupError)
    def handled(error: LookupError) -> str:
        sdk.ask()
        return "ok"

    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        raise LookupError(number)


def template(app: Flask, sdk: Asking) -> None:
    app.jinja_env.globals["ask"] = sdk.ask

    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> Iterator[str]:
        return stream_template_string("{{ ask() }}")


def thread(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        started = threading.Thread(target=sdk.ask)
        started.start()
        started.join()
        return "ok"


def thread_with_request(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        started = threading.Thread(target=copy_current_request_context(sdk.ask))
        started.start()
        started.join()
        return "ok"


def pool(app: Flask, sdk: Asking) -> None:
    @app.get("/<int:number>")
    @use_case("Place")
    def endpoint(number: int) -> str:
        with ThreadPoolExecutor() as executor:
            executor.submit(sdk.ask).result()
        return "ok"


PLACES: list[Place] = [
    view,
    view_annotated_above_its_route,
    view_async,
    view_async_annotated_above_its_route,
    view_async_with_a_thread,
    blueprint,
    blueprint_before_request,
    method_view_class,
    method_view_method,
    method_view_method_streams,
    method_view_as_view,
    method_view_decorators,
    view_class_dispatch,
    generator_plain,
    generator_returned,
    generator_with_context,
    generator_with_context_as_view,
    before_request,
    after_request,
    after_this_one,
    teardown_request,
    teardown_appcontext,
    close_of_response,
    error_handler,
    template,
    thread,
    thread_with_request,
    pool,
]


def visit(app: Flask, path: str, **given: Any) -> int:
    """One request that is read and closed, as a server does it; its status."""
    with app.test_client().get(path, **given) as response:
        response.get_data()
        return response.status_code


@pytest.mark.parametrize("place", PLACES)
def test_call_belongs_to_its_request(place: Place, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Of concurrent requests of several users, each call has its own request's user, route and use case instance."""
    app = Flask(__name__)
    place(app, blocking_sdk)
    Payi(app, meter)

    with ThreadPoolExecutor(4) as executor:
        statuses = executor.map(lambda n: visit(app, f"/{n}", headers=ids(f"user-{n}")), range(4))
        assert list(statuses) == [200] * 4

    seen = events.all()
    assert sorted(event.user_id or "" for event in seen) == ["user-0", "user-1", "user-2", "user-3"]
    assert {event.use_case_name for event in seen} == {"Place"}
    assert {event.inbound.http_route for event in seen} == {"/<int:number>"}
    assert {event.outcome for event in seen} == {"ok"}
    assert {event.origin for event in seen} == {"request"}
    assert len({event.attribution.use_case_id for event in seen}) == 4


def test_calls_of_one_request_share_the_instance(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Before the view, in it, in its threads and in what it streams, calls are one instance of the use case."""
    app = Flask(__name__)
    Payi(app, meter)
    app.before_request(blocking_sdk.ask)

    @app.get("/")
    @use_case("Summary")
    def summarize() -> Response:
        blocking_sdk.ask()
        with ThreadPoolExecutor() as executor:
            executor.submit(blocking_sdk.ask).result()
        return Response(blocking_sdk.parts())

    visit(app, "/")
    visit(app, "/")

    seen = events.all(use_case_name="Summary")
    assert len(seen) == 8
    assert len({event.attribution.use_case_id for event in seen}) == 2


def test_view_methods_have_their_own_use_cases(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A method's use case goes before its class's, and a HEAD request is the GET that Flask makes of it."""

    @use_case("Papers")
    class Papers(MethodView):
        @use_case("Paper-Read")
        def get(self) -> str:
            blocking_sdk.ask()
            return "ok"

        def post(self) -> str:
            blocking_sdk.ask()
            return "ok"

    app = Flask(__name__)
    app.add_url_rule("/", view_func=Papers.as_view("papers"))
    Payi(app, meter)
    client = app.test_client()

    for method in ("GET", "POST", "HEAD"):
        client.open("/", method=method).close()

    seen = {event.inbound.http_method: event.use_case_name for event in events}
    assert seen == {"GET": "Paper-Read", "POST": "Papers", "HEAD": "Paper-Read"}


def test_view_that_raises(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Flask answers 500 for a view that raises; what it called before is stored with its route, and so is a handler's call."""
    app = Flask(__name__)
    Payi(app, meter)

    @app.errorhandler(500)
    def apologize(error: Exception) -> tuple[str, int]:
        with use_case("Apology"):
            blocking_sdk.ask()
        return "sorry", 500

    @app.get("/papers/<paper>")
    @use_case("Paper")
    def paper(paper: str) -> str:
        blocking_sdk.ask()
        raise RuntimeError(paper)

    assert visit(app, "/papers/7", headers=ids("jane")) == 500

    seen = events.all(user_id="jane")
    assert [event.use_case_name for event in seen] == ["Paper", "Apology"]
    assert {event.inbound.http_route for event in seen} == {"/papers/<paper>"}


def test_exception_that_flask_hands_on(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Where Flask lets an exception through, as under test, the request ends too and the next one starts afresh."""
    app = Flask(__name__)
    app.testing = True
    Payi(app, meter)

    @app.get("/")
    def broken() -> str:
        blocking_sdk.ask()
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        visit(app, "/", headers=ids("jane"))
    blocking_sdk.ask()

    assert [event.user_id for event in events] == ["jane", None]


def test_page_that_does_not_exist(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A call of the handler for 404 has the user and no route."""
    app = Flask(__name__)
    Payi(app, meter)

    @app.errorhandler(404)
    def missing(error: Exception) -> tuple[str, int]:
        blocking_sdk.ask()
        return "missing", 404

    assert visit(app, "/nowhere", headers=ids("jane")) == 404

    event = events.one(user_id="jane")
    assert event.inbound.http_route is None
    assert event.inbound.http_method == "GET"


def test_routes_of_blueprints_have_their_prefixes(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """The route is the whole rule, nested prefixes included, and never the path that was asked for."""
    inner, outer = Blueprint("inner", __name__), Blueprint("outer", __name__)

    @inner.get("/papers/<uuid:paper>")
    def paper(tenant: str, paper: object) -> str:
        blocking_sdk.ask()
        return "ok"

    outer.register_blueprint(inner, url_prefix="/tenants/<tenant>")
    app = Flask(__name__)
    app.register_blueprint(outer, url_prefix="/api")
    Payi(app, meter)

    assert visit(app, "/api/tenants/acme/papers/6f2ac1b5-2e5f-4e53-9c52-0b1a4a2f3c4d?key=secret") == 200

    assert events.one().inbound.http_route == "/api/tenants/<tenant>/papers/<uuid:paper>"


def test_stream_is_read_part_by_part(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Between the parts of a plain generator its request is not bound, so that another's parts in between stay another's."""
    app = Flask(__name__)
    Payi(app, meter)

    @app.get("/<user>")
    def endpoint(user: str) -> Response:
        def parts() -> Iterator[str]:
            for _ in range(3):
                blocking_sdk.ask()
                yield user

        return Response(parts())

    client = app.test_client()
    jane, tom = (client.get(f"/{user}", headers=ids(user)) for user in ("jane", "tom"))
    between = []
    for _ in zip(jane.iter_encoded(), tom.iter_encoded(), strict=True):
        between.append(current().attribution.user_id)
        blocking_sdk.ask()
    jane.close()
    tom.close()

    assert between == [None] * 3
    assert [len(events.all(user_id=user)) for user in ("jane", "tom", None)] == [3, 3, 3]


@pytest.mark.parametrize("with_context", [False, True])
def test_stream_that_is_closed_early(with_context: bool, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A server that closes the answer in mid-stream ends the call, as the request's; what runs at the close is the request's."""
    app = Flask(__name__)
    Payi(app, meter)

    @app.get("/")
    @use_case("Story")
    def endpoint() -> Response:
        def parts() -> Iterator[str]:
            try:
                yield from blocking_sdk.parts("#output=200")
            finally:
                blocking_sdk.ask()

        return Response(stream_with_context(parts()) if with_context else parts())

    response = app.test_client().get("/", headers=ids("jane"))
    next(response.iter_encoded())
    response.close()

    seen = events.all(user_id="jane", use_case_name="Story")
    assert sorted(event.outcome for event in seen) == ["aborted", "ok"]


def test_stream_that_breaks(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """An exception in a generator reaches the server as it is, and the calls made so far are stored."""
    app = Flask(__name__)
    Payi(app, meter)

    @app.get("/")
    def endpoint() -> Response:
        def parts() -> Iterator[str]:
            yield "a"
            blocking_sdk.ask()
            raise RuntimeError("broken")

        return Response(parts())

    with app.test_client().get("/", headers=ids("jane")) as response, pytest.raises(RuntimeError, match="broken"):
        response.get_data()

    assert events.one().user_id == "jane"


def test_stream_that_nobody_reads(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A generator that is closed before its first step has called nothing."""
    app = Flask(__name__)
    Payi(app, meter)

    @app.get("/")
    def endpoint() -> Response:
        return Response(blocking_sdk.parts())

    answer = app.wsgi_app(environ_of(app, "/"), lambda status, headers, exc_info=None: lambda body: None)
    answer.close()  # type: ignore[attr-defined]

    assert len(events) == 0


def environ_of(app: Flask, path: str) -> dict[str, Any]:
    with app.test_request_context(path) as made:
        return dict(made.request.environ)


def test_blocks_in_a_view(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """`track` and `use_case` blocks are laid over the request, and `current` tells of both."""
    app = Flask(__name__)
    Payi(app, meter)
    told: list[tuple[str | None, int]] = []

    @app.get("/")
    @use_case("Outer", tags=["a"])
    def endpoint() -> str:
        with track(user_id="tom", request_tags=["b"]), use_case("Inner"):
            blocking_sdk.ask()
        told.append((current().attribution.user_id, current().calls))
        current().set(account_name="acme")
        blocking_sdk.ask()
        return "ok"

    visit(app, "/", headers=ids("jane"))

    inner, outer = events.all()
    assert (inner.user_id, inner.use_case_name, inner.attribution.request_tags) == ("tom", "Inner", ("a", "b"))
    assert (outer.user_id, outer.use_case_name, outer.attribution.account_name) == ("jane", "Outer", "acme")
    assert told == [("jane", 1)]


def test_request_context_without_a_server(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """What runs in a request context that no server made (a shell, a test) is unattributed, and works."""
    app = Flask(__name__)
    Payi(app, meter)

    @app.get("/")
    def endpoint() -> Response:
        blocking_sdk.ask()
        return Response(blocking_sdk.parts())

    with app.test_request_context("/", headers=ids("jane")):
        assert app.full_dispatch_request().get_data()

    assert [event.user_id for event in events] == [None, None]
