"""The ASGI middleware as type checkers see it; run nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_type

from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection

from payi_middleware import Attribution, Meter, PayiMiddleware
from payi_middleware.fastapi import PayiMiddleware as FastAPIMiddleware
from payi_middleware.fastapi import UseCase
from payi_middleware.starlette import PayiMiddleware as StarletteMiddleware

meter = Meter()


def who(connection: HTTPConnection) -> str | None:
    return connection.headers.get("x-user")


async def who_async(connection: HTTPConnection) -> Mapping[str, str]:
    return {"user_id": connection.headers["x-user"]}


def who_whole(connection: HTTPConnection) -> Attribution:
    return Attribution(user_id="jane", request_tags=("a",))


app = FastAPI()
app.add_middleware(PayiMiddleware)
app.add_middleware(PayiMiddleware, meter)
app.add_middleware(PayiMiddleware, meter, identify=who, cost_headers=True)
app.add_middleware(FastAPIMiddleware, identify=who_async, store="sqlite:///payi.db", trusted_hosts=("10.0.0.0/8",))
app.add_middleware(PayiMiddleware, setting="unknown")  # type: ignore[call-arg]
app.add_middleware(PayiMiddleware, meter="meter")  # type: ignore[arg-type]

starlette = Starlette(middleware=[Middleware(StarletteMiddleware, meter, identify=who_whole, flush="request")])
starlette.add_middleware(StarletteMiddleware, hosts={"127.0.0.1:9001": "openai"})

wrapped = PayiMiddleware(app, application="shop")
assert_type(wrapped, PayiMiddleware)
assert_type(wrapped.meter, Meter)
twice = PayiMiddleware(wrapped)
PayiMiddleware(app, flush="later")  # type: ignore[arg-type]
PayiMiddleware(app, identify="jane")  # type: ignore[arg-type]

router = APIRouter(dependencies=[Depends(UseCase("Summary", version=2, properties={"pages": 3}, tags="a,b"))])
UseCase("Summary", version="2")  # type: ignore[arg-type]
