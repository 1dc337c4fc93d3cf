"""Small answers in the providers' own formats, built here."""

from __future__ import annotations

import json
from typing import Any

from payi_middleware.providers import Asked, Endpoint, Reading, find
from payi_middleware.providers.base import Facts

__all__ = ["body", "endpoint", "events", "exchanged", "facts", "named_events", "openai_usage"]


def body(value: Any) -> bytes:
    """A JSON body as the providers write it."""
    return json.dumps(value, separators=(",", ":")).encode()


def events(*values: Any, done: bool = True, newline: str = "\n") -> bytes:
    """A stream of unnamed events, with `[DONE]` at its end."""
    parts = [f"data: {json.dumps(value)}{newline}{newline}" for value in values]
    return "".join([*parts, f"data: [DONE]{newline}{newline}" if done else ""]).encode()


def named_events(*values: dict[str, Any]) -> bytes:
    """A stream of events named after their `type`."""
    return "".join(f"event: {value['type']}\ndata: {json.dumps(value)}\n\n" for value in values).encode()


def endpoint(host: str, path: str) -> Endpoint:
    """The endpoint behind a POST."""
    provider = find(host)
    assert provider is not None, host
    route = provider.route("POST", path)
    assert route is not None, path
    return route.endpoint


def facts(
    request: bytes | None = None,
    path: str = "/",
    *,
    host: str = "",
    headers: dict[str, str] | None = None,
    answer: bytes = b"",
    streamed: bool = False,
) -> Facts:
    """What is known of an exchange besides its answer."""
    return Facts(host, path, request, Asked(), headers or {}, answer, streamed)


def openai_usage(prompt: int = 100, completion: int = 30, *, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """Usage of a chat completion."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def exchanged(
    host: str,
    path: str,
    answer: bytes,
    request: Any = None,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
) -> Reading:
    """What a whole exchange tells, the request and the answer's headers included."""
    provider = find(host)
    assert provider is not None, host
    route = provider.route(method, path)
    assert route is not None, path
    sent = request if isinstance(request, bytes) or request is None else body(request)
    asked = route.endpoint.ask(sent) if sent else Asked()
    streamed = answer.startswith((b"data:", b"event:"))
    reading = route.endpoint.read_stream(answer) if streamed else route.endpoint.read(answer)
    facts = Facts(host, path, sent, asked, headers or {}, answer, streamed)
    if route.endpoint.refine is not None:
        reading = route.endpoint.refine(reading, facts)
    if reading.firsts and route.endpoint.refine_firsts is not None:
        reading = route.endpoint.refine_firsts(reading, facts)
    return reading
