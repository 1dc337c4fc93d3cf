from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from exchanges import LIBRARIES, Watched
from loopback import Loopback

from payi_middleware import instrument
from payi_middleware.demo.standin import StandIn


@pytest.fixture(params=list(LIBRARIES))
def lib(request: pytest.FixtureRequest) -> ModuleType:
    """httpx and httpx2 in turn."""
    return LIBRARIES[request.param]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    """A sync and an async client in turn."""
    return bool(request.param)


@pytest.fixture(scope="session")
def standin() -> Iterator[StandIn]:
    """A provider on loopback."""
    with StandIn() as provider:
        yield provider


@pytest.fixture
def unhooked(standin: StandIn) -> Iterator[Watched]:
    """A meter that knows the stand-in as OpenAI, and nothing patched."""
    watched = Watched(hosts={standin.host: "openai"})
    yield watched
    watched.meter.close()


@pytest.fixture
def watched(unhooked: Watched) -> Watched:
    """The same with the hook installed."""
    instrument(unhooked.meter)
    return unhooked


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    """A server that answers what the test says."""
    with Loopback() as server:
        yield server


@pytest.fixture
def seen(loopback: Loopback) -> Iterator[Watched]:
    """A meter that knows that server as OpenAI, with the hook installed."""
    watched = Watched(hosts={loopback.host: "openai"})
    instrument(watched.meter)
    yield watched
    watched.meter.close()
