"""What is said to a server, and what its answers come to."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import httpx2
import pytest
from made import START_NS, call
from payiserver import KEY, PayiServer, api_error, status
from starlette.responses import JSONResponse, PlainTextResponse

from payi_middleware import Meter, instrument
from payi_middleware.events import CallEvent
from payi_middleware.pricing import Prices
from payi_middleware.sinks import api as api_module
from payi_middleware.sinks.api import Api
from payi_middleware.sinks.halves import by_halves
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.sinks.remote import Remote
from payi_middleware.sinks.remote_errors import BodyRefused, KeyRefused, Unreachable
from payi_middleware.store.deliveries import Rejected

BULK = "/api/v1/ingest/bulk"
EVENTS = "/api/v1/events"


@pytest.fixture
def server() -> Iterator[PayiServer]:
    with PayiServer() as running:
        yield running


@pytest.fixture
def ours() -> Iterator[PayiServer]:
    with PayiServer(ours=True) as running:
        yield running


@contextlib.contextmanager
def remote_of(server: PayiServer | str, prices: Prices | None = None, key: str = KEY) -> Iterator[Remote]:
    remote = Remote(Api(server if isinstance(server, str) else server.url, key), prices)
    try:
        yield remote
    finally:
        remote.close()


def send(server: PayiServer, *events: CallEvent, prices: Prices | None = None) -> list[Rejected]:
    with remote_of(server, prices) as remote:
        return remote.send(list(events))


def calls(n: int, **given: Any) -> list[CallEvent]:
    return [call(user_id=f"user-{number}", **given) for number in range(n)]


def refusing(*users: str) -> Callable[[dict[str, Any]], tuple[str, str] | None]:
    return lambda item: ("invalid_user_id", f"not {item['user_id']}") if item["user_id"] in users else None


class TestPayi:
    """Pay-i's bulk ingest."""

    def test_a_batch_is_a_bare_array(self, server: PayiServer) -> None:
        """Events go in their order, in one request, uncompressed, with the key in Pay-i's header."""
        assert send(server, *calls(3)) == []

        asked = server.asked[-1]
        assert server.paths() == ["GET /api/v1/capabilities", f"POST {BULK}"]
        assert [item["user_id"] for item in json.loads(asked.body)] == ["user-0", "user-1", "user-2"]
        assert asked.headers["xproxy-api-key"] == KEY
        assert asked.headers["content-type"] == "application/json"
        assert "content-encoding" not in asked.headers
        assert asked.headers["user-agent"].startswith("payi-middleware/")

    def test_an_item_that_is_refused_by_index(self, server: PayiServer) -> None:
        """It is told with its code and message, and the others are there; nothing is sent twice."""
        server.refuses = refusing("user-1", "user-3")

        assert send(server, *calls(5)) == [
            Rejected(1, 400, "invalid_user_id", "not user-1"),
            Rejected(3, 400, "invalid_user_id", "not user-3"),
        ]
        assert server.users() == ["user-0", "user-2", "user-4"]
        assert len(server.bodies(BULK)) == 1

    def test_a_server_that_takes_none_where_one_is_refused(self, server: PayiServer) -> None:
        """If the answer says that the good ones were not taken either, they are sent again without the bad ones."""
        error = {"item_index": 0, "xproxy_result": api_error("invalid_json", "bad")}
        server.script.append(status(400, {"ingest_count": 0, "errors": [error], "item_error_count": 1}))

        assert send(server, *calls(3)) == [Rejected(0, 400, "invalid_json", "bad")]
        assert server.users() == ["user-1", "user-2"]

    @pytest.mark.parametrize(
        "answer",
        [
            (400, api_error("request_processing_error", "no")),
            (413, {"detail": "too large"}),
            (422, None),
            (400, {"ingest_count": 0, "errors": None}),
            (200, {"ingest_count": 3, "errors": [{"item_index": None}]}),
            (200, {"ingest_count": 3, "errors": [{"item_index": 7}]}),
            (200, {"ingest_count": 3, "errors": None, "item_error_count": 1}),
        ],
    )
    def test_a_refusal_that_tells_no_index(self, server: PayiServer, answer: tuple[int, Any]) -> None:
        """Where a request is refused as a whole, the halves are sent, down to the one that is to blame."""

        def whole(request: Any) -> JSONResponse | None:
            items = server.asked[-1].json()
            if any(item["user_id"] == "user-2" for item in items) and len(items) > 1:
                server.script.append(whole)
                return JSONResponse(answer[1], answer[0])
            server.script.append(whole)
            return None

        server.refuses = refusing("user-2")
        server.script.append(whole)

        assert send(server, *calls(4)) == [Rejected(2, 400, "invalid_user_id", "not user-2")]
        assert server.users() == ["user-0", "user-1", "user-3"]

    def test_one_alone_that_is_refused_without_a_reason(self, server: PayiServer) -> None:
        """It is set aside all the same, with the status for a reason."""
        server.script.extend([status(418, []), status(400, {"ingest_count": 0, "errors": [{}]})])

        assert send(server, call()) == [Rejected(0, 418, None, "it answers 418")]
        assert send(server, call()) == [Rejected(0, 400, None, "no reason given")]

    def test_an_event_that_cannot_be_sent(self, server: PayiServer) -> None:
        """What the schema cannot hold, or no text can, is told without being sent; the others go."""
        odd = call(units={"text": (1 << 40, 0)}, ticks=1)
        lone = call(user_id="\ud800")

        assert [one[:3] for one in send(server, odd, *calls(1), lone)] == [(0, 0, "unsendable"), (2, 0, "unsendable")]
        assert server.users() == ["user-0"]

    def test_limits_that_only_count_are_named(self, server: PayiServer) -> None:
        """Limits that Pay-i would refuse (Block, unknown, of a name that is no path) go into properties; each is looked up once."""
        server.limits = {"allow/1": "allow", "hard": "block"}
        events = calls(2, limit_ids=("allow/1", "hard", "gone", ".."))

        assert send(server, *events) == []
        assert [item["limit_ids"] for item in server.taken] == [["allow/1"]] * 2
        assert server.taken[0]["properties"]["payi_middleware.limit_ids"] == "hard,gone,.."
        assert sorted(server.paths()[1:-1]) == [f"GET /api/v1/limits/{name}" for name in ("allow%2F1", "gone", "hard")]

    def test_a_limit_that_was_deleted_meanwhile(self, server: PayiServer) -> None:
        """An event that is refused for its limits goes without them, and so do those that follow."""
        server.limits = {"l1": "allow"}
        with remote_of(server) as remote:
            assert remote.send(calls(1, limit_ids=("l1",))) == []
            server.limits.clear()
            assert remote.send([call(user_id="later", limit_ids=("l1",))]) == []
            assert remote.send([call(user_id="last", limit_ids=("l1",))]) == []

        assert server.users() == ["user-0", "later", "last"]
        assert [item.get("limit_ids") for item in server.taken] == [["l1"], None, None]
        assert len(server.bodies(BULK)) == 4

    def test_an_unknown_resource_is_set_aside(self, server: PayiServer) -> None:
        """Without `create_resources` nothing is made."""
        server.resources = {}

        (rejected,) = send(server, call())
        assert rejected == Rejected(0, 400, "category_resource_not_found", "no resource gpt-4o")
        assert server.resources == {}

    def test_an_unknown_resource_is_made_with_our_rates(self, server: PayiServer) -> None:
        """With `create_resources` it is made once, for a single unit, from the midnight before its first call; then the calls go."""
        prices = Prices()
        prices.load()
        server.resources = {("system.openai", "known"): {}}
        events = [*calls(2, started_ns=START_NS), call(user_id="known", resource="known")]

        assert send(server, *events, prices=prices) == []
        assert server.users() == ["known", "user-0", "user-1"]
        made = server.resources["system.openai", "gpt-4o"]
        assert made["start_timestamp"] == "2026-09-21T00:00:00.000000Z"
        assert made["units"]["text"] == {"input_price": 0.0000025, "output_price": 0.00001}
        assert made["units"]["text_cache_read"]["input_price"] == 0.00000125
        assert b'"input_price":0.0000025,' in next(one.body for one in server.asked if "/resources/" in one.path)

    def test_rates_for_large_prompts_have_their_names(self, server: PayiServer) -> None:
        """A model with dearer large prompts has units for them, as Pay-i names them."""
        prices = Prices()
        prices.load()
        server.resources = {}
        gemini = call(
            provider="google", category="system.google.vertex", resource="gemini-2.5-pro", units={"text": (9, 9)}
        )

        assert send(server, gemini, prices=prices) == []
        units = server.resources["system.google.vertex", "google.gemini-2.5-pro"]["units"]
        assert units["text_large_context"]["input_price"] > units["text"]["input_price"]

    def test_rates_of_the_call_itself(self, server: PayiServer) -> None:
        """Where no list has the model, as one that is priced as another, the rates by which the call was priced are used."""
        server.resources = {}

        assert send(server, call(price_as="mine/model one"), prices=Prices()) == []
        assert server.resources["mine", "model one"]["units"] == {
            "text": {"input_price": 0.0000025, "output_price": 0.00001}
        }

    def test_a_resource_that_cannot_be_made(self, server: PayiServer) -> None:
        """No rates, no right and no name: the calls are set aside, and the message tells why."""
        prices = Prices()
        prices.load()
        server.resources = {}
        unknown = call(resource="no-such-model", cost_source="none")
        dots = call(price_as="x/..")

        assert [one.message for one in send(server, unknown, dots, prices=prices)] == [
            "no resource no-such-model; there are no rates for no-such-model of openai",
            "no resource ..; no path can name it",
        ]
        server.may_create = False
        assert [one.message for one in send(server, call(), prices=prices)] == [
            "no resource gpt-4o; it could not be made: 403 may not"
        ]

    @pytest.mark.parametrize(("path", "code"), [("limits", 401), ("limits", 403), ("categories", 401)])
    def test_a_key_that_is_refused_on_the_way(self, server: PayiServer, path: str, code: int) -> None:
        """A key that stops to be valid while limits are looked up or resources made says nothing of those."""
        prices = Prices()
        prices.load()
        server.resources = {} if path == "categories" else None
        server.denied = {path: code}

        with remote_of(server, prices) as remote:
            with pytest.raises(KeyRefused):
                remote.send(calls(1, limit_ids=("l1",)))
            server.denied, server.limits = {}, {"l1": "allow"}
            assert remote.send(calls(1, limit_ids=("l1",))) == []
        assert server.taken[-1]["limit_ids"] == ["l1"] if path == "limits" else server.resources

    def test_the_servers_clock_counts(self, server: PayiServer) -> None:
        """An event that is future by the server's clock gets the server's time."""

        def earlier(request: Any) -> JSONResponse:
            return JSONResponse({"ingest_count": 1, "errors": None}, headers={"date": formatdate(1_000_000_000)})

        server.script.append(earlier)
        with remote_of(server) as remote:
            remote.send(calls(1))
            remote.send([call(user_id="now")])

        assert server.taken[-1]["event_timestamp"].startswith("2001-09-09T01:46")
        assert server.taken[-1]["properties"]["payi_middleware.started_at"] == "2026-09-21T14:13:20.000000Z"


class TestOurs:
    """A server of our own."""

    def test_events_go_as_they_are(self, ours: PayiServer) -> None:
        """JSON lines, compressed, each what `CallEvent.to_dict` gives."""
        events = calls(3, limit_ids=("hard",))

        assert send(ours, *events) == []
        assert ours.taken == [json.loads(event.to_json()) for event in events]
        assert ours.paths() == ["GET /api/v1/capabilities", f"POST {EVENTS}"]
        assert ours.asked[-1].headers["content-encoding"] == "gzip"

    def test_a_line_that_is_refused(self, ours: PayiServer) -> None:
        """It is told with its code and message, whether others are taken or not."""
        ours.refuses = refusing("user-1")

        assert send(ours, *calls(3)) == [Rejected(1, 400, "invalid_user_id", "not user-1")]
        assert send(ours, *calls(2)[1:]) == [Rejected(0, 400, "invalid_user_id", "not user-1")]
        assert ours.users() == ["user-0", "user-2"]

    @pytest.mark.parametrize(
        "answer", [(413, api_error("x", "large", 413)), (400, None), (200, {"error_count": 1, "errors": [{"line": 9}]})]
    )
    def test_a_refusal_that_tells_no_line(self, ours: PayiServer, answer: tuple[int, Any]) -> None:
        """The halves are sent."""
        ours.script.append(status(*answer))

        assert send(ours, *calls(4)) == []
        assert ours.users() == [f"user-{n}" for n in range(4)]
        assert len([path for path in ours.paths() if path == f"POST {EVENTS}"]) == 3

    def test_what_is_no_text(self, ours: PayiServer) -> None:
        """An event of which no JSON can be made is told, and the others go."""
        (rejected,) = send(ours, call(user_id="\ud800"), *calls(1))

        assert (rejected.at, rejected.code) == (0, "unsendable")
        assert ours.users() == ["user-0"]


@pytest.mark.parametrize("is_ours", [False, True])
class TestFailures:
    """Both, when something is wrong that has nothing to do with the events."""

    @pytest.fixture
    def failing(self, is_ours: bool) -> Iterator[PayiServer]:
        with PayiServer(ours=is_ours) as running:
            yield running

    @pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503, 504])
    def test_later(self, failing: PayiServer, code: int) -> None:
        """What Pay-i's own client tries again is tried again: nothing is set aside."""
        failing.script.append(status(code, api_error("unexpected_error", "oops", code)))

        with remote_of(failing) as remote:
            with pytest.raises(Unreachable, match=f"it answers {code}"):
                remote.send(calls(2))
            assert remote.send(calls(2)) == []
        assert failing.users() == ["user-0", "user-1"]

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"Retry_After": "7"}, 7.0),
            ({"retry_after_ms": "1500"}, 1.5),
            ({"Retry_After": "soon"}, 0.0),
            ({"Retry_After": "-3"}, 0.0),
            ({}, 0.0),
        ],
    )
    def test_how_long_the_server_asks(self, failing: PayiServer, headers: dict[str, str], seconds: float) -> None:
        """`Retry-After` in seconds, or Pay-i's milliseconds."""
        failing.script.append(status(429, None, **headers))

        with pytest.raises(Unreachable) as error:
            send(failing, call())
        assert error.value.asked == seconds

    def test_a_date_until_which_to_stay_away(self, failing: PayiServer) -> None:
        """`Retry-After` may be a date."""
        failing.script.append(status(503, None, Retry_After=formatdate(time.time() + 3000, usegmt=True)))

        with pytest.raises(Unreachable) as error:
            send(failing, call())
        assert 0 < error.value.asked <= 3000

    @pytest.mark.parametrize("code", [401, 403])
    def test_a_key_that_is_refused(self, failing: PayiServer, code: int) -> None:
        """It is told apart, since people have to help, and the next try is late."""
        failing.script.append(status(code, api_error("invalid_api_key", "no", code)))

        with pytest.raises(KeyRefused, match="the key is refused") as error:
            send(failing, call())
        assert error.value.pause == 60.0
        assert KEY not in str(error.value)

    @pytest.mark.parametrize("code", [301, 307, 404, 405])
    def test_a_url_that_is_wrong(self, failing: PayiServer, code: int) -> None:
        """A redirect is not followed, since the key would go along; nothing is set aside for an API that is not there."""
        failing.script.append(status(code, None, Location="http://127.0.0.1:9/elsewhere"))

        with pytest.raises(Unreachable, match=f"answers {code}: base_url is not where the API is"):
            send(failing, call())

    def test_a_stranger_who_says_yes(self, failing: PayiServer) -> None:
        """A page that answers 200 to everything, as a hotel's gateway does, has not taken the events."""
        failing.script.append(lambda request: PlainTextResponse("<html>Welcome"))

        with pytest.raises(Unreachable, match="is base_url right"):
            send(failing, call())

    def test_a_wrong_key_from_the_beginning(self, failing: PayiServer) -> None:
        """The answer to the first question tells nothing of the key; that to the events does."""
        with remote_of(failing, key="payi_wrong") as remote, pytest.raises((KeyRefused, Unreachable)):
            remote.send([call()])
        assert failing.taken == []

    def test_a_server_that_became_another(self, failing: PayiServer, is_ours: bool) -> None:
        """After a failure it is asked anew what it is."""
        with remote_of(failing) as remote:
            assert remote.kind == "unknown"
            assert remote.send(calls(1)) == []
            assert remote.kind == ("server" if is_ours else "payi")
            failing.stop()
            with pytest.raises(Unreachable):
                remote.send([call()])
            failing.ours = not is_ours
            failing.start()
            assert remote.send([call(user_id="later")]) == []
            assert remote.kind == ("payi" if is_ours else "server")
        assert failing.users() == ["user-0", "later"]


class TestApi:
    """The HTTP itself."""

    def test_nobody_there(self) -> None:
        """A refused connection is told by its kind."""
        with remote_of("http://127.0.0.1:9") as remote, pytest.raises(Unreachable, match="ConnectError"):
            remote.send([call()])

    def test_an_answer_that_trickles(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An answer without an end is given up: each part in time does not make the whole so."""
        monkeypatch.setattr(api_module, "ANSWER_SECONDS", 0.05)
        listening = socket.create_server(("127.0.0.1", 0))

        def trickle() -> None:
            connection, _ = listening.accept()
            with contextlib.suppress(OSError), connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while True:
                    connection.sendall(b"1\r\n \r\n")
                    time.sleep(0.01)

        trickling = threading.Thread(target=trickle, daemon=True)
        trickling.start()
        with remote_of(f"http://127.0.0.1:{listening.getsockname()[1]}") as remote:
            with pytest.raises(Unreachable, match="the answer does not end"):
                remote.send([call()])
        trickling.join()
        listening.close()

    def test_no_time_left(self, server: PayiServer) -> None:
        """A flush that has to end does not begin what it cannot wait for."""
        with remote_of(server) as remote:
            remote.deadline = time.monotonic() - 1
            assert remote.deadline < time.monotonic()
            with pytest.raises(Unreachable, match="no time left"):
                remote.send([call()])
        assert server.asked == []

    def test_the_hook_never_counts_it(self, server: PayiServer) -> None:
        """Our own traffic is no call, even where the owner maps the very host and port to a provider."""
        sink = MemorySink()
        with Meter("sqlite:///:memory:", sinks=[sink], hosts={f"127.0.0.1:{server.port}": "openai"}) as meter:
            instrument(meter)
            send(server, *calls(2))
            with httpx2.Client() as client:
                client.post(f"{server.url}/v1/chat/completions", json={"model": "gpt-4o"})
            meter.flush()

        assert [event.endpoint for event in sink.events] == ["/v1/chat/completions"]
        assert server.users() == ["user-0", "user-1"]


def test_halves_of_nothing() -> None:
    """Nothing is sent for no events."""

    def post(events: list[tuple[int, bytes]]) -> list[Rejected]:
        raise AssertionError

    assert by_halves(post, []) == []


def test_halves_keep_the_order() -> None:
    """What is sent by halves arrives in its order."""
    taken: list[int] = []

    def post(events: list[tuple[int, bytes]]) -> list[Rejected]:
        if len(events) > 2:
            raise BodyRefused(400, None, "too many")
        taken.extend(index for index, _ in events)
        return []

    assert by_halves(post, [(n, b"") for n in range(11)]) == []
    assert taken == list(range(11))
