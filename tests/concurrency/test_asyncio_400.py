"""400 requests in the event loop of the test, all under way before any asks, through the real OpenAI SDK and plain httpx."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import crowd
import httpx2
import pytest
from fiveways import AsyncClients, asgi
from mocked import stored

from payi_middleware import Meter
from payi_middleware.demo.standin import StandIn

pytestmark = pytest.mark.slow

INPUT, OUTPUT = Decimal("0.15") / 1_000_000, Decimal("0.60") / 1_000_000
"""USD a token of gpt-4o-mini, input and output."""


async def visit(provider: StandIn, meter: Meter, mode: str) -> None:
    clients = AsyncClients(provider.url)
    app = asgi(clients, mode, meter, together=crowd.USERS)
    name = "xProxy-User-ID" if mode == "header" else "x-user"
    transport = httpx2.ASGITransport(app, client=("127.0.0.1", 40000))
    async with httpx2.AsyncClient(transport=transport, base_url="http://app.test", timeout=None) as visitor:

        async def one(number: int) -> None:
            path = f"/{crowd.CASES[number % len(crowd.CASES)]}/{number}"
            answer = await visitor.post(path, headers={name: crowd.user(number)})
            assert answer.status_code == 200
            assert f'"prompt_tokens":{10 * (number + 1) + 4}'.encode() in answer.content.replace(b" ", b"")

        await asyncio.gather(*map(one, range(crowd.USERS)))
    await clients.aclose()


@pytest.mark.parametrize("mode", crowd.MODES)
def test_each_of_five_calls_is_on_its_user(tmp_path: Path, mode: str) -> None:
    """However the user is known, each of 2,000 calls is on its user and use case and costs what its own tokens cost."""
    with (
        StandIn() as provider,
        Meter(
            f"sqlite:///{tmp_path}/payi.db",
            hosts={provider.host: "openai"},
            trusted_hosts=("127.0.0.1",) if mode == "header" else (),
        ) as meter,
    ):
        asyncio.run(visit(provider, meter, mode))
        assert meter.flush(60)
        asked = provider.requests
        events = stored(tmp_path)

    crowd.check(events)
    for event in events:
        into, out = event.units["text"]
        assert event.cost is not None
        assert event.cost.total == into * INPUT + out * OUTPUT
    assert len(asked) == crowd.USERS * crowd.CALLS
    assert not [name for seen in asked for name in seen.headers if name.startswith("xproxy")]
