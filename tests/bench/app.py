"""The application under test, plain or with the middleware: python app.py plain|payi PORT PROVIDER_PORT FOLDER."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

MESSAGES: Any = [
    {"role": "system", "content": "You are a helpful assistant. " * 20},
    {"role": "user", "content": "Tell me about the fox. " * 60},
]


def build(kind: str, provider: str, folder: str) -> Starlette:
    client = AsyncOpenAI(api_key="sk-none", base_url=f"http://{provider}/v1", max_retries=0)

    async def ping(request: Request) -> Response:
        return PlainTextResponse("pong")

    async def chat(request: Request) -> Response:
        reply = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        return PlainTextResponse(reply.choices[0].message.content or "")

    async def stream(request: Request) -> Response:
        parts = await client.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )

        async def texts() -> AsyncIterator[str]:
            async for part in parts:
                if part.choices and (text := part.choices[0].delta.content):
                    yield text

        return StreamingResponse(texts(), media_type="text/plain")

    async def spent(request: Request) -> Response:
        if kind == "payi":
            from payi_middleware.meter import default_meter

            default_meter().flush()
        return JSONResponse({"cpu": time.process_time()})

    app = Starlette(
        routes=[Route("/ping", ping), Route("/chat", chat), Route("/stream", stream), Route("/spent", spent)]
    )
    if kind == "payi":
        from payi_middleware import PayiMiddleware

        app.add_middleware(
            PayiMiddleware,
            store=f"sqlite:///{folder}/payi.db",
            hosts={provider: "openai"},
            trusted_hosts=("127.0.0.1",),
        )
    return app


if __name__ == "__main__":
    kind, port, provider_port, folder = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})  # the driver and the provider have the other core
    uvicorn.run(
        build(kind, f"127.0.0.1:{provider_port}", folder),
        host="127.0.0.1", port=int(port), log_level="warning", access_log=False, timeout_keep_alive=600,
    )  # fmt: skip
