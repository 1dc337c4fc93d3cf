"""The real SDKs, pointed at the stand-in or at the real providers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import anthropic
import openai
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from .standin import StandIn

__all__ = ["Clients", "live_clients", "standin_clients"]


@dataclass(frozen=True, slots=True)
class Clients:
    """What the applications call; None where `--live` found no key. As in any application, made once and shared."""

    openai: OpenAI | None
    async_openai: AsyncOpenAI | None
    anthropic: Anthropic | None
    async_anthropic: AsyncAnthropic | None

    def has(self, provider: str) -> bool:
        """Whether requests to `openai` or `anthropic` can be made."""
        return (self.openai if provider == "openai" else self.anthropic) is not None

    def close(self) -> None:
        """Let go of the connections."""
        for client in (self.openai, self.anthropic):
            if client:
                client.close()

    async def aclose(self) -> None:
        """Let go of the asynchronous clients' connections, in the loop that opened them."""
        for client in (self.async_openai, self.async_anthropic):
            if client:
                await client.close()


def standin_clients(for_openai: StandIn, for_anthropic: StandIn) -> Clients:
    """Clients of two stand-ins, heedless of a proxy in the environment: nothing leaves this machine."""
    base, key = for_openai.url + "/v1", "demo"
    return Clients(
        OpenAI(base_url=base, api_key=key, http_client=openai.DefaultHttpxClient(trust_env=False)),
        AsyncOpenAI(base_url=base, api_key=key, http_client=openai.DefaultAsyncHttpxClient(trust_env=False)),
        Anthropic(base_url=for_anthropic.url, api_key=key, http_client=anthropic.DefaultHttpxClient(trust_env=False)),
        AsyncAnthropic(
            base_url=for_anthropic.url, api_key=key, http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False)
        ),
    )


def live_clients(environ: Mapping[str, str] = os.environ) -> Clients:
    """Clients of the real providers whose keys the environment has."""
    with_openai, with_anthropic = bool(environ.get("OPENAI_API_KEY")), bool(environ.get("ANTHROPIC_API_KEY"))
    return Clients(
        OpenAI() if with_openai else None,
        AsyncOpenAI() if with_openai else None,
        Anthropic() if with_anthropic else None,
        AsyncAnthropic() if with_anthropic else None,
    )
