"""A user's suite that mocks httpx with pytest-httpx and looks at its calls with our fixture."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

pytest.importorskip("pytest_httpx")

import pytest_httpx
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, URL

from payi_middleware import Meter, track
from payi_middleware.demo.standin import StandIn
from payi_middleware.testing import Events

Fetch = Callable[..., Any]
COST = Decimal("0.000027")


@pytest.mark.parametrize("order", [("payi_events", "httpx_mock"), ("httpx_mock", "payi_events")])
def test_either_fixture_first(order: tuple[str, str], fetch: Fetch, request: pytest.FixtureRequest) -> None:
    """Whichever fixture comes first, the mock answers, and the call is an event with its cost."""
    fixtures = {name: request.getfixturevalue(name) for name in order}
    fixtures["httpx_mock"].add_response(method="POST", url=URL, content=ANSWER)
    with track(user_id="jane"):
        assert fetch(URL, REQUEST).content == ANSWER
    assert len(fixtures["httpx_mock"].get_requests()) == 1
    assert fixtures["payi_events"].one(user_id="jane", outcome="ok").attempt == 1
    assert fixtures["payi_events"].cost == COST


def test_a_streamed_answer(fetch: Fetch, payi_events: Events, httpx_mock: Any) -> None:
    """An answer in parts is priced by the usage at its end."""
    httpx_mock.add_response(url=URL, stream=pytest_httpx.IteratorStream(STREAM))
    assert fetch(URL, STREAMED_REQUEST).content == b"".join(STREAM)
    event = payi_events.one(outcome="ok")
    assert (event.streamed, event.cost_source, payi_events.cost) == (True, "usage", COST)


def test_an_error_that_is_mocked(fetch: Fetch, payi_events: Events, httpx_mock: Any) -> None:
    """The mock's error reaches the application as it is, and the call is an event that failed."""
    httpx_mock.add_exception(httpx.ReadTimeout("too slow"))
    with pytest.raises(httpx.ReadTimeout, match="too slow"):
        fetch(URL, REQUEST)
    assert (payi_events.one().error_type, payi_events.cost) == ("ReadTimeout", 0)


@pytest.mark.httpx_mock(assert_all_requests_were_expected=False)
def test_a_call_without_a_response(fetch: Fetch, payi_events: Events, httpx_mock: Any) -> None:
    """The failure that tells of an unexpected request is pytest-httpx's own."""
    with pytest.raises(httpx.TimeoutException, match="No response can be found for POST request"):
        fetch(URL, REQUEST)
    assert len(httpx_mock.get_requests()) == 1
    assert payi_events.one().error_type == "TimeoutException"


@pytest.mark.httpx_mock(should_mock=lambda request: request.url.host != "127.0.0.1")
def test_passing_through(fetch: Fetch, payi_events: Events, httpx_mock: Any) -> None:
    """A request that is not mocked and one that is are one event each."""
    httpx_mock.add_response(url=URL, content=ANSWER)
    with StandIn() as standin, Meter("sqlite:///:memory:", hosts={standin.host: "openai"}) as meter:
        with track(meter=meter):
            assert fetch(URL, REQUEST).content == ANSWER
            assert fetch(f"{standin.url}/v1/chat/completions", REQUEST).json()["usage"]
        assert len(standin.requests) == len(httpx_mock.get_requests()) == 1
        assert [event.cost_source for event in payi_events] == ["usage", "usage"]


def test_the_headers_that_a_mock_sees(fetch: Fetch, payi_events: Events, httpx_mock: Any) -> None:
    """xProxy headers of a call are taken off before the mock sees it, and tell of its user; other headers stay."""
    httpx_mock.add_response(url=URL, content=ANSWER)
    fetch(URL, REQUEST, headers={"xProxy-User-ID": "jane", "x-mine": "yes"})
    seen = httpx_mock.get_request().headers
    assert not [name for name in seen if name.lower().startswith("xproxy-")]
    assert seen["x-mine"] == "yes"
    assert payi_events.one().user_id == "jane"
