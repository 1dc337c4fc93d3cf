"""The real OpenAI SDK, asking the stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai

from payi_middleware.demo.standin import StandIn
from payi_middleware.types import ASGIApp

__all__ = ["COST", "Asking", "browser", "ids"]

COST = 156_000
"""Ticks of `ask("#input=8")`: 8 tokens at 0.15 and 24 at 0.60 USD a million of gpt-4o-mini: 12,000 and 144,000."""


class Asking:
    """One question each, by both kinds of client; keywords go to the SDK."""

    def __init__(self, standin: StandIn) -> None:
        address = {"base_url": standin.url + "/v1", "api_key": "secret-key", "max_retries": 0}
        self.sync = openai.OpenAI(http_client=openai.DefaultHttpxClient(verify=False, trust_env=False), **address)  # type: ignore[arg-type]
        self.asynchronous = openai.AsyncOpenAI(
            http_client=openai.DefaultAsyncHttpxClient(verify=False, trust_env=False),
            **address,  # type: ignore[arg-type]
        )

    def ask(self, text: str = "Hello", **given: Any) -> None:
        """A call from code that cannot await."""
        self.sync.chat.completions.create(**_question(text), **given)

    async def aask(self, text: str = "Hello", **given: Any) -> None:
        """A call from a coroutine."""
        await self.asynchronous.chat.completions.create(**_question(text), **given)

    def parts(self, text: str = "Hello", **given: Any) -> Iterator[str]:
        """The parts of a streamed answer."""
        with self.sync.chat.completions.create(
            **_question(text), stream=True, stream_options=_USAGE, **given
        ) as stream:
            for chunk in stream:
                yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    async def aparts(self, text: str = "Hello", **given: Any) -> AsyncIterator[str]:
        """The same in a coroutine."""
        asked = self.asynchronous.chat.completions.create(
            **_question(text), stream=True, stream_options=_USAGE, **given
        )
        async with await asked as stream:
            async for chunk in stream:
                yield chunk.choices[0].delta.content or "" if chunk.choices else ""

    async def close(self) -> None:
        """Let go of the connections."""
        self.sync.close()
        await self.asynchronous.close()


_USAGE: Any = {"include_usage": True}


def _question(text: str) -> Any:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]}


def browser(app: ASGIApp, peer: str = "127.0.0.1") -> httpx2.AsyncClient:
    """A client of an ASGI application in this process and this event loop."""
    transport = httpx2.ASGITransport(app, client=(peer, 40000), raise_app_exceptions=False)  # type: ignore[arg-type]
    return httpx2.AsyncClient(transport=transport, base_url="http://app.test")


def ids(user: str, **more: str) -> dict[str, str]:
    """xProxy headers: the user's, and others by keyword (`usecase_name="Chat"`)."""
    return {f"xProxy-{name.replace('_', '-')}": value for name, value in {"user_id": user, **more}.items()}
