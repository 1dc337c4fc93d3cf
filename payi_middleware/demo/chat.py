"""The demo's Flask application: a chat with customers, with a cached handbook, a tool and a streamed answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Flask, Request, Response, request, stream_with_context

from .. import Meter, use_case
from ..flask import Payi
from .clients import Clients

__all__ = ["make_app"]

HANDBOOK = (
    "Parcels that are late are paid back after the third working day, unless the customer lives on an island. " * 220
)
"""About 5,000 tokens: the least that Anthropic's small models cache is 4,096."""

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "order_status",
        "description": "Where an order is",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def who(connection: Request) -> dict[str, str | None]:
    """Who is speaking; a real application would know it from its login."""
    return {"user_id": connection.headers.get("X-User"), "account_name": connection.headers.get("X-Tenant")}


def make_app(meter: Meter, clients: Clients) -> Flask:
    """The application."""
    app = Flask("chat")
    Payi(app, meter, identify=who)

    @app.post("/chat")
    @use_case("Customer-Chat", step="answer")
    def chat() -> dict[str, str]:
        assert clients.anthropic
        turns: list[str] = request.get_json()["turns"]
        messages: Any = [{"role": "assistant" if n % 2 else "user", "content": turn} for n, turn in enumerate(turns)]
        answer = clients.anthropic.messages.create(
            model="claude-haiku-4-5",
            max_tokens=200,
            system=[{"type": "text", "text": HANDBOOK, "cache_control": {"type": "ephemeral"}}],
            messages=messages,
        )
        return {"answer": "".join(block.text for block in answer.content if block.type == "text")}

    @app.post("/chat/order")
    @use_case("Customer-Chat", step="look-up")
    def order() -> dict[str, str]:
        assert clients.openai
        messages: list[Any] = [{"role": "user", "content": request.get_json()["text"]}]
        for _ in range(3):  # the model may ask more than once, but not for ever
            answer = clients.openai.chat.completions.create(
                model="gpt-4.1-mini", messages=messages, tools=[TOOL], max_completion_tokens=200
            )
            message = answer.choices[0].message
            if not message.tool_calls:
                return {"answer": message.content or ""}
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                messages.append({"role": "tool", "tool_call_id": call.id, "content": "It left Lyon this morning."})
        return {"answer": "I cannot tell."}

    @app.post("/chat/stream")
    @use_case("Customer-Chat", step="answer")
    def stream() -> Response:
        text = request.get_json()["text"]

        def parts() -> Iterator[str]:
            assert clients.openai
            for chunk in clients.openai.chat.completions.create(
                model="gpt-4.1-mini",
                messages=[{"role": "user", "content": text}],
                max_completion_tokens=200,
                stream=True,  # without include_usage, as most applications do: the cost is an estimate
            ):
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content

        return Response(stream_with_context(parts()), mimetype="text/plain")

    return app
