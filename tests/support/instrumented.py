"""The same calls of the real SDKs, watched by Pay-i's instrumentation or by ours: `python -m instrumented theirs|ours OPENAI ANTHROPIC`.

Pay-i's server and key, or our store, are those of the environment.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def main() -> None:
    """Make the calls, and wait until they are told."""
    who, for_openai, for_anthropic = sys.argv[1:]
    (theirs if who == "theirs" else ours)(for_openai, for_anthropic)


def theirs(for_openai: str, for_anthropic: str) -> None:
    import payi
    from payi.lib.instrument import payi_instrument, track_context

    payi_instrument(payi=[payi.Payi(), payi.AsyncPayi()])  # an asynchronous call is told by the asynchronous client
    with track_context(user_id="jane", account_name="acme", request_properties={"source": "test"}):
        calls(for_openai, for_anthropic)
        asyncio.run(asynchronous(for_openai, for_anthropic))


def ours(for_openai: str, for_anthropic: str) -> None:
    from payi_middleware import Meter, instrument, track

    hosts = {for_openai.removeprefix("http://"): "openai", for_anthropic.removeprefix("http://"): "anthropic"}
    with Meter(hosts=hosts) as meter:
        instrument(meter)
        with track(user_id="jane", account_name="acme", request_properties={"source": "test"}):
            calls(for_openai, for_anthropic)
            asyncio.run(asynchronous(for_openai, for_anthropic))


def calls(for_openai: str, for_anthropic: str) -> None:
    """Each format whole and streamed, with cached and reasoning tokens, and failures with and without a status."""
    from anthropic import Anthropic
    from openai import OpenAI

    client = OpenAI(base_url=f"{for_openai}/v1", api_key="none", max_retries=0)
    chat: dict[str, Any] = {"model": "gpt-4o-mini", "messages": said("#input=1000 #cached=400 #output=100")}
    client.chat.completions.create(**chat)
    for _ in client.chat.completions.create(**chat, stream=True, stream_options={"include_usage": True}):
        pass
    client.responses.create(model="gpt-5-mini", input="#input=500 #output=200 #reasoning=64")
    client.embeddings.create(model="text-embedding-3-small", input="#input=90")
    failing(client.chat.completions.create, model="gpt-4o-mini", messages=said("#fail-429"))
    other = Anthropic(base_url=for_anthropic, api_key="none", max_retries=0)
    message: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 500}
    other.messages.create(**message, messages=said("#input=2000 #cached=1500 #written=300 #output=70"))
    for _ in other.messages.create(**message, messages=said("#input=800 #output=60"), stream=True):
        pass


async def asynchronous(for_openai: str, for_anthropic: str) -> None:
    """The asynchronous clients."""
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=f"{for_openai}/v1", api_key="none", max_retries=0) as client:
        await client.chat.completions.create(model="gpt-4o", messages=said("#input=300 #output=30"))  # type: ignore[arg-type]
    async with AsyncAnthropic(base_url=for_anthropic, api_key="none", max_retries=0) as other:
        await other.messages.create(
            model="claude-haiku-4-5",
            max_tokens=500,
            messages=said("#input=400 #output=40"),  # type: ignore[arg-type]
        )


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def failing(call: Any, **named: Any) -> None:
    try:
        call(**named)
    except Exception:
        return
    raise AssertionError("the call should have failed")


if __name__ == "__main__":
    main()
