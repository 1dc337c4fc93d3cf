"""A provider on loopback, the real OpenAI SDK, and a meter that keeps its events in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from asking import Asking

from payi_middleware import Meter
from payi_middleware.demo.standin import StandIn
from payi_middleware.sinks.memory import MemorySink
from payi_middleware.testing import Events


@pytest.fixture(scope="session")
def running() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def standin(running: StandIn) -> StandIn:
    running.clear()
    return running


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def meter(standin: StandIn, sink: MemorySink) -> Iterator[Meter]:
    """Trusts 127.0.0.1, which is the peer of every test client that says so."""
    hosts = {standin.host: "openai"}
    with Meter(
        "sqlite:///:memory:", sinks=[sink], hosts=hosts, trusted_hosts=("127.0.0.1",), flush_interval=0.01
    ) as made:
        made.prices.load()
        yield made


@pytest.fixture
def events(sink: MemorySink) -> Events:
    return Events(sink)


@pytest.fixture
async def sdk(standin: StandIn) -> AsyncIterator[Asking]:
    made = Asking(standin)
    yield made
    await made.close()


@pytest.fixture
def blocking_sdk(standin: StandIn) -> Iterator[Asking]:
    """The same for tests without an event loop; only its synchronous half is used."""
    made = Asking(standin)
    yield made
    made.sync.close()
