"""A server for a file's tests, and Pay-i's clients for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import payi
import pytest
import stores
from servers import Blocking, Server

_ANYWHERE = (
    "test_client",
    "test_ingest",
    "test_limits",
    "test_limits_beyond",
    "test_instance_limits",
    "test_applications",
)
"""The files whose tests are run on each kind of database."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Where the server's store is, unless a file has a server of its own."""
    if "server" in metafunc.fixturenames and not hasattr(metafunc.module, "server"):
        kinds = stores.KINDS if metafunc.module.__name__.rpartition(".")[2] in _ANYWHERE else stores.KINDS[:1]
        metafunc.parametrize("server", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for the tests of a file: each uses names of its own."""
    folder = tmp_path_factory.mktemp("server")
    stores.place(folder, request.param)
    with Server(folder) as running:
        yield running


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Blocking]:
    """Pay-i's client, of an application of the test's own."""
    key = server.key("admin", f"{request.node.name}")
    if request.param == "sync":
        with payi.Payi(base_url=server.url, api_key=key, max_retries=0, _strict_response_validation=True) as plain:
            yield Blocking(plain, None)
        return
    loop = asyncio.new_event_loop()
    waiting = payi.AsyncPayi(base_url=server.url, api_key=key, max_retries=0, _strict_response_validation=True)
    yield Blocking(waiting, loop)
    loop.run_until_complete(waiting.close())
    loop.close()
