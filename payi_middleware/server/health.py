"""Whether the server lives, whether it can do its work, and its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from ..exceptions import StoreError
from .errors import Answer, ApiError, problem
from .keys import Caller
from .serving import serving

__all__ = ["alive", "metrics_for", "ready"]

_SECONDS = 2.0  # that a probe may wait for the writer


async def alive(request: Request) -> Response:
    """`GET /healthz`: the process answers."""
    return Answer({"status": "ok"})


async def ready(request: Request) -> Response:
    """`GET /readyz`: the store was written just now."""
    try:
        async with asyncio.timeout(_SECONDS):
            await serving(request).writer.probe()
    except TimeoutError:
        return problem(503, "not ready", f"the writer did not answer within {_SECONDS:g} s")
    except (StoreError, ApiError) as error:
        return problem(503, "not ready", str(error))
    return Answer({"status": "ok"})


def metrics_for(
    caller: Callable[[Scope], Awaitable[Caller | None]], *, is_open: bool
) -> Callable[[Request], Awaitable[Response]]:
    """`GET /metrics`, for anybody where only this machine can ask, else for keys of role admin: it counts all applications."""

    async def metrics(request: Request) -> Response:
        if not is_open:
            who = await caller(request.scope)
            if who is None or who.role != "admin":
                return problem(401, "metrics take a key of role admin", headers={"WWW-Authenticate": "Bearer"})
        text = await run_in_threadpool(serving(request).metrics.text)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return metrics
