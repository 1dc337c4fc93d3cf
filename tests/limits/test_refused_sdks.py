"""What the providers' own SDKs make of a call that a limit refuses: their own error, after one try, and no request goes out."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import aiohttp
import anthropic
import boto3
import botocore.exceptions
import cohere
import cohere.core
import groq
import httpx
import httpx2
import openai
import pytest
import requests
import urllib3
from exchanges import Watched
from google import genai
from google.genai import errors, types
from loopback import Loopback
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

from payi_middleware import LimitReached, PayiTransport, track

FOX: Any = [{"role": "user", "content": "Tell me about the fox."}]


def of_openai(url: str, is_async: bool, stream: bool) -> Any:
    kind = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(base_url=f"{url}/v1", api_key="none").chat.completions.create(
        model="gpt-4o", messages=FOX, stream=stream
    )


def of_responses(url: str, is_async: bool, stream: bool) -> Any:
    kind = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(base_url=f"{url}/v1", api_key="none").responses.create(model="gpt-4o", input="Tell me.", stream=stream)


def of_anthropic(url: str, is_async: bool, stream: bool) -> Any:
    kind = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    return kind(base_url=url, api_key="none").messages.create(
        model="claude-haiku-4-5", max_tokens=50, messages=FOX, stream=stream
    )


def of_groq(url: str, is_async: bool, stream: bool) -> Any:
    kind = groq.AsyncGroq if is_async else groq.Groq
    return kind(base_url=url, api_key="none").chat.completions.create(
        model="openai/gpt-oss-20b", messages=FOX, stream=stream
    )


def of_google(url: str, is_async: bool, stream: bool) -> Any:
    options = types.HttpOptions(base_url=url, retry_options=types.HttpRetryOptions(attempts=3))
    client = genai.Client(api_key="none", http_options=options)
    models: Any = client.aio.models if is_async else client.models
    make = models.generate_content_stream if stream else models.generate_content
    made = make(model="gemini-2.5-flash", contents="Tell me about the fox.")
    return _all_of(made, client) if is_async else list(made) if stream else made


async def _all_of(made: Any, client: Any) -> Any:
    try:
        found = await made
        if hasattr(found, "__aiter__"):
            return [part async for part in found]
        return found
    finally:
        await client.aio.aclose()


def of_cohere(url: str, is_async: bool, stream: bool) -> Any:
    if is_async:
        return _cohere_async(url, stream)
    client = cohere.ClientV2(api_key="none", base_url=url)
    if stream:
        return list(client.chat_stream(model="command-a-03-2025", messages=FOX))
    return client.chat(model="command-a-03-2025", messages=FOX)


async def _cohere_async(url: str, stream: bool) -> Any:
    client = cohere.AsyncClientV2(api_key="none", base_url=url)
    if stream:
        return [part async for part in client.chat_stream(model="command-a-03-2025", messages=FOX)]
    return await client.chat(model="command-a-03-2025", messages=FOX)


def of_mistral(url: str, is_async: bool, stream: bool) -> Any:
    chat = Mistral(api_key="none", server_url=url).chat
    if is_async:
        return (chat.stream_async if stream else chat.complete_async)(model="mistral-small-latest", messages=FOX)
    return (chat.stream if stream else chat.complete)(model="mistral-small-latest", messages=FOX)


def of_boto3(url: str, is_async: bool, stream: bool) -> Any:
    client = boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    converse = client.converse_stream if stream else client.converse
    return converse(
        modelId="us.amazon.nova-pro-v1:0", messages=[{"role": "user", "content": [{"text": "Tell me about the fox."}]}]
    )


SDKS: list[tuple[str, Callable[[str, bool, bool], Any], type[Exception], tuple[bool, ...]]] = [
    ("openai", of_openai, openai.BadRequestError, (False, True)),
    ("openai", of_responses, openai.BadRequestError, (False, True)),
    ("anthropic", of_anthropic, anthropic.BadRequestError, (False, True)),
    ("groq", of_groq, groq.BadRequestError, (False, True)),
    ("google", of_google, errors.ClientError, (False, True)),
    ("cohere", of_cohere, cohere.core.ApiError, (False, True)),
    ("mistral", of_mistral, SDKError, (False, True)),
    ("aws", of_boto3, botocore.exceptions.ClientError, (False,)),
]
CASES = [
    pytest.param(name, make, error, is_async, id=f"{make.__name__}{'-async' * is_async}")
    for name, make, error, ways in SDKS
    for is_async in ways
]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(("name", "make", "error", "is_async"), CASES)
def test_each_sdk_raises_its_own_error(
    name: str,
    make: Callable[[str, bool, bool], Any],
    error: type[Exception],
    is_async: bool,
    provider: Loopback,
    limited: Callable[..., Watched],
) -> None:
    """Streamed or not: one try, no request, one event without a cost; and the error tells which limit it was."""
    watched = limited(name)

    async def awaited(stream: bool) -> Any:
        made = make(url, True, stream)
        return await made if inspect.isawaitable(made) else made

    url = provider.url.removesuffix("/v1/chat/completions")
    for stream in (False, True):
        with track(user_id="jane", account_name="acme"), pytest.raises(error) as raised:
            asyncio.run(awaited(stream)) if is_async else make(url, False, stream)

        found = LimitReached.of(raised.value)
        assert found is not None
        assert (found.limit.name, found.limit.unit, found.limit.max, found.why) == ("full", "tokens", 1, "reached")
        assert "full" in found.message
        event = watched.events[-1]
        assert len(watched.events) == 1 + stream
        assert (event.outcome, event.error_type, event.cost, event.attempt) == ("blocked", "limit_reached", None, 1)
        assert event.limits == {found.limit.limit_id: "blocked"}
        assert (event.ledger or "").startswith("memory:")
        assert found.request_id == event.to_dict()["event_id"]
    assert provider.asked == []


BODY = {"model": "gpt-4o", "messages": FOX}


def by_requests(url: str) -> tuple[int, Any, Any]:
    answer = requests.post(url, json=BODY, stream=True, timeout=5)
    return answer.status_code, answer.headers, answer.json()


def by_urllib3(url: str) -> tuple[int, Any, Any]:
    answer = urllib3.PoolManager().request("POST", url, json=BODY)
    return answer.status, answer.headers, answer.json()


def by_urllib3_streamed(url: str) -> tuple[int, Any, Any]:
    answer = urllib3.PoolManager().request("POST", url, json=BODY, preload_content=False)
    return answer.status, answer.headers, urllib3.HTTPResponse(body=b"".join(answer.stream(100))).json()


def by_httpx(url: str) -> tuple[int, Any, Any]:
    with httpx.Client(trust_env=False) as client, client.stream("POST", url, json=BODY) as answer:
        answer.read()
        return answer.status_code, answer.headers, answer.json()


def by_httpx2_async(url: str) -> tuple[int, Any, Any]:
    async def ask() -> tuple[int, Any, Any]:
        async with httpx2.AsyncClient(trust_env=False) as client, client.stream("POST", url, json=BODY) as answer:
            lines = [line async for line in answer.aiter_lines()]
            return answer.status_code, answer.headers, httpx2.Response(200, content="".join(lines)).json()

    return asyncio.run(ask())


def by_payi_transport(url: str) -> tuple[int, Any, Any]:
    with httpx2.Client(transport=PayiTransport(httpx2.HTTPTransport()), trust_env=False) as client:
        answer = client.post(url, json=BODY)
        return answer.status_code, answer.headers, answer.json()


def by_aiohttp(url: str) -> tuple[int, Any, Any]:
    async def ask() -> tuple[int, Any, Any]:
        async with aiohttp.ClientSession() as session, session.post(url, json=BODY) as answer:
            return answer.status, answer.headers, await answer.json()

    return asyncio.run(ask())


def by_aiohttp_with_one_connection(url: str) -> tuple[int, Any, Any]:
    """Refused calls take no connection of a session that has but one, and leave none in its pool."""

    async def ask() -> tuple[int, Any, Any]:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            answers = [await session.post(url, json=BODY) for _ in range(3)]
            read = [(answer.status, answer.headers, await answer.json()) for answer in answers]
            assert not connector._conns
        return read[-1]

    return asyncio.run(ask())


LIBRARIES = [
    by_requests,
    by_urllib3,
    by_urllib3_streamed,
    by_httpx,
    by_httpx2_async,
    by_payi_transport,
    by_aiohttp,
    by_aiohttp_with_one_connection,
]


def test_each_library_answers_as_pay_i_does(provider: Loopback, limited: Callable[..., Watched]) -> None:
    """In the library's own class, with the body of Pay-i's proxy."""
    watched = limited()
    for ask in LIBRARIES:
        with track(user_id="jane", account_name="acme", request_tags=["a"]):
            status, headers, body = ask(provider.url)

        event = watched.events[-1]
        (limit_id,) = event.limits
        assert (status, headers["content-type"], headers["x-should-retry"]) == (400, "application/json", "false"), ask
        assert body["statusCode"] == 400
        assert body["xproxy_error"] == {"code": "limit_reached", "message": body["message"]}
        result = body["xproxy_result"]
        told = result.pop("blocked_limits")
        assert result == {
            "request_id": event.to_dict()["event_id"],
            "limits": {limit_id: {"state": "blocked"}},
            "blocked_limit_ids": [limit_id],
            "request_tags": ["a"],
            "user_id": "jane",
            "account_name": "acme",
            "resource_id": "gpt-4o",
        }
        assert [(one["name"], one["spent"], one["max"]) for one in told] == [("full", "0", "1")]
    assert provider.asked == []
