"""A user's suite that mocks httpx with respx and looks at its calls with our fixture."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

pytest.importorskip("respx")

import respx
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, URL, Parts

from payi_middleware import Meter, track
from payi_middleware.demo.standin import StandIn
from payi_middleware.testing import Events

Fetch = Callable[..., Any]
COST = Decimal("0.000027")


@pytest.mark.parametrize("order", [("payi_events", "respx_mock"), ("respx_mock", "payi_events")])
def test_either_fixture_first(order: tuple[str, str], fetch: Fetch, request: pytest.FixtureRequest) -> None:
    """Whichever fixture comes first, the route answers, and the call is an event with its cost."""
    fixtures = {name: request.getfixturevalue(name) for name in order}
    route = fixtures["respx_mock"].post(URL).respond(200, content=ANSWER)
    with track(user_id="jane"):
        assert fetch(URL, REQUEST).content == ANSWER
    assert route.call_count == 1
    assert fixtures["payi_events"].one(user_id="jane", outcome="ok").attempt == 1
    assert fixtures["payi_events"].cost == COST


def test_a_streamed_answer(fetch: Fetch, payi_events: Events) -> None:
    """An answer in parts is priced by the usage at its end."""
    with respx.mock() as router:
        router.post(URL).respond(200, stream=Parts(httpx, STREAM))
        assert fetch(URL, STREAMED_REQUEST).content == b"".join(STREAM)
    event = payi_events.one(outcome="ok")
    assert (event.streamed, event.cost_source, payi_events.cost) == (True, "usage", COST)


def test_an_error_that_is_mocked(fetch: Fetch, payi_events: Events) -> None:
    """The mock's error reaches the application as it is, and the call is an event that failed."""
    with respx.mock() as router:
        router.post(URL).mock(side_effect=httpx.ConnectError("refused"))
        with pytest.raises(httpx.ConnectError, match="refused"):
            fetch(URL, REQUEST)
    event = payi_events.one()
    assert (event.outcome, event.error_type, payi_events.cost) == ("error", "ConnectError", 0)


def test_a_call_without_a_route(fetch: Fetch, payi_events: Events) -> None:
    """The failure that tells of an unexpected request is respx's own."""
    with respx.mock(assert_all_called=False) as router:
        router.post("https://example.com/").respond(200)
        with pytest.raises(respx.models.AllMockedAssertionError):
            fetch(URL, REQUEST)
    assert payi_events.one().outcome == "error"


def test_a_route_that_nobody_called(payi_events: Events) -> None:
    """So is the failure that tells of an expected request that never came."""
    with pytest.raises(AssertionError, match="not called"), respx.mock() as router:
        router.post(URL).respond(200)
    assert len(payi_events) == 0


def test_passing_through(fetch: Fetch, payi_events: Events) -> None:
    """A request that respx lets through to a server is one event, not two."""
    with StandIn() as standin, Meter("sqlite:///:memory:", hosts={standin.host: "openai"}) as meter:
        with respx.mock() as router, track(meter=meter):
            route = router.route(host="127.0.0.1").pass_through()
            answer = fetch(f"{standin.url}/v1/chat/completions", REQUEST)
        assert route.called
        assert len(standin.requests) == 1
        assert payi_events.one(outcome="ok").units == {
            "text": (answer.json()["usage"]["prompt_tokens"], answer.json()["usage"]["completion_tokens"])
        }


def test_the_headers_that_a_route_sees(fetch: Fetch, payi_events: Events) -> None:
    """xProxy headers of a call are taken off before the mock sees it, and tell of its user; other headers stay."""
    with respx.mock() as router:
        route = router.post(URL).respond(200, content=ANSWER)
        fetch(URL, REQUEST, headers={"xProxy-User-ID": "jane", "x-mine": "yes"})
        seen = route.calls.last.request.headers
    assert not [name for name in seen if name.lower().startswith("xproxy-")]
    assert seen["x-mine"] == "yes"
    assert payi_events.one().user_id == "jane"


def test_in_the_place_of_our_method(fetch: Fetch, payi_events: Events) -> None:
    """With `using="httpx"` respx replaces the method that we hook: it answers, unseen; ours is back afterwards."""
    with respx.mock(using="httpx") as router:
        route = router.post(URL).respond(200, content=ANSWER)
        assert fetch(URL, REQUEST).content == ANSWER
        assert route.call_count == 1
    assert len(payi_events) == 0
    with respx.mock() as router:
        router.post(URL).respond(200, content=ANSWER)
        fetch(URL, REQUEST)
    assert len(payi_events) == 1
