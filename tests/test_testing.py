"""The pytest plugin, in suites of its own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

HEAD = """
from decimal import Decimal

import httpx2
import pytest
from mocked import ask, client
from payi_middleware.testing import Events, payi_events
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite in a folder of its own, run in this process."""
    for name in ("PAYI_STORE", "PAYI_SPOOL_DIR", "PAYI_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def run(suite: pytest.Pytester, tests: str, **outcomes: int) -> pytest.RunResult:
    suite.makepyfile(HEAD + tests)
    result = suite.runpytest_inprocess("-p", "no:randomly", "-p", "no:asyncio", "-p", "no:cacheprovider", "-W", "error")
    result.assert_outcomes(**outcomes)
    assert not list(suite.path.glob("payi.db*"))
    return result


def test_events_of_a_test(suite: pytest.Pytester) -> None:
    """The fixture tells the calls of its own test, in order, with their cost; the next test begins with none."""
    run(
        suite,
        """
def test_calls(payi_events):
    with client() as asking:
        ask(asking, "jane")
        ask(asking, "tom")

    event = payi_events.one(user_id="jane", outcome="ok")
    assert event.resource == "gpt-4o-mini-2024-07-18"
    assert [event.user_id for event in payi_events] == ["jane", "tom"]
    assert payi_events.all(user_id="tom", http_status=200) == [list(payi_events)[1]]
    assert payi_events.all(endpoint="/v1/chat/completions", started_ns=event.started_ns) == [event]
    assert payi_events.one(event_id=event.event_id) == payi_events.one(event_id=event.to_dict()["event_id"]) == event
    assert payi_events.all(request_tags=[]) == payi_events.all(request_tags=()) == list(payi_events)
    assert len(payi_events) == 2
    assert payi_events.cost == Decimal("0.000042")

def test_none(payi_events):
    assert len(payi_events) == 0
    assert payi_events.cost == 0
""",
        passed=2,
    )


def test_messages(suite: pytest.Pytester) -> None:
    """What does not match is told with what there is instead."""
    result = run(
        suite,
        """
def test_nothing(payi_events):
    payi_events.one(user_id="jane")

def test_two(payi_events):
    with client() as asking:
        ask(asking, "jane", account_name="acme")
        ask(asking, "jane")
    payi_events.one(user_id="jane", account_name="other")
""",
        failed=2,
    )
    result.stdout.fnmatch_lines(
        [
            "*0 events match {'user_id': 'jane'}, not one; there are:*",
            "*(none)*",
            "*0 events match {'user_id': 'jane', 'account_name': 'other'}, not one; there are:*",
            "*provider='openai', *outcome='ok', user_id='jane', use_case_name=None, account_name='acme'*",
        ]
    )


def test_hooks_are_removed(suite: pytest.Pytester) -> None:
    """After the fixture nothing is hooked, unless it was before; then it stays."""
    run(
        suite,
        """
from payi_middleware import Meter, instrument, uninstrument
from payi_middleware.instrumentation import hooked

def test_first(payi_events):
    assert hooked()

def test_second():
    assert not hooked()
    with Meter("sqlite:///:memory:", sinks=[]) as meter:
        instrument(meter)

def test_third(payi_events):
    with client() as asking:
        ask(asking, "jane")
    assert payi_events.one().user_id == "jane"

def test_fourth():
    assert hooked()
    uninstrument()
""",
        passed=4,
    )


@pytest.mark.parametrize("built", ["module", "test"])
def test_applications(built: str, suite: pytest.Pytester) -> None:
    """An application with settings of its own is caught, whether it is made with the module or in the test."""
    run(
        suite,
        f"""
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from payi_middleware import PayiMiddleware, use_case
from payi_middleware.meter import forget_default

@use_case("Page")
def page(request):
    with client() as asking:
        ask(asking, "jane")
    return PlainTextResponse("ok")

def application():
    settings = {{"application": "shop", "store": "sqlite:///payi.db"}}
    return PayiMiddleware(Starlette(routes=[Route("/", page)]), **settings)

app = application() if {built!r} == "module" else None

@pytest.mark.parametrize("n", [1, 2])
def test_page(n, payi_events):
    TestClient(app or application()).get("/")

    event = payi_events.one(use_case_name="Page")
    assert (event.application, event.user_id, event.inbound.http_route) == ("shop", "jane", "/")

def test_last():
    forget_default()
""",
        passed=3,
    )


def test_calls_outside_of_any_application(suite: pytest.Pytester) -> None:
    """Calls that no application or block is around are caught too."""
    run(
        suite,
        """
from payi_middleware.meter import existing_default

def test_script(payi_events):
    with client() as asking:
        asking.post("https://api.openai.com/v1/embeddings", json={"model": "text-embedding-3-small", "input": "x"})
    assert payi_events.one().user_id is None
    assert existing_default() is None
""",
        passed=1,
    )


def test_as_a_plugin() -> None:
    """The module is what the entry point of the distribution names."""
    from importlib import import_module
    from pathlib import Path

    project = Path(__file__).parent.parent / "pyproject.toml"
    assert 'payi_middleware = "payi_middleware.testing"' in project.read_text()
    assert import_module("payi_middleware.testing").__all__ == ["Events", "payi_events"]
