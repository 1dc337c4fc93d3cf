"""The providers' own SDKs, sync and async, streamed or not, against a provider on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import groq
import openai
import pytest
from exchanges import Watched
from garbage import collect
from google import genai
from google.genai import types

from payi_middleware import current, instrument, track, uninstrument
from payi_middleware.demo.standin import StandIn, usage_for
from payi_middleware.events import CallEvent

FOX: Any = [{"role": "user", "content": "Tell me about the fox."}]


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """One for each test: each names it as another provider."""
    with StandIn() as provider:
        yield provider


@pytest.fixture
def watch(standin: StandIn) -> Iterator[Any]:
    """Makes a meter for which the stand-in is a provider, and hooks."""
    made: list[Watched] = []

    def watch(provider: str) -> Watched:
        made.append(Watched(hosts={standin.host: provider}))
        instrument(made[0].meter)
        return made[0]

    yield watch
    uninstrument()
    for watched in made:
        watched.meter.close()


def told(standin: StandIn, watched: Watched) -> list[CallEvent]:
    """The events, after a look whether each tells the very tokens that its request was answered with."""
    events = watched.events
    assert len(events) == len(standin.requests)
    for seen, event in zip(standin.requests, events, strict=True):
        tokens = usage_for(seen.path, seen.json())
        assert (event.outcome, event.cost_source, event.attempt) == ("ok", "usage", 1), event.to_json()
        assert sum(sides[0] for sides in event.units.values()) == tokens.input
        assert sum(sides[1] for sides in event.units.values()) == tokens.output
        assert event.cost is not None
        assert event.cost.total_ticks > 0
        assert event.user_id == "jane"
    return events


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_openai(is_async: bool, standin: StandIn, watch: Any) -> None:
    """Chat, streamed and not, raw and with an early end; responses and embeddings."""
    watched = watch("openai")
    chat: Any = {"model": "gpt-4o-mini", "messages": FOX}
    base: Any = {"base_url": standin.url + "/v1", "api_key": "none"}
    usage: Any = {"stream_options": {"include_usage": True}}

    def run() -> None:
        with openai.OpenAI(**base, http_client=openai.DefaultHttpxClient(trust_env=False)) as client:
            client.chat.completions.create(**chat)
            for _ in client.chat.completions.create(**chat, stream=True, **usage):
                pass
            with client.chat.completions.with_streaming_response.create(**chat, stream=True, **usage) as raw:
                assert list(raw.iter_lines())[-2:] == ["data: [DONE]", ""]
            client.chat.completions.with_raw_response.create(**chat).parse()
            client.responses.create(model="gpt-4o-mini", input="Tell me.")
            for _ in client.responses.create(model="gpt-4o-mini", input="Tell me.", stream=True):
                pass
            client.embeddings.create(model="text-embedding-3-small", input=["fox", "dog"])
            client.embeddings.create(model="text-embedding-3-small", input="fox", encoding_format="float")

    async def run_async() -> None:
        http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
        async with openai.AsyncOpenAI(**base, http_client=http_client) as client:
            await client.chat.completions.create(**chat)
            async for _ in await client.chat.completions.create(**chat, stream=True, **usage):
                pass
            async with client.chat.completions.with_streaming_response.create(**chat, stream=True, **usage) as raw:
                assert [line async for line in raw.iter_lines()][-2:] == ["data: [DONE]", ""]
            (await client.chat.completions.with_raw_response.create(**chat)).parse()
            await client.responses.create(model="gpt-4o-mini", input="Tell me.")
            async for _ in await client.responses.create(model="gpt-4o-mini", input="Tell me.", stream=True):
                pass
            await client.embeddings.create(model="text-embedding-3-small", input=["fox", "dog"])
            await client.embeddings.create(model="text-embedding-3-small", input="fox", encoding_format="float")

    with track(user_id="jane"):
        asyncio.run(run_async()) if is_async else run()
        assert (current().calls, current().pending, current().complete) == (8, 0, True)
        cost = current().cost
    events = told(standin, watched)
    assert [(e.endpoint, e.streamed) for e in events] == [
        ("/v1/chat/completions", False),
        ("/v1/chat/completions", True),
        ("/v1/chat/completions", True),
        ("/v1/chat/completions", False),
        ("/v1/responses", False),
        ("/v1/responses", True),
        ("/v1/embeddings", False),
        ("/v1/embeddings", False),
    ]
    assert cost == sum(e.cost.total for e in events if e.cost)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_anthropic(is_async: bool, standin: StandIn, watch: Any) -> None:
    """Messages, streamed and not, by the SDK's helper too, with a cached prompt."""
    watched = watch("anthropic")
    cached = [{"type": "text", "text": "You know foxes. " * 20, "cache_control": {"type": "ephemeral"}}]
    ask: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": FOX, "system": cached}
    base: Any = {"base_url": standin.url, "api_key": "none"}

    def run() -> None:
        with anthropic.Anthropic(**base, http_client=anthropic.DefaultHttpxClient(trust_env=False)) as client:
            client.messages.create(**ask)
            for _ in client.messages.create(**ask, stream=True):
                pass
            with client.messages.stream(**ask) as stream:
                assert stream.get_final_text()

    async def run_async() -> None:
        http_client = anthropic.DefaultAsyncHttpxClient(trust_env=False)
        async with anthropic.AsyncAnthropic(**base, http_client=http_client) as client:
            await client.messages.create(**ask)
            async for _ in await client.messages.create(**ask, stream=True):
                pass
            async with client.messages.stream(**ask) as stream:
                assert await stream.get_final_text()

    with track(user_id="jane"):
        asyncio.run(run_async()) if is_async else run()
    events = told(standin, watched)
    assert [e.streamed for e in events] == [False, True, True]
    assert all("text_cache_write" in e.units for e in events)


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # aiohttp's, of the SDK's session
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_google_genai(is_async: bool, standin: StandIn, watch: Any) -> None:
    """generateContent, streamed and not; the async client uses aiohttp where it is installed, else httpx2."""
    watched = watch("google")
    options = types.HttpOptions(
        base_url=standin.url, client_args={"trust_env": False}, async_client_args={"trust_env": False}
    )
    client = genai.Client(api_key="none", http_options=options)
    ask: Any = {"model": "gemini-2.5-flash", "contents": "Tell me about the fox."}

    async def run_async() -> None:
        await client.aio.models.generate_content(**ask)
        async for _ in await client.aio.models.generate_content_stream(**ask):
            pass
        await client.aio.aclose()

    with track(user_id="jane"):
        if is_async:
            asyncio.run(run_async())
        else:
            client.models.generate_content(**ask)
            for _ in client.models.generate_content_stream(**ask):
                pass
    client.close()
    events = told(standin, watched)
    assert [(e.streamed, e.resource) for e in events] == [(False, "gemini-2.5-flash"), (True, "gemini-2.5-flash")]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_groq(is_async: bool, standin: StandIn, watch: Any) -> None:
    """An SDK on httpx."""
    watched = watch("groq")
    ask: Any = {"model": "llama-3.3-70b-versatile", "messages": FOX}
    base: Any = {"base_url": standin.url, "api_key": "none"}

    async def run_async() -> None:
        async with groq.AsyncGroq(**base, http_client=groq.DefaultAsyncHttpxClient(trust_env=False)) as client:
            await client.chat.completions.create(**ask)

    with track(user_id="jane"):
        if is_async:
            asyncio.run(run_async())
        else:
            with groq.Groq(**base, http_client=groq.DefaultHttpxClient(trust_env=False)) as client:
                client.chat.completions.create(**ask)
    assert [e.provider for e in told(standin, watched)] == ["groq"]


def test_azure(standin: StandIn, watch: Any) -> None:
    """A deployment of the customer's naming."""
    watched = watch("azure")
    http_client = openai.DefaultHttpxClient(trust_env=False)
    with (
        openai.AzureOpenAI(
            azure_endpoint=standin.url, api_key="none", api_version="2024-10-21", http_client=http_client
        ) as client,
        track(user_id="jane"),
    ):
        client.chat.completions.create(model="janes-own", messages=[{"role": "user", "content": "#model=gpt-4o"}])
    (event,) = told(standin, watched)
    assert (event.resource, event.requested_resource, event.category) == ("gpt-4o", "janes-own", "system.azureopenai")


def test_a_stream_left_early(standin: StandIn, watch: Any) -> None:
    """Leaving an SDK's stream early aborts its call; leaving it after the last event does not."""
    watched = watch("openai")
    http_client = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=standin.url + "/v1", api_key="none", http_client=http_client) as client:
        with client.chat.completions.create(model="gpt-4o-mini", messages=FOX, stream=True) as stream:
            next(stream)
        del stream
        for chunk in client.chat.completions.create(
            model="gpt-4o-mini", messages=FOX, stream=True, stream_options={"include_usage": True}
        ):
            if chunk.usage:
                break
        collect()  # the SDK's stream and its generator hold each other
    events = watched.events
    assert [(e.outcome, e.cost_source) for e in events] == [("aborted", "estimate"), ("ok", "usage")]


def test_headers_of_the_call(standin: StandIn, watch: Any) -> None:
    """`extra_headers` tell for whom one call is made, and are not sent on."""
    watched = watch("openai")
    http_client = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=standin.url + "/v1", api_key="none", http_client=http_client) as client:
        headers = {"xProxy-User-ID": "john", "xProxy-Request-Tags": "a,b", "xProxy-Unknown": "x"}
        with track(user_id="jane"):
            client.chat.completions.create(model="gpt-4o-mini", messages=FOX, extra_headers=headers)
    assert (watched.one.user_id, watched.one.attribution.request_tags) == ("john", ("a", "b"))
    assert not [name for name in standin.requests[0].headers if name.startswith("xproxy")]
