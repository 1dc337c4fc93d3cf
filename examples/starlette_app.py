"""A Starlette application that tells by itself who its users are.

pip install payi-middleware starlette uvicorn anthropic
ANTHROPIC_API_KEY=... python examples/starlette_app.py
curl -H 'X-User: jane' 'http://127.0.0.1:8000/chat?text=Hello'
payi report --by use-case
"""

from __future__ import annotations

import os

import anthropic
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from payi_middleware import PayiMiddleware, use_case

client = anthropic.AsyncAnthropic()


def who(connection: HTTPConnection) -> str | None:
    """Asked at most once a request, and only if it makes a call; an application would look into its session."""
    return connection.headers.get("x-user")


async def ask(text: str) -> str:
    """Calls the provider; knows nothing of users."""
    answer = await client.messages.create(
        model="claude-haiku-4-5", max_tokens=200, messages=[{"role": "user", "content": text}]
    )
    return "".join(block.text for block in answer.content if block.type == "text")


@use_case("Customer-Chat", step="file")
async def file(answer: str) -> None:
    """Runs after the response was sent, as the same instance of the use case."""
    await ask(f"Give this a title: {answer}")


@use_case("Customer-Chat", step="answer")
async def chat(request: Request) -> JSONResponse:
    """One call now, one in the background."""
    answer = await ask(request.query_params["text"])
    return JSONResponse({"answer": answer}, background=BackgroundTask(file, answer))


app = Starlette(routes=[Route("/chat", chat)], middleware=[Middleware(PayiMiddleware, identify=who)])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
