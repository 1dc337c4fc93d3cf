"""Calls to a provider that answers from within the process, and what the store made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from payi_middleware import Meter, instrument, track
from payi_middleware.events import CallEvent
from payi_middleware.store import open_store

__all__ = ["COST", "URL", "answer", "ask", "client", "instrumented", "open_stream", "stored", "users"]

URL = "https://api.openai.com/v1/chat/completions"
COST = Decimal("0.000021")
"""USD of one answer: 100 tokens in at 0.15 and 10 out at 0.60 a million."""


def answer(request: httpx2.Request) -> httpx2.Response:
    """A chat completion of 100 and 10 tokens; a stream without an end if the request asks for one."""
    if json.loads(request.content).get("stream"):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=_events())
    return httpx2.Response(
        200,
        json={
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        },
    )


def _events() -> Iterator[bytes]:
    for number in range(1000):
        yield b'data: {"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % number


def client() -> httpx2.Client:
    """A client that never leaves the process."""
    return httpx2.Client(transport=httpx2.MockTransport(answer))


def instrumented(folder: Path | str, **settings: Any) -> Meter:
    """A meter on the store `payi.db` of a folder, with the hook in place."""
    meter = Meter(f"sqlite:///{folder}/payi.db", **settings)
    instrument(meter)
    return meter


def ask(asking: httpx2.Client, user: str, **given: Any) -> None:
    """One call for a user."""
    with track(user_id=user, **given):
        asking.post(URL, json={"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Are you there?"}]})


def open_stream(asking: httpx2.Client, user: str) -> httpx2.Response:
    """A call for a user that is in flight until its answer is closed."""
    with track(user_id=user):
        body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "Count."}]}
        return asking.send(asking.build_request("POST", URL, json=body), stream=True)


def stored(folder: Path | str) -> list[CallEvent]:
    """What stands in the store `payi.db` of a folder."""
    with open_store(f"sqlite:///{folder}/payi.db", create=False) as store:
        return list(store.events())


def users(folder: Path | str, outcome: str = "ok") -> list[str]:
    """The users of the stored calls with an outcome, sorted, one a call."""
    return sorted(event.user_id or "" for event in stored(folder) if event.outcome == outcome)
