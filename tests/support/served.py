"""The applications that servers run in tests: each request makes one call to the provider that `PROVIDER` names."""

from __future__ import annotations

import os
from typing import Any

import httpx2
from fastapi import FastAPI
from flask import Flask

from payi_middleware import PayiMiddleware, use_case
from payi_middleware.flask import Payi

__all__ = ["asgi", "wsgi"]

BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Are you there?"}]}


def _client() -> httpx2.Client:
    return httpx2.Client(base_url=os.environ["PROVIDER"], trust_env=False, timeout=30)


def asgi() -> FastAPI:
    """A FastAPI application; settings are the environment's."""
    app = FastAPI()
    app.add_middleware(PayiMiddleware)
    clients: list[httpx2.AsyncClient] = []

    @app.get("/ask")
    @use_case("Asked")
    async def ask() -> int:
        if not clients:
            clients.append(httpx2.AsyncClient(base_url=os.environ["PROVIDER"], trust_env=False, timeout=30))
        answer = await clients[0].post("/v1/chat/completions", json=BODY)
        return answer.status_code

    return app


def wsgi() -> Flask:
    """A Flask application; settings are the environment's."""
    app = Flask("served")
    Payi(app)
    clients: list[httpx2.Client] = []

    @app.get("/ask")
    @use_case("Asked")
    def ask() -> str:
        if not clients:
            clients.append(_client())
        return str(clients[0].post("/v1/chat/completions", json=BODY).status_code)

    return app
