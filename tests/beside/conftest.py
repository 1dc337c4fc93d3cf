from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeAlias

import httpx
import pytest
from exchanges import LIBRARIES

from payi_middleware import uninstrument

Fetch: TypeAlias = Callable[..., Any]

PATCHABLE = [
    (owner, name)
    for lib in LIBRARIES.values()
    for owner, name in (
        (lib.Client, "_transport_for_url"),
        (lib.AsyncClient, "_transport_for_url"),
        (lib.Client, "send"),
        (lib.AsyncClient, "send"),
        (lib.HTTPTransport, "handle_request"),
        (lib.AsyncHTTPTransport, "handle_async_request"),
    )
]


@pytest.fixture(autouse=True)
def _nothing_left_patched() -> Iterator[None]:
    """Once our hook is removed, both libraries are as they were, whoever patched what in between."""
    before = [owner.__dict__[name] for owner, name in PATCHABLE]
    yield
    uninstrument()
    after = [owner.__dict__[name] for owner, name in PATCHABLE]
    left = [f"{owner.__module__}.{owner.__name__}.{name}" for owner, name in PATCHABLE]
    assert [name for name, was, now in zip(left, before, after, strict=True) if was is not now] == []


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def fetch(request: pytest.FixtureRequest) -> Fetch:
    """`fetch(url, body, lib=httpx, **more)`: the streamed answer to a POST by a client of its own, sync or async."""

    def fetched(url: str, body: bytes, lib: ModuleType = httpx, **more: Any) -> Any:
        if request.param:
            return asyncio.run(_fetch_async(url, body, lib, more))
        with lib.Client(trust_env=False) as client, client.stream("POST", url, content=body, **more) as response:
            response.read()
            return response

    return fetched


async def _fetch_async(url: str, body: bytes, lib: ModuleType, more: Any) -> Any:
    async with lib.AsyncClient(trust_env=False) as client, client.stream("POST", url, content=body, **more) as response:
        await response.aread()
        return response
