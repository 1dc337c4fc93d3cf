"""A Flask application whose GenAI calls are attributed, priced and stored.

pip install payi-middleware flask openai
OPENAI_API_KEY=... python examples/flask_app.py
curl -H 'X-User: jane' 'http://127.0.0.1:8000/chat?text=Hello'
payi report --by user
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import openai
from flask import Flask, Request, Response, request

from payi_middleware import use_case
from payi_middleware.flask import Payi


def who(connection: Request) -> dict[str, str | None]:
    """Who is speaking; an application would look into its session. With flask_login nothing of this is needed."""
    return {"user_id": connection.headers.get("X-User"), "account_name": connection.headers.get("X-Tenant")}


app = Flask(__name__)
Payi(app, identify=who)
client = openai.OpenAI()


@app.get("/chat")
@use_case("Customer-Chat", step="answer")
def chat() -> dict[str, str]:
    """A plain answer."""
    answer = client.responses.create(model="gpt-4.1-mini", input=request.args["text"], max_output_tokens=200)
    return {"answer": answer.output_text}


@app.get("/chat/stream")
@use_case("Customer-Chat", step="answer")
def stream() -> Response:
    """A streamed answer, from a plain generator."""
    text = request.args["text"]

    def parts() -> Iterator[str]:
        with client.responses.stream(model="gpt-4.1-mini", input=text, max_output_tokens=200) as events:
            for event in events:
                if event.type == "response.output_text.delta":
                    yield event.delta

    return Response(parts(), mimetype="text/plain")


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
