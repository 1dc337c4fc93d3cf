"""One library over another: the outermost face has the exchange, and it is one event."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context, copy_context
from types import ModuleType
from typing import Any

import aiohttp
import boto3
import botocore.awsrequest
import botocore.config
import botocore.endpoint
import botocore.httpsession
import httpx
import openai
import pytest
import requests
import requests.adapters
import urllib3
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, Watched
from google import genai
from google.genai import types
from loopback import PATH, Loopback, Reply
from msgspec.structs import replace

from payi_middleware import Limit, PayiTransport, current, instrument, track, uninstrument
from payi_middleware import aiohttp as aiohttp_face
from payi_middleware import urllib3 as urllib3_face
from payi_middleware.call import owner as sending
from payi_middleware.demo.standin import StandIn, usage_for
from payi_middleware.providers import Reading, Route, named
from payi_middleware.providers.base import Facts


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the inner faces were shown, to prove that they were asked and kept silent."""
    shown: list[Any] = []
    for face in (aiohttp_face, urllib3_face):

        def seen(*args: Any, original: Any = face._seen) -> Any:
            shown.append(original(*args))
            return shown[-1]

        monkeypatch.setattr(face, "_seen", seen)
    return shown


def is_silent(shown: list[Any]) -> bool:
    return bool(shown) and not any(seen[0] if isinstance(seen, tuple) else seen for seen in shown)


@pytest.mark.parametrize("stream", [False, True])
def test_requests_over_urllib3(stream: bool, loopback: Loopback, seen: Watched, inner: list[Any]) -> None:
    """Streamed or not."""
    loopback.replies = [Reply(STREAM if stream else [ANSWER])]
    with requests.Session() as session:
        session.trust_env = False
        body = STREAMED_REQUEST if stream else REQUEST
        answer = session.post(loopback.url, data=body, stream=stream, headers={"xProxy-User-ID": "jane"})
        assert answer.content
    assert is_silent(inner)
    assert (seen.one.units, seen.one.user_id) == ({"text": (100, 20)}, "jane")


def bedrock(loopback: Loopback) -> Any:
    """Bedrock's client, led by a handler to a path that the server answers."""
    client = boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"http://{loopback.host}",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=botocore.config.Config(proxies={}, retries={"total_max_attempts": 1}),
    )
    client.meta.events.register("before-call", lambda params, **more: params.update(url=loopback.url))
    return client


def test_botocore_over_urllib3(loopback: Loopback, seen: Watched, inner: list[Any]) -> None:
    """boto3's client of Bedrock."""
    client = bedrock(loopback)
    assert client.invoke_model(modelId="m", body=REQUEST)["body"].read() == ANSWER
    client.close()
    assert is_silent(inner)
    assert seen.one.units == {"text": (100, 20)}


class AiohttpTransport(httpx.AsyncBaseTransport):
    """httpx over aiohttp, as httpx-aiohttp has it."""

    def __init__(self) -> None:
        self.session = aiohttp.ClientSession(auto_decompress=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url, content = str(request.url), request.content
        answer = await self.session.request(request.method, url, data=content, headers=request.headers)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Parts(answer))

    async def aclose(self) -> None:
        await self.session.close()


class _Parts(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self.answer.content.iter_chunked(1 << 14):
            yield part

    async def aclose(self) -> None:
        self.answer.release()


@pytest.mark.parametrize("stream", [False, True])
async def test_httpx_over_aiohttp(stream: bool, loopback: Loopback, seen: Watched, inner: list[Any]) -> None:
    """Streamed or not."""
    loopback.replies = [Reply(STREAM if stream else [ANSWER])]
    async with httpx.AsyncClient(transport=AiohttpTransport()) as client:
        await client.post(loopback.url, content=STREAMED_REQUEST if stream else REQUEST)
    assert is_silent(inner)
    assert (seen.one.units, seen.one.streamed) == ({"text": (100, 20)}, stream)


async def test_a_payi_transport_over_aiohttp(loopback: Loopback, unhooked: Watched, inner: list[Any]) -> None:
    """One client, wrapped by hand, beside the hook."""
    unhooked.meter.hosts._known["127.0.0.1"] = unhooked.meter.hosts.find(httpx.URL("https://api.openai.com"))
    instrument(unhooked.meter)
    async with httpx.AsyncClient(transport=PayiTransport(AiohttpTransport(), unhooked.meter)) as client:
        await client.post(loopback.url, content=REQUEST)
    assert is_silent(inner)
    assert unhooked.one.units == {"text": (100, 20)}


@pytest.fixture
def asked(unhooked: Watched, standin: StandIn) -> Iterator[Watched]:
    """The stand-in as OpenAI, hooked, its requests forgotten."""
    standin.clear()
    instrument(unhooked.meter)
    yield unhooked
    standin.clear()


@pytest.mark.parametrize("read_later", [False, True])
async def test_what_a_connection_keeps(read_later: bool, loopback: Loopback, seen: Watched) -> None:
    """asyncio keeps the context in which it made a connection as long as the connection: nothing asked is kept with it."""
    kept: list[Context] = []

    class Keeping(AiohttpTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            kept.append(copy_context())  # as `loop.add_reader` does
            return await super().handle_async_request(request)

    if read_later:  # results of a batch, too many to be read at once
        line = {"custom_id": "1", "response": {"status_code": 200, "body": json.loads(ANSWER)}, "error": None}
        loopback.replies = [Reply([json.dumps(line).encode() + b"\n"] * 1000)]
    async with httpx.AsyncClient(transport=Keeping()) as client:
        method, path = ("GET", "/v1/files/file-1/content") if read_later else ("POST", PATH)
        await client.request(method, f"http://{loopback.host}{path}", content=REQUEST)
        assert seen.one.units == {"text": (100_000, 20_000) if read_later else (100, 20)}
        call = kept[0][sending]
        assert call is not None
        assert (call.exchange.body, dict(call.headers)) == (None, {})


async def test_the_openai_sdk_over_aiohttp(asked: Watched, standin: StandIn, inner: list[Any]) -> None:
    """Its own aiohttp client, streamed and not."""
    if not hasattr(openai, "DefaultAioHttpClient"):
        pytest.skip("an openai without an aiohttp client")
    chat: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me."}]}
    client = openai.AsyncOpenAI(
        base_url=standin.url + "/v1", api_key="none", http_client=openai.DefaultAioHttpClient(trust_env=False)
    )
    async with client:
        await client.chat.completions.create(**chat, extra_headers={"xProxy-User-ID": "jane"})
        async for _ in await client.chat.completions.create(
            **chat, stream=True, stream_options={"include_usage": True}
        ):
            pass
    assert is_silent(inner)
    assert [(e.outcome, e.cost_source, e.streamed) for e in asked.events] == [
        ("ok", "usage", False),
        ("ok", "usage", True),
    ]
    assert asked.events[0].user_id == "jane"
    assert "xproxy-user-id" not in standin.requests[0].headers


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # aiohttp's, of the SDK's session
def test_google_genai_over_aiohttp(standin: StandIn) -> None:
    """Its async client uses aiohttp directly, where it is installed: generateContent, streamed and not."""
    standin.clear()
    watched = Watched(hosts={standin.host: "google"})
    instrument(watched.meter)
    client = genai.Client(api_key="none", http_options=types.HttpOptions(base_url=standin.url))
    ask: Any = {"model": "gemini-2.5-flash", "contents": "Tell me about the fox."}
    sessions: list[Any] = []

    async def run() -> None:
        await client.aio.models.generate_content(**ask)
        sessions.append(await client._api_client._get_aiohttp_session())
        async for _ in await client.aio.models.generate_content_stream(**ask):
            pass
        await client.aio.aclose()

    with track(user_id="jane"):
        asyncio.run(run())
    client.close()
    assert isinstance(sessions[0], aiohttp.ClientSession)
    assert len(standin.requests) == len(watched.events) == 2
    for sent, event in zip(standin.requests, watched.events, strict=True):
        tokens = usage_for(sent.path, sent.json())
        assert (event.outcome, event.cost_source, event.user_id) == ("ok", "usage", "jane")
        assert sum(sides[0] for sides in event.units.values()) == tokens.input
        assert sum(sides[1] for sides in event.units.values()) == tokens.output
    assert [e.streamed for e in watched.events] == [False, True]
    watched.meter.close()


class Bridge(httpx.BaseTransport):
    """A transport that sends by another library."""

    def __init__(self, library: ModuleType) -> None:
        self.library = library

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.library is requests:
            answer = requests.post(str(request.url), data=request.content, timeout=5)
            return httpx.Response(answer.status_code, content=answer.content)
        raw = urllib3.request("POST", str(request.url), body=request.content)
        return httpx.Response(raw.status, content=raw.data)


@pytest.mark.parametrize("library", [requests, urllib3])
def test_httpx_over_others(library: ModuleType, loopback: Loopback, seen: Watched) -> None:
    """A transport of the application's own that sends by a blocking library."""
    with httpx.Client(transport=Bridge(library)) as client:
        client.post(loopback.url, content=REQUEST, headers={"xProxy-User-ID": "jane"})
    assert (seen.one.units, seen.one.user_id) == ({"text": (100, 20)}, "jane")


def by_requests(loopback: Loopback) -> None:
    requests.post(loopback.url + "?key=secret", data=REQUEST, timeout=5)


def by_urllib3(loopback: Loopback) -> None:
    urllib3.request("POST", loopback.url + "?key=secret", body=REQUEST)


def by_botocore(loopback: Loopback) -> None:
    client = bedrock(loopback)
    client.invoke_model(modelId="m", body=REQUEST)["body"].read()
    client.close()


def by_aiohttp(loopback: Loopback) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as client:
            async with client.post(loopback.url + "?key=secret", data=REQUEST) as answer:
                await answer.read()

    asyncio.run(ask())


def by_httpx(loopback: Loopback) -> None:
    httpx.post(loopback.url + "?key=secret", content=REQUEST, trust_env=False)


TRANSCRIPT = b'{"text": "hi", "usage": {"type": "duration", "seconds": 60}}'
GATEWAYS = {
    "cloudflare-gateway": "/v1/account/gateway/openai/audio/transcriptions",
    "litellm": "/openai/v1/audio/transcriptions",
    "portkey": "/v1/proxy/openai/v1/audio/transcriptions",
    "pydantic-gateway": "/proxy/openai/v1/audio/transcriptions",
}


class StreamingTransport(AiohttpTransport):
    """httpx over aiohttp, with a body that aiohttp reads as it sends it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.session.post(str(request.url), data=request.stream, headers=request.headers)
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Parts(answer))


def form_by_httpx_over_aiohttp(url: str) -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(transport=StreamingTransport()) as client:
            await client.post(url, data={"model": "whisper-1"}, files={"file": ("a.wav", b"RIFF", "audio/wav")})

    asyncio.run(ask())


def parts_by_requests(url: str) -> None:
    assert requests.post(url, data=iter([b"RIFF"]), timeout=5).content == TRANSCRIPT


def file_by_urllib3_tried_again(url: str) -> None:
    target = urllib3.util.parse_url(url)
    retries = urllib3.Retry(2, backoff_factor=0, allowed_methods=None, status_forcelist=[503])
    with urllib3.HTTPConnectionPool(str(target.host), target.port, retries=retries) as pool:
        assert pool.urlopen("POST", str(target.path), io.BytesIO(b"RIFF")).data == TRANSCRIPT


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("ask", [form_by_httpx_over_aiohttp, parts_by_requests, file_by_urllib3_tried_again])
def test_a_body_that_cannot_be_seen_on_its_way_through_a_gateway(
    ask: Callable[[str], None], gateway: str, loopback: Loopback
) -> None:
    """The path names whose the exchange is to the inner face as it did to the outer one: it is one event."""
    seen = Watched(hosts={loopback.host: gateway})
    instrument(seen.meter)
    loopback.replies = [Reply([TRANSCRIPT])]
    if ask is file_by_urllib3_tried_again:
        loopback.replies.insert(0, Reply([], status=503))
    with track(user_id="jane"):
        ask(f"http://{loopback.host}{GATEWAYS[gateway]}")
        assert (current().calls, current().pending) == (1, 0)
    assert (seen.one.provider, seen.one.units) == ("openai", {"audio_second": (60, 0)})
    seen.meter.close()


@pytest.mark.parametrize("ask", [by_requests, by_urllib3, by_botocore, by_aiohttp, by_httpx])
def test_what_a_face_tells_besides_the_answer(
    ask: Callable[[Loopback], None], loopback: Loopback, seen: Watched
) -> None:
    """The host, the path without its query, the request, and the answer's headers by lower-case name: alike in all."""
    told: list[Facts] = []

    def refine(reading: Reading, facts: Facts) -> Reading:
        told.append(facts)
        return reading

    chat = named("openai").route("POST", PATH)
    assert chat is not None
    route = Route(replace(chat.endpoint, refine=refine))
    provider = replace(named("openai"), find_route=lambda method, path: route, routes={})
    seen.meter.hosts._known["127.0.0.1"] = provider
    loopback.replies = [Reply(headers={"X-Amzn-Bedrock-Input-Token-Count": "100"})]
    ask(loopback)
    assert seen.one.outcome == "ok"
    (facts,) = told
    assert (facts.host, facts.path, facts.request, facts.answer) == ("127.0.0.1", PATH, REQUEST, ANSWER)
    assert facts.headers.get("x-amzn-bedrock-input-token-count") == "100"
    assert facts.headers.get("x-nothing") is None


class Sending(requests.adapters.BaseAdapter):
    """Sends by httpx with a `PayiTransport` inside, for requests and for botocore."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        transport = PayiTransport(httpx.MockTransport(lambda sent: httpx.Response(200, content=ANSWER)), watched.meter)
        self.client = httpx.Client(transport=transport)

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        got = self.client.post(request.url, content=request.body)
        if isinstance(request, requests.PreparedRequest):
            answer = requests.Response()
            answer.status_code, answer.url = got.status_code, request.url or ""
            answer._content = got.content
            return answer
        return botocore.awsrequest.AWSResponse(request.url, 200, {}, io.BytesIO(got.content))

    def close(self) -> None:
        self.client.close()


def test_a_transport_that_takes_over(loopback: Loopback, seen: Watched) -> None:
    """A `PayiTransport` inside of another library's sending has the exchange, attempt by attempt."""
    with requests.Session() as session:
        session.mount("http://", Sending(seen))
        assert session.post(loopback.url, data=REQUEST).content == ANSWER
    client = bedrock(loopback)
    client._endpoint.http_session = Sending(seen)
    assert client.invoke_model(modelId="m", body=REQUEST)["body"].read() == ANSWER
    client.close()
    assert [e.units for e in seen.events] == [{"text": (100, 20)}] * 2


async def test_hooks_that_others_patched_over_do_nothing_when_undone(
    loopback: Loopback, seen: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Theirs goes on calling ours, which is to be as if it were not there."""
    for owner, name in (
        (aiohttp.BaseConnector, "connect"),
        (requests.Session, "get_adapter"),
        (urllib3.HTTPConnectionPool, "urlopen"),
        (botocore.endpoint.Endpoint, "_send"),
        (botocore.endpoint.Endpoint, "create_request"),
    ):
        ours: Any = owner.__dict__[name]

        def theirs(*args: Any, ours: Any = ours, **options: Any) -> Any:
            return ours(*args, **options)

        monkeypatch.setattr(owner, name, theirs)
    uninstrument()

    def blocking() -> None:
        assert requests.post(loopback.url, data=REQUEST, timeout=5).content == ANSWER
        assert urllib3.request("POST", loopback.url, body=REQUEST).data == ANSWER
        client = bedrock(loopback)
        assert client.invoke_model(modelId="m", body=REQUEST)["body"].read() == ANSWER
        client.close()

    await asyncio.to_thread(blocking)
    async with aiohttp.ClientSession() as client, client.post(loopback.url, data=REQUEST) as answer:
        assert await answer.read() == ANSWER
    assert (len(loopback.asked), seen.events) == (4, [])


async def test_aiohttp_in_front_of_a_thread(loopback: Loopback, seen: Watched) -> None:
    """Different exchanges at the same time in different libraries are each an event."""

    def blocking() -> None:
        requests.post(loopback.url, data=REQUEST, timeout=5)
        urllib3.request("POST", loopback.url, body=REQUEST)

    async def awaiting() -> None:
        async with aiohttp.ClientSession() as client, client.post(loopback.url, data=REQUEST) as answer:
            await answer.read()

    with track(user_id="jane"):
        await asyncio.gather(asyncio.to_thread(blocking), awaiting(), awaiting())
    assert [e.user_id for e in seen.events] == ["jane"] * 4


async def test_many_at_once(loopback: Loopback, seen: Watched) -> None:
    """Threads and tasks together, on shared sessions: each call is its own user's, once."""
    session, pool = requests.Session(), urllib3.PoolManager(maxsize=8)

    def blocking(user: int) -> None:
        with track(user_id=f"thread-{user}"):
            assert session.post(loopback.url, data=REQUEST, timeout=30).content == ANSWER
            assert pool.request("POST", loopback.url, body=REQUEST).data == ANSWER

    async def awaiting(client: aiohttp.ClientSession, user: int) -> None:
        with track(user_id=f"task-{user}"):
            for _ in range(2):
                async with client.post(loopback.url, data=REQUEST) as answer:
                    assert await answer.read() == ANSWER

    async with aiohttp.ClientSession() as client:
        threads = [asyncio.to_thread(blocking, user) for user in range(20)]
        await asyncio.gather(*threads, *(awaiting(client, user) for user in range(20)))
    session.close()
    pool.clear()
    assert Counter(e.user_id for e in seen.events) == {
        f"{kind}-{user}": 2 for kind in ("thread", "task") for user in range(20)
    }
    assert {(e.outcome, e.attempt) for e in seen.events} == {("ok", 1)}


def test_an_adapter_that_asks_another(loopback: Loopback, seen: Watched) -> None:
    """What is asked beside the exchange that is being sent (a guard) is a call of its own."""

    class Guarded(requests.adapters.HTTPAdapter):
        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            urllib3.request(
                "POST", f"http://{loopback.host}/v1/embeddings", body=b'{"model": "text-embedding-3-small"}'
            )
            return super().send(request, *args, **options)

    with requests.Session() as session:
        session.mount("http://", Guarded())
        session.post(loopback.url, data=REQUEST)
    assert sorted(e.endpoint for e in seen.events) == [PATH, "/v1/embeddings"]


class Tagging(requests.adapters.HTTPAdapter):
    """Adds a field to what it sends: to the very request, or to a copy; it may read the answer itself."""

    def __init__(self, *, copies: bool = False, reads: bool = False) -> None:
        super().__init__()
        self.copies = copies
        self.reads = reads

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        request = request.copy() if self.copies else request
        request.prepare_body(json.dumps(json.loads(request.body) | {"user": "team"}), None)
        answer = super().send(request, *args, **options)
        if self.reads:
            assert answer.content
        return answer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("copies", [False, True])
def test_an_adapter_that_changes_the_body(
    copies: bool, reads: bool, stream: bool, loopback: Loopback, seen: Watched
) -> None:
    """urllib3 beneath takes it for another request, but the answer is one: it is one event, and nothing stays in flight."""
    loopback.replies = [Reply(STREAM if stream else [ANSWER])]
    with requests.Session() as session, track(user_id="jane"):
        session.mount("http://", Tagging(copies=copies, reads=reads))
        session.post(loopback.url, data=STREAMED_REQUEST if stream else REQUEST, stream=stream).content
        assert (current().calls, current().pending) == (1, 0)
        assert str(current().cost) == "0.0000270000"
    assert b'"team"' in loopback.asked[0].body
    assert (seen.one.outcome, seen.one.units, seen.one.user_id) == ("ok", {"text": (100, 20)}, "jane")


def test_a_limit_of_calls_whose_body_an_adapter_changes(loopback: Loopback) -> None:
    """Each call is held and counted once: as many go out as the limit allows."""
    seen = Watched(hosts={loopback.host: "openai"}, limits=[Limit("three", 3, unit="calls")])
    instrument(seen.meter)
    with requests.Session() as session:
        session.mount("http://", Tagging())
        told = [session.post(loopback.url, data=REQUEST).status_code for _ in range(4)]
    assert (told[:3], len(loopback.asked)) == ([200] * 3, 3)
    assert [e.outcome for e in seen.events] == ["ok"] * 3 + ["blocked"]
    seen.meter.close()


@pytest.mark.parametrize("reads", [False, True])
def test_a_session_of_botocore_that_changes_the_body(reads: bool, loopback: Loopback, seen: Watched) -> None:
    """The same with botocore's own sessions, which read what is no stream."""

    class Session(botocore.httpsession.URLLib3Session):
        def send(self, request: Any) -> Any:
            request.body = json.dumps(json.loads(request.body) | {"user": "team"}).encode()
            request.headers["content-length"] = str(len(request.body))
            answer = super().send(request)
            return answer if not reads or answer.content == ANSWER else None

    client = bedrock(loopback)
    client._endpoint.http_session = Session()
    assert client.invoke_model(modelId="m", body=REQUEST)["body"].read() == (b"" if reads else ANSWER)
    client.close()
    assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})
