"""What requests of a route have in common is worked out once; what one of them is told stays its own."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from asking import Asking
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from payi_middleware import Meter, PayiMiddleware, context
from payi_middleware.attribution import clean
from payi_middleware.testing import Events


async def test_what_a_thread_tells_meanwhile_is_for_its_request_alone(
    meter: Meter, events: Events, sdk: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`current().set` of another thread may come while the first call of a route is being attributed."""

    async def ask(request: Request) -> PlainTextResponse:
        await sdk.aask()
        return PlainTextResponse("asked")

    app = PayiMiddleware(Starlette(routes=[Route("/", ask)]), meter)
    real, told = app.source, []

    def source(request: Any) -> Any:
        found = real(request)
        if not told:
            frame = context.frame.get()
            assert frame is not None
            told.append(frame.activity.change(clean(user_id="jane")))
        return found

    monkeypatch.setattr(app, "source", source)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://web.test") as client:
        for _ in range(3):
            await client.get("/")

    assert [event.user_id for event in events][1:] == [None, None]
