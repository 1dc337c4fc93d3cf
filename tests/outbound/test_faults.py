"""A fault of ours never becomes the application's: it is counted, logged once, and leaves no call in flight."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import httpx2
import msgspec
import pytest
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, URL, Watched, mock, send
from msgspec.structs import replace

from payi_middleware import Limit, PayiTransport, _transport, call, current, health, opening, pending, track
from payi_middleware.body import Body
from payi_middleware.limits.memory import MemoryLedger
from payi_middleware.pricing import Prices
from payi_middleware.providers import named


class Fault(Exception):
    """Ours."""


def faulty(*args: Any, **kwargs: Any) -> Any:
    raise Fault


BEFORE = {
    "exchange": (_transport, "Exchange"),
    "attribution": (opening, "attributed"),
    "call": (call, "Call"),
}


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "payi_middleware"]


@pytest.mark.parametrize("step", list(BEFORE))
def test_a_fault_before_the_call(
    lib: ModuleType,
    is_async: bool,
    step: str,
    watched: Watched,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The request goes through unseen."""
    monkeypatch.setattr(*BEFORE[step], faulty)
    for _ in range(2):
        assert send(lib, is_async, mock(lib, STREAM), "iter_raw") == STREAM
    assert watched.events == []
    assert health.counters()["call_begin"] == 2
    assert logged(caplog) == ["a call could not be looked at; it goes through unseen"]


def test_a_spool_that_fails_as_a_call_begins(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call goes through unseen, and the running request does not wait for it."""
    monkeypatch.setattr(watched.meter.spool, "append", faulty)
    with track(user_id="jane"):
        assert send(httpx2, False, mock(httpx2, ANSWER), body=REQUEST) == [ANSWER]
        assert current().pending == 0
    assert health.counters()["call_begin"] == 1


def test_a_spool_that_fails_as_a_limited_call_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes out, and counts."""
    ledger = MemoryLedger()
    watched = Watched(limits=[Limit("calls", 9, unit="calls")], ledger=ledger)
    append = watched.meter.spool.append

    def handler(sent: Any) -> Any:
        monkeypatch.setattr(watched.meter.spool, "append", append)
        return httpx2.Response(200, content=ANSWER)

    with track(user_id="jane", meter=watched.meter):
        watched.meter.limits.prepare()
        monkeypatch.setattr(watched.meter.spool, "append", faulty)
        with httpx2.Client(transport=PayiTransport(httpx2.MockTransport(handler), watched.meter)) as client:
            assert client.post(URL, content=REQUEST).content == ANSWER
        assert (current().calls, current().pending, current().limits[0].spent) == (1, 0, 1)
    assert health.counters()["call_begin"] == 1
    watched.meter.close()


def test_a_spool_that_fails_as_a_call_ends(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is lost, and counted; the running request does not wait for it."""

    def handler(sent: Any) -> Any:
        monkeypatch.setattr(watched.meter.spool, "append", faulty)
        return httpx2.Response(200, content=ANSWER)

    with track(user_id="jane"):
        assert send(httpx2, False, httpx2.MockTransport(handler), body=REQUEST) == [ANSWER]
        assert (current().calls, current().pending, current().complete) == (1, 0, False)
    assert health.counters()["call_end"] == 1


@pytest.fixture
def misread(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint whose answers nobody can read."""
    routes = named("openai").routes
    route = named("openai").route("POST", "/v1/chat/completions")
    assert route is not None
    broken = replace(route.endpoint, read=faulty, read_stream=faulty, read_cut=faulty)
    monkeypatch.setitem(routes, ("POST", "/v1/chat/completions"), route._replace(endpoint=broken))


@pytest.mark.usefixtures("misread")
def test_an_answer_that_our_reader_fails_on(
    lib: ModuleType, is_async: bool, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """The application reads it; the call is an event without a cost that says whose fault it is, not one in flight."""
    with track(user_id="jane"):
        for _ in range(2):
            assert send(lib, is_async, mock(lib, STREAM), "iter_raw") == STREAM
        assert (current().calls, current().pending, current().complete) == (2, 0, False)
    for event in watched.events:
        assert (event.outcome, event.cost_source, event.user_id, event.http_status) == ("unknown", "none", "jane", 200)
        assert event.reason == "the answer could not be read: a fault of payi-middleware, see its log"
        assert event.requested_resource == "gpt-4o-mini"
    assert health.counters()["call_end"] == 2
    assert logged(caplog) == ["an answer could not be read; its call is recorded without a cost"]
    assert "Fault" in caplog.text


ENDING = {
    "cost": (call, "cost_read"),
    "decoding": (Body, "parts"),
}


@pytest.mark.parametrize("step", list(ENDING))
def test_a_fault_as_the_call_ends(
    lib: ModuleType, is_async: bool, step: str, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is intact, and the call recorded."""
    monkeypatch.setattr(*ENDING[step], faulty)
    headers = {"content_encoding": "identity, identity"} if step == "decoding" else {}
    assert send(lib, is_async, mock(lib, STREAM, **headers), "iter_raw") == STREAM
    assert (watched.one.cost_source, watched.one.provider) == ("none", "openai")
    assert health.counters()["call_end"] == 1


@pytest.mark.parametrize("step", [(Prices, "plan"), (pending, "cost_of")], ids=["rates", "price"])
def test_a_fault_as_the_call_is_priced(
    lib: ModuleType, is_async: bool, step: tuple[Any, str], watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is stored without a cost, and its event says whose fault that is."""
    monkeypatch.setattr(*step, faulty)
    assert send(lib, is_async, mock(lib, STREAM), "iter_raw") == STREAM
    assert (watched.one.outcome, watched.one.cost_source, watched.one.provider) == ("ok", "none", "openai")
    assert watched.one.reason == "the call could not be priced: a fault of payi-middleware, see its log"
    assert health.counters()["pricing"] == 1


def test_a_fault_while_parts_come(
    lib: ModuleType, is_async: bool, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts go through, whatever becomes of our references to them."""
    monkeypatch.setattr(Body, "add", faulty)
    monkeypatch.setattr(call, "WHOLE", 100)
    assert send(lib, is_async, mock(lib, STREAM), "iter_raw") == STREAM
    assert health.counters()["call_feed"] > 0
    assert watched.one.outcome == "aborted"


def test_a_fault_at_the_head_of_the_answer(
    lib: ModuleType, is_async: bool, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that cannot be tapped is the application's as it is; its call ends as unknown."""
    monkeypatch.setattr(_transport._Tap, "__init__", faulty)
    assert send(lib, is_async, mock(lib, STREAM), "iter_raw") == STREAM
    assert watched.one.outcome == "unknown"
    assert health.counters()["tap"] == 1


def test_an_answer_that_somebody_else_consumed(lib: ModuleType, watched: Watched) -> None:
    """A transport that reads the answer's raw parts itself leaves nothing to read for us, and is not disturbed."""

    class Reading(lib.BaseTransport):  # type: ignore[name-defined,misc]
        def handle_request(self, request: Any) -> Any:
            response = mock(lib, STREAM).handle_request(request)
            assert list(response.iter_raw()) == STREAM
            return response

    client = lib.Client(transport=Reading())
    with client, client.stream("POST", URL, content=STREAMED_REQUEST) as response:
        assert response.status_code == 200
    assert watched.one.outcome == "unknown"


def test_a_fault_of_the_draining_thread(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that cannot be priced is kept without a cost, and does not hold up the others."""
    prices, watched.meter.prices = watched.meter.prices, Prices()  # not loaded: the draining thread prices
    send(httpx2, False, mock(httpx2, STREAM))
    with track(price_as="gpt-4o"):
        send(httpx2, False, mock(httpx2, STREAM))
    watched.meter.prices = prices
    plain = pending.cost_of

    def cost_of(prices: Any, provider: str, model: str, *args: Any, **kwargs: Any) -> Any:
        return faulty() if kwargs["price_as"] else plain(prices, provider, model, *args, **kwargs)

    monkeypatch.setattr(pending, "cost_of", cost_of)
    first, second = watched.events
    assert (first.cost_source, first.units) == ("usage", {"text": (100, 20)})
    assert (second.cost_source, second.cost, second.units) == ("none", None, {"text": (100, 20)})
    assert second.reason == "the call could not be priced: a fault of payi-middleware, see its log"
    assert health.counters()["pricing"] == 1


def test_texts_that_our_reader_fails_on(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call keeps its rough counts."""
    route = named("openai").route("POST", "/v1/chat/completions")
    assert route is not None
    broken = replace(route.endpoint, texts=faulty)
    monkeypatch.setitem(named("openai").routes, ("POST", "/v1/chat/completions"), route._replace(endpoint=broken))
    send(httpx2, False, mock(httpx2, STREAM[:2]))
    assert (watched.one.reason or "").endswith("; counted by length")
    assert health.counters()["texts"] == 1


def test_a_record_of_another_version() -> None:
    """It is left out, counted, and holds up nothing."""
    junk = b"\x02" + bytes(16) + msgspec.msgpack.encode(["another", "version"])
    assert pending.finished([junk, b"\x03"], Prices()) == []
    assert health.counters()["record_unreadable"] == 2
    health.reset()
