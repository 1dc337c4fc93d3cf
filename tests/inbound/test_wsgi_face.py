"""The WSGI middleware around applications without a framework."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from asking import COST, Asking, ids

from payi_middleware import Attribution, Meter, current, health, track, use_case
from payi_middleware.demo.standin import StandIn
from payi_middleware.meter import existing_default
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.testing import Events
from payi_middleware.types import Environ, StartResponse, WSGIApp
from payi_middleware.wsgi import PayiWSGIMiddleware

TEXT = [("content-type", "text/plain")]


class Visit:
    """One request as a server makes it; what the application answered."""

    def __init__(self, app: WSGIApp, headers: dict[str, str] | None = None, **environ: Any) -> None:
        self.started: list[tuple[str, dict[str, str]]] = []
        self.written: list[bytes] = []
        self.environ: Environ = {"REMOTE_ADDR": "127.0.0.1", **environ}
        setup_testing_defaults(self.environ)
        for name, value in (headers or {}).items():
            self.environ["HTTP_" + name.upper().replace("-", "_")] = value
        self.answer = app(self.environ, self._start)

    def _start(self, status: str, headers: list[tuple[str, str]], error: Any = None) -> Callable[[bytes], object]:
        self.started.append((status, {name.lower(): value for name, value in headers}))
        return self.written.append

    def read(self) -> bytes:
        """All parts, after which the server closes the answer."""
        try:
            return b"".join(self.answer)
        finally:
            self.close()

    def close(self) -> None:
        close = getattr(self.answer, "close", None)
        if close is not None:
            close()


def listed(sdk: Asking) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        sdk.ask("#input=8")
        start_response("200 OK", TEXT)
        return [b"o", b"k"]

    return app


def generated(sdk: Asking) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"o"
        sdk.ask("#input=8")
        yield b"k"

    return app


class Parts:
    """An iterator whose every part, and whose close, makes a call."""

    def __init__(self, sdk: Asking) -> None:
        self.sdk = sdk
        self.rest = [b"k", b"o"]
        self.closed = 0

    def __iter__(self) -> Parts:
        return self

    def __next__(self) -> bytes:
        if not self.rest:
            raise StopIteration
        self.sdk.ask("#input=8")
        return self.rest.pop()

    def close(self) -> None:
        self.sdk.ask("#input=8")
        self.closed += 1


def iterated(sdk: Asking) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        return Parts(sdk)

    return app


def written(sdk: Asking) -> WSGIApp:
    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        write = start_response("200 OK", TEXT)
        write(b"o")
        sdk.ask("#input=8")
        write(b"k")
        return ()

    return app


class Application:
    """An application that is an object, and starts its answer when it is iterated."""

    def __init__(self, sdk: Asking) -> None:
        self.sdk = sdk

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return self.Answer(self.sdk, start_response)

    class Answer:
        def __init__(self, sdk: Asking, start_response: StartResponse) -> None:
            self.sdk = sdk
            self.start_response = start_response

        def __iter__(self) -> Iterator[bytes]:
            self.sdk.ask("#input=8")
            self.start_response("200 OK", TEXT)
            return iter([b"ok"])


KINDS = {
    "list": (listed, 1),
    "generator": (generated, 1),
    "iterator": (iterated, 3),
    "write": (written, 1),
    "object": (Application, 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_call_belongs_to_its_request(kind: str, meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """However an application answers, its calls have the request's user, and what comes after the request does not."""
    make, calls = KINDS[kind]
    visit = Visit(PayiWSGIMiddleware(make(blocking_sdk), meter), ids("jane"))

    assert (visit.read() or b"".join(visit.written)) == b"ok"
    blocking_sdk.ask()

    assert visit.started == [("200 OK", {"content-type": "text/plain"})]
    assert len(events.all(user_id="jane", origin="request")) == calls
    assert len(events.all(user_id=None)) == 1


@pytest.mark.parametrize("kind", [listed, generated, iterated])
def test_protocol_is_kept(
    kind: Callable[[Asking], WSGIApp], meter: Meter, events: Events, blocking_sdk: Asking
) -> None:
    """Seen from the server and from the application, the standard library's validator finds nothing to blame."""
    checked = validator(PayiWSGIMiddleware(validator(kind(blocking_sdk)), meter, cost_headers=True))
    visit = Visit(checked, ids("jane"), REQUEST_METHOD="GET", QUERY_STRING="")

    assert visit.read() == b"ok"
    assert len(events) >= 1


def test_answer_is_closed_once(meter: Meter, blocking_sdk: Asking) -> None:
    """The application's answer is closed when the server closes ours, and not before."""
    parts = Parts(blocking_sdk)
    visit = Visit(PayiWSGIMiddleware(lambda environ, start_response: parts, meter))

    assert b"".join(visit.answer) == b"ok"
    assert parts.closed == 0
    visit.close()
    assert parts.closed == 1


def test_close_that_raises(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """An exception of the answer's close reaches the server, and the request ends all the same."""

    class Failing(Parts):
        def close(self) -> None:
            super().close()
            raise RuntimeError("close")

    visit = Visit(PayiWSGIMiddleware(lambda environ, start_response: Failing(blocking_sdk), meter), ids("jane"))

    with pytest.raises(RuntimeError, match="close"):
        visit.close()
    blocking_sdk.ask()

    assert [event.user_id for event in events] == ["jane", None]


def test_client_that_goes_away(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A server that closes the answer in mid-stream aborts the call, which stays the request's."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        for part in blocking_sdk.parts("#output=200"):
            yield part.encode()

    visit = Visit(PayiWSGIMiddleware(app, meter), ids("jane"))
    next(iter(visit.answer))
    visit.close()

    event = events.one()
    assert (event.user_id, event.outcome) == ("jane", "aborted")


def test_file_is_left_to_the_server(meter: Meter, events: Events, blocking_sdk: Asking, tmp_path: Any) -> None:
    """A file in the server's own wrapper reaches the server as it is, so that it can send it by the system's means."""
    page = tmp_path / "page.txt"
    page.write_bytes(b"page")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        blocking_sdk.ask()
        start_response("200 OK", TEXT)
        return environ["wsgi.file_wrapper"](page.open("rb"))  # type: ignore[no-any-return]

    visit = Visit(PayiWSGIMiddleware(app, meter), ids("jane"), **{"wsgi.file_wrapper": FileWrapper})

    assert type(visit.answer) is FileWrapper
    assert visit.read() == b"page"
    assert events.one().user_id == "jane"


def test_application_that_raises(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """An exception before the answer reaches the server as it is; the calls made so far are stored."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        blocking_sdk.ask()
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        Visit(PayiWSGIMiddleware(app, meter), ids("jane"))
    blocking_sdk.ask()

    assert [event.user_id for event in events] == ["jane", None]


def test_start_response_that_raises(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """What the server's `start_response` raises reaches the application, as without us."""
    seen: list[BaseException] = []

    def refusing(status: str, headers: object, error: object = None) -> Any:
        raise ValueError("bad headers")

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            start_response("200 OK", TEXT)
        except ValueError as error:
            seen.append(error)
        blocking_sdk.ask()
        return [b"ok"]

    answer = PayiWSGIMiddleware(app, meter, cost_headers=True)({"REMOTE_USER": "jane"}, refusing)

    assert list(answer) == [b"ok"]
    assert [str(error) for error in seen] == ["bad headers"]
    assert events.one().user_id == "jane"


def test_answer_begun_anew_after_an_error(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """An application may start its answer again with `exc_info`; the cost is told of what is known at that time."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", TEXT)
        try:
            blocking_sdk.ask("#input=8")
            raise RuntimeError("late")
        except RuntimeError:
            start_response("500 Error", TEXT, sys.exc_info())
        return [b"sorry"]

    visit = Visit(PayiWSGIMiddleware(app, meter, cost_headers=True))

    assert visit.read() == b"sorry"
    assert [(status, headers.get("x-payi-cost")) for status, headers in visit.started] == [
        ("200 OK", None),
        ("500 Error", "0.0000156"),
    ]


@pytest.mark.parametrize(("kind", "cost"), [(listed, "0.0000156"), (Application, "0.0000156"), (generated, None)])
def test_cost_headers(kind: Callable[[Asking], WSGIApp], cost: str | None, meter: Meter, blocking_sdk: Asking) -> None:
    """The response tells the cost where it is known before the headers go out, and nothing where it is not."""
    visit = Visit(PayiWSGIMiddleware(kind(blocking_sdk), meter, cost_headers=True))

    assert visit.read() == b"ok"
    ((_, headers),) = visit.started
    assert headers.get("x-payi-cost") == cost
    assert headers.get("server-timing") == (cost and f'payi;desc="1 call, {cost} USD"')


def test_no_cost_headers_unless_asked_for(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Without `cost_headers` the response is the application's own."""
    visit = Visit(PayiWSGIMiddleware(listed(blocking_sdk), meter))

    assert visit.read() == b"ok"
    assert visit.started == [("200 OK", {"content-type": "text/plain"})]
    assert events.one().cost.total_ticks == COST  # type: ignore[union-attr]


def test_remote_user(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Without `identify` the user is the one that the server, or a middleware behind ours, authenticated."""

    def login(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        blocking_sdk.ask()
        environ["REMOTE_USER"] = "jane"
        return listed(blocking_sdk)(environ, start_response)

    Visit(PayiWSGIMiddleware(login, meter)).read()
    Visit(PayiWSGIMiddleware(listed(blocking_sdk), meter), REMOTE_USER="tom").read()
    Visit(PayiWSGIMiddleware(listed(blocking_sdk), meter), REMOTE_USER="").read()

    assert [event.user_id for event in events] == [None, "jane", "tom", None]


def test_identify(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """`identify` gets the environ, once a request and only if it makes a call, and goes before `REMOTE_USER`."""
    asked: list[str] = []

    def identify(environ: Environ) -> Attribution:
        asked.append(environ["PATH_INFO"])
        return Attribution(user_id="jane", account_name="acme")

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        if environ["PATH_INFO"] == "/ask":
            blocking_sdk.ask()
            yield b"o"
            blocking_sdk.ask()
        yield b"k"

    face = PayiWSGIMiddleware(app, meter, identify=identify)
    Visit(face, PATH_INFO="/quiet").read()
    Visit(face, PATH_INFO="/ask", REMOTE_USER="tom").read()

    assert asked == ["/ask"]
    assert [(event.user_id, event.attribution.account_name) for event in events] == [("jane", "acme")] * 2


def test_async_identify(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """`identify` may be a coroutine function."""

    async def identify(environ: Environ) -> str:
        return "jane"

    Visit(PayiWSGIMiddleware(listed(blocking_sdk), meter, identify=identify)).read()

    assert events.one().user_id == "jane"


def test_headers_of_peers(meter: Meter, events: Events, blocking_sdk: Asking, caplog: pytest.LogCaptureFixture) -> None:
    """A trusted peer's xProxy headers count, in any characters; another's do not, which is counted and logged once."""
    face = PayiWSGIMiddleware(listed(blocking_sdk), meter)
    named = "Jürgen".encode().decode("latin-1")  # as servers hand on UTF-8

    Visit(face, ids(named, usecase_name="Chat", request_tags="a,b")).read()
    Visit(face, ids("tom"), REMOTE_ADDR="203.0.113.9").read()
    Visit(face, ids("tom"), REMOTE_ADDR="203.0.113.9").read()

    trusted, *others = events.all()
    assert (trusted.user_id, trusted.use_case_name) == ("Jürgen", "Chat")
    assert trusted.attribution.request_tags == ("a", "b")
    assert [event.user_id for event in others] == [None, None]
    assert health.counters()["headers_ignored"] == 2
    assert caplog.text.count("trusted_hosts=('203.0.113.9',)") == 1


def test_request_facts(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """Method, request id and trace come from the request; a plain application has no route."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": trace, "x-request-id": "r-17"}
    Visit(
        PayiWSGIMiddleware(listed(blocking_sdk), meter), headers, REQUEST_METHOD="PUT", PATH_INFO="/secret/path"
    ).read()

    inbound = events.one().inbound
    assert (inbound.http_method, inbound.http_route, inbound.http_request_id) == ("PUT", None, "r-17")
    assert (inbound.trace_id, inbound.span_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def test_use_case_of_an_application(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """`use_case` on the application itself holds for all its requests, also while it streams."""
    Visit(PayiWSGIMiddleware(use_case("Whole")(generated(blocking_sdk)), meter)).read()
    Visit(PayiWSGIMiddleware(use_case("Object")(Application(blocking_sdk)), meter)).read()

    assert [event.use_case_name for event in events] == ["Whole", "Object"]


def test_two_middlewares_with_one_meter_bind_once(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """The outer of two middlewares binds the request; the inner one lets it pass, and says once that nobody asks it."""
    counts: list[int] = []

    def asking(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        blocking_sdk.ask()
        counts.append(current().calls)
        return [b"ok"]

    inner = PayiWSGIMiddleware(asking, meter, identify=lambda environ: "nobody")
    app = PayiWSGIMiddleware(inner, meter, identify=lambda environ: "jane")
    Visit(app).read()
    Visit(app).read()

    assert counts == [1, 1]
    assert [event.user_id for event in events] == ["jane", "jane"]
    assert health.counters() == {"second_face": 1}


@pytest.mark.parametrize("kind", [listed, generated])
def test_a_request_that_is_served_again(
    kind: Callable[[Asking], WSGIApp], meter: Meter, events: Events, blocking_sdk: Asking
) -> None:
    """A middleware outside of ours that has an environ served again, as one that retries, has each serving attributed."""
    app = PayiWSGIMiddleware(kind(blocking_sdk), meter, identify=lambda environ: "jane")

    def twice(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        first = app(environ, start_response)
        list(first)
        getattr(first, "close", list)()
        return app(environ, start_response)

    Visit(twice).read()

    assert [event.user_id for event in events] == ["jane", "jane"]
    assert not health.counters()


def test_two_meters_bind_each(meter: Meter, events: Events, standin: StandIn, blocking_sdk: Asking) -> None:
    """With another meter the inner middleware binds anew, and the innermost counts."""
    other_sink = MemorySink()
    with Meter("sqlite:///:memory:", sinks=[other_sink], hosts=meter.settings.hosts, application="inner") as other:
        inner = PayiWSGIMiddleware(generated(blocking_sdk), other, identify=lambda environ: "jane")
        Visit(PayiWSGIMiddleware(inner, meter)).read()
        other.flush()

        assert [(event.application, event.user_id) for event in other_sink.events] == [("inner", "jane")]
        assert len(events) == 0


def test_block_around_the_server(meter: Meter, events: Events, blocking_sdk: Asking) -> None:
    """A request that is served inside a `track` block is its own activity, and the block's is back afterwards."""
    with track(user_id="tom"):
        Visit(PayiWSGIMiddleware(listed(blocking_sdk), meter), ids("jane")).read()
        blocking_sdk.ask()

    assert [event.user_id for event in events] == ["jane", "tom"]


@pytest.mark.parametrize("kind", [listed, generated, iterated])
def test_delivered_before_the_last_part(
    kind: Callable[[Asking], WSGIApp], standin: StandIn, blocking_sdk: Asking
) -> None:
    """With `flush="request"` a call is delivered before the part of the answer that follows it leaves the process."""
    sink = MemorySink()
    hosts = {standin.host: "openai"}
    with Meter("sqlite:///:memory:", sinks=[sink], hosts=hosts, flush="request", flush_interval=3600) as meter:
        visit = Visit(PayiWSGIMiddleware(kind(blocking_sdk), meter))
        delivered = [(part, len(sink.events)) for part in visit.answer]
        visit.close()

    calls = {listed: [1, 1], generated: [0, 1], iterated: [1, 2]}
    assert delivered == list(zip([b"o", b"k"], calls[kind], strict=True))
    assert len(sink.events) == (3 if kind is iterated else 1)


def test_disabled(standin: StandIn, blocking_sdk: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `PAYI_DISABLED=1` the application answers by itself, and no call is recorded."""
    monkeypatch.setenv("PAYI_DISABLED", "1")
    asked: list[Environ] = []
    face = PayiWSGIMiddleware(
        listed(blocking_sdk),
        identify=asked.append,
        cost_headers=True,
        store="sqlite:///:memory:",
        hosts={standin.host: "openai"},
    )
    visit = Visit(face)

    assert type(visit.answer) is list
    assert visit.read() == b"ok"
    assert visit.started == [("200 OK", {"content-type": "text/plain"})]
    assert asked == []
    made = existing_default()
    assert made is not None
    assert made.spool.waiting == 0
    assert len(standin.requests) == 1
