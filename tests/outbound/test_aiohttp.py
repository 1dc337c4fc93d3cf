"""aiohttp: what the application reads is what it would read without us, and each exchange is one event."""

from __future__ import annotations

import asyncio
import copy
import io
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from exchanges import ANSWER, REQUEST, STREAM, STREAMED_REQUEST, Watched, encoded, stream_of
from garbage import collect
from loopback import PATH, Asked, Loopback, Reply

from payi_middleware import PayiMiddleware, current, health, track, uninstrument
from payi_middleware import aiohttp as face

UNTOLD = stream_of(["The ", "fox"], usage=False, finish=False, done=False)
OPEN = threading.Event()
OPEN.set()


async def reads(answer: Any, read: Callable[[], Awaitable[bytes]]) -> list[bytes]:
    """Parts until there are none."""
    parts = []
    while part := await read():
        parts.append(part)
    return parts


async def exactly(content: Any) -> list[bytes]:
    parts = []
    try:
        while True:
            parts.append(await content.readexactly(11))
    except asyncio.IncompleteReadError as error:
        return [*parts, error.partial]


async def nowait(content: Any) -> list[bytes]:
    parts = [await content.read(1)]
    while not content.at_eof():
        await asyncio.sleep(0.001)
        parts.append(content.read_nowait())
    return parts


async def each(parts: Any) -> list[Any]:
    return [part async for part in parts]


async def one(reading: Awaitable[Any]) -> list[Any]:
    return [await reading]


WAYS: dict[str, Callable[[Any], Awaitable[list[Any]]]] = {
    "read": lambda answer: one(answer.read()),
    "text": lambda answer: one(answer.text()),
    "content.read": lambda answer: one(answer.content.read()),
    "content.read some": lambda answer: reads(answer, lambda: answer.content.read(7)),
    "readany": lambda answer: reads(answer, answer.content.readany),
    "readline": lambda answer: reads(answer, answer.content.readline),
    "readuntil": lambda answer: reads(answer, lambda: answer.content.readuntil(b"\n\n")),
    "readexactly": lambda answer: exactly(answer.content),
    "read_nowait": lambda answer: nowait(answer.content),
    "lines": lambda answer: each(answer.content),
    "iter_any": lambda answer: each(answer.content.iter_any()),
    "iter_chunked": lambda answer: each(answer.content.iter_chunked(7)),
    "iter_chunks": lambda answer: each(answer.content.iter_chunks()),
}
TIMED = (
    "readany",
    "iter_any",
    "iter_chunks",
    "iter_chunked",
    "content.read some",
    "read_nowait",
)  # here the wire itself decides what comes together


async def post(loopback: Loopback, read: Any, body: Any = STREAMED_REQUEST, **options: Any) -> Any:
    """What is read of an answer."""
    session = {
        name: options.pop(name) for name in list(options) if name in ("auto_decompress", "middlewares", "timeout")
    }
    async with aiohttp.ClientSession(**session) as client, client.post(loopback.url, data=body, **options) as answer:
        assert isinstance(answer, aiohttp.ClientResponse)
        assert isinstance(answer.content, aiohttp.StreamReader)
        return await read(answer)


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate", "br"])
@pytest.mark.parametrize("way", WAYS)
async def test_the_same_with_and_without_the_hook(
    way: str, coding: str, framing: str, loopback: Loopback, seen: Watched
) -> None:
    """Whatever the way of reading, the encoding and the framing, no part is changed, joined or missed."""
    body = encoded(coding, b"".join(STREAM))
    parts = [body[at : at + 37] for at in range(0, len(body), 37)]
    headers = {"content-encoding": coding, "content-type": "text/event-stream; charset=utf-8"}
    loopback.replies = [Reply(parts, headers=headers, framing=framing)]
    read = await post(loopback, WAYS[way])
    uninstrument()
    plain = await post(loopback, WAYS[way])
    if way in TIMED:
        read, plain = ([part if isinstance(part, bytes) else part[0] for part in got] for got in (read, plain))
        assert b"".join(read) == b"".join(plain)
    else:
        assert read == plain
    event = seen.one
    assert (event.outcome, event.cost_source, event.streamed) == ("ok", "usage", True)
    assert event.units == {"text": (100, 20)}
    assert event.duration_ns >= (event.first_byte_ns or 0) > 0


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_an_answer_that_stays_encoded(coding: str, loopback: Loopback, seen: Watched) -> None:
    """As an application may want it, for a session or for one request."""
    body = encoded(coding, ANSWER)
    loopback.replies = [Reply([body], headers={"content-encoding": coding})]
    assert await post(loopback, lambda answer: answer.read(), REQUEST, auto_decompress=False) == body
    assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})


async def test_json(loopback: Loopback, seen: Watched) -> None:
    """In and out, encoded by aiohttp itself."""
    loopback.replies = [
        Reply(headers={"content-type": "application/json", "content-encoding": "gzip"}, parts=[encoded("gzip", ANSWER)])
    ]
    async with aiohttp.ClientSession() as client, client.post(loopback.url, json={"model": "gpt-4o"}) as answer:
        assert (await answer.json())["usage"]
    assert (seen.one.requested_resource, seen.one.units, seen.one.outcome) == ("gpt-4o", {"text": (100, 20)}, "ok")


async def parts() -> Any:
    yield REQUEST


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (REQUEST, "gpt-4o-mini"),
        (REQUEST.decode(), "gpt-4o-mini"),
        (bytearray(REQUEST), "gpt-4o-mini"),
        (io.BytesIO(REQUEST), None),
        (parts, None),
        (None, None),
    ],
)
async def test_bodies(body: Any, model: str | None, loopback: Loopback, seen: Watched) -> None:
    """A body in memory is read; one that only aiohttp may read is left alone."""
    await post(loopback, lambda answer: answer.read(), body() if callable(body) else body)
    assert loopback.asked[0].body == (b"" if body is None else REQUEST)
    assert (seen.one.requested_resource, seen.one.units) == (model, {"text": (100, 20)})


async def test_a_body_that_is_compressed(loopback: Loopback, seen: Watched) -> None:
    """aiohttp compresses on the way out."""
    await post(loopback, lambda answer: answer.read(), REQUEST, compress="deflate")
    assert loopback.asked[0].body != REQUEST
    assert seen.one.requested_resource == "gpt-4o-mini"


async def test_parts_come_when_they_come(loopback: Loopback, seen: Watched) -> None:
    """The second part is not sent before the first has been read."""
    gate = threading.Event()
    loopback.replies = [Reply(STREAM, gates=[gate])]

    async def read(answer: Any) -> None:
        assert await answer.content.readany() == STREAM[0]
        await asyncio.sleep(0.01)
        gate.set()
        assert b"".join(await each(answer.content.iter_any())) == b"".join(STREAM[1:])

    await post(loopback, read)
    assert seen.one.outcome == "ok"
    assert seen.one.duration_ns - (seen.one.first_byte_ns or 0) > 5_000_000


async def test_the_first_part_of_what_is_read_at_once(loopback: Loopback, seen: Watched) -> None:
    """Its moment is known, though the application gets all of it together."""
    gate = threading.Event()
    loopback.replies = [Reply(STREAM, gates=[gate])]

    async def read(answer: Any) -> Any:
        while not answer.content.total_bytes:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, gate.set)
        return await answer.read()

    assert await post(loopback, read) == b"".join(STREAM)
    assert seen.one.duration_ns - (seen.one.first_byte_ns or 0) > 20_000_000


@pytest.mark.parametrize("way", ["close", "release", "with", "raise_for_status", "session"])
async def test_left_early(way: str, loopback: Loopback, seen: Watched) -> None:
    """What was received is counted, and the event says that it is an estimate."""
    loopback.replies = [Reply([*UNTOLD, b"."], gates=[OPEN, threading.Event()])]
    client = aiohttp.ClientSession()
    answer = await client.post(loopback.url, data=STREAMED_REQUEST)
    assert await answer.content.readexactly(len(UNTOLD[0])) == UNTOLD[0]
    if way == "with":
        async with answer:
            pass
    elif way == "session":
        await client.close()
        answer.release()
    elif way == "raise_for_status":
        answer.status = 500
        with pytest.raises(aiohttp.ClientResponseError):
            answer.raise_for_status()
    else:
        getattr(answer, way)()
        answer.close()
    await client.close()
    told = seen.one
    assert (told.outcome, told.error_type, told.cost_source) == ("aborted", None, "estimate")


async def test_an_answer_that_nobody_reads(loopback: Loopback, seen: Watched) -> None:
    """Nothing is known of it but its status."""

    async def read(answer: Any) -> int:
        return int(answer.status)

    assert await post(loopback, read) == 200
    assert (seen.one.outcome, seen.one.http_status, seen.one.cost_source) == ("aborted", 200, "none")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # aiohttp's own, of the connection
async def test_dropped(loopback: Loopback, seen: Watched) -> None:
    """An answer that nobody holds any more is held by aiohttp up to the end of its connection; then its call ends."""
    loopback.replies = [Reply([*UNTOLD, b"."], gates=[OPEN, threading.Event()])]
    async with aiohttp.ClientSession() as client:
        answer = await client.post(loopback.url, data=STREAMED_REQUEST)
        await answer.content.readany()
        del answer
    await asyncio.sleep(0.01)
    collect()
    assert (seen.one.outcome, seen.one.error_type, seen.one.cost_source) == ("aborted", None, "estimate")


async def test_closed_after_the_last_event(loopback: Loopback, seen: Watched) -> None:
    """The provider had said everything."""
    loopback.replies = [Reply(STREAM, gates=[OPEN] * (len(STREAM) - 1) + [threading.Event()])]

    async def read(answer: Any) -> None:
        async for line in answer.content:
            if b"[DONE]" in line:
                return

    await post(loopback, read)
    assert (seen.one.outcome, seen.one.cost_source) == ("ok", "usage")


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("way", ["read", "lines", "iter_chunks"])
async def test_broken_off(way: str, framing: str, loopback: Loopback, seen: Watched) -> None:
    """The application gets aiohttp's error, and the event its name."""
    loopback.replies = [Reply(UNTOLD, framing=framing, breaks=True)]
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(loopback, WAYS[way])
    assert (seen.one.outcome, seen.one.error_type) == ("error", "ClientPayloadError")


async def test_broken_off_before_anybody_reads_on(loopback: Loopback, seen: Watched) -> None:
    """An answer that broke while the application was busy, and is then closed."""
    loopback.replies = [Reply(UNTOLD, breaks=True)]

    async def read(answer: Any) -> None:
        await answer.content.readany()
        while answer.content.exception() is None:
            await asyncio.sleep(0.001)

    await post(loopback, read)
    assert (seen.one.outcome, seen.one.error_type) == ("error", "ClientPayloadError")


@pytest.mark.parametrize("when", ["answer", "body"])
@pytest.mark.parametrize("kind", ["total", "sock_read"])
async def test_too_slow(kind: str, when: str, loopback: Loopback, seen: Watched) -> None:
    """aiohttp's own timeouts."""
    gate = threading.Event()

    def sleepy(asked: Asked) -> Reply:
        if when == "answer":
            gate.wait(5)
        return Reply(UNTOLD, gates=[gate])

    loopback.replies = [sleepy]
    with pytest.raises(TimeoutError):
        await post(loopback, lambda answer: answer.read(), timeout=aiohttp.ClientTimeout(**{kind: 0.2}))
    gate.set()
    assert (seen.one.outcome, seen.one.http_status) == ("timeout", None if when == "answer" else 200)


async def test_a_read_that_is_given_up_may_be_tried_again(loopback: Loopback, seen: Watched) -> None:
    """A heartbeat that waits for the next line with a limit, and goes on: the call goes on with it."""
    gate = threading.Event()
    loopback.replies = [Reply(STREAM, gates=[gate])]

    async def read(answer: Any) -> None:
        assert await answer.content.readexactly(len(STREAM[0])) == STREAM[0]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.content.readline(), 0.01)
        gate.set()
        with pytest.raises(ValueError, match="eparator"):
            await answer.content.readuntil(b"")
        assert b"".join(await each(answer.content)) == b"".join(STREAM[1:])

    await post(loopback, read)
    assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})


@pytest.mark.parametrize("when", ["answer", "body"])
async def test_cancelled(when: str, loopback: Loopback, seen: Watched) -> None:
    """A task that is cancelled while it waits; the cancellation goes through."""
    gate = threading.Event()
    started = asyncio.Event()
    loop = asyncio.get_running_loop()

    def sleepy(asked: Asked) -> Reply:
        loop.call_soon_threadsafe(started.set)
        if when == "answer":
            gate.wait(5)
        return Reply(UNTOLD, gates=[OPEN, gate])

    loopback.replies = [sleepy]

    async def read(answer: Any) -> None:
        await answer.content.readany()
        reading.set()
        await answer.read()

    reading = asyncio.Event()
    task = asyncio.create_task(post(loopback, read))
    await (started if when == "answer" else reading).wait()
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert (seen.one.outcome, seen.one.http_status) == ("aborted", None if when == "answer" else 200)


async def test_no_answer(loopback: Loopback, seen: Watched) -> None:
    """A connection that ends without an answer, and one that cannot be made."""
    loopback.replies = [Reply(silent=True)]
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post(loopback, lambda answer: answer.read())
    loopback.close()
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(loopback, lambda answer: answer.read())
    assert [(e.outcome, e.error_type, e.cost_source) for e in seen.events] == [
        ("error", "ServerDisconnectedError", "none"),
        ("error", "ClientConnectorError", "none"),
    ]


async def test_sending_that_fails(loopback: Loopback, seen: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the connection and the answer."""

    async def fail(self: Any, connection: Any) -> Any:
        raise aiohttp.ClientOSError("gone")

    monkeypatch.setattr(aiohttp.ClientRequest, "send", fail)
    with pytest.raises(aiohttp.ClientOSError):
        await post(loopback, lambda answer: answer.read())
    collect()
    assert (seen.one.outcome, seen.one.http_status) == ("error", None)


async def test_redirects(loopback: Loopback, seen: Watched) -> None:
    """Each hop is an event of the same call; headers of the call tell for whom each is."""
    loopback.replies = [Reply([], status=307, headers={"location": PATH}), Reply()]
    headers = {"xProxy-User-ID": "jane", "XPROXY-request-tags": "a,b"}
    assert await post(loopback, lambda answer: answer.read(), REQUEST, headers=headers) == ANSWER
    first, second = seen.events
    assert [(e.http_status, e.user_id, e.attempt) for e in seen.events] == [(307, "jane", 1), (200, "jane", 1)]
    assert second.attribution.request_tags == ("a", "b")
    assert (first.call_group, second.requested_resource) == (second.call_group, "gpt-4o-mini")
    assert not [name for sent in loopback.asked for name in sent.headers if name.lower().startswith("xproxy")]


@pytest.mark.skipif(
    not hasattr(aiohttp, "ClientMiddlewareType"), reason="newer than the oldest aiohttp that we support"
)
async def test_middlewares_that_try_again(loopback: Loopback, seen: Watched) -> None:
    """What an application's middleware sends is seen attempt by attempt."""

    async def again(request: Any, handler: Any) -> Any:
        answer = await handler(request)
        if answer.status == 429:
            await answer.read()
            answer = await handler(request)
        return answer

    loopback.replies = [Reply([b'{"error": {"code": "slow_down"}}'], status=429), Reply()]
    with track(user_id="jane"):
        assert await post(loopback, lambda answer: answer.read(), REQUEST, middlewares=(again,)) == ANSWER
    assert [(e.error_type, e.outcome, e.attempt) for e in seen.events] == [("slow_down", "error", 1), (None, "ok", 2)]


@pytest.mark.skipif(
    not hasattr(aiohttp, "ClientMiddlewareType"), reason="newer than the oldest aiohttp that we support"
)
@pytest.mark.parametrize("first", [Reply([b"{}"], status=401), Reply(silent=True)])
async def test_who_a_call_is_for_that_a_middleware_sends_again(first: Reply, loopback: Loopback, seen: Watched) -> None:
    """It is for the same user each time, though the header that told was taken off the first time."""

    async def again(request: Any, handler: Any) -> Any:
        try:
            answer = await handler(request)
        except aiohttp.ServerDisconnectedError:
            return await handler(request)
        if answer.status == 401:
            answer.release()
            answer = await handler(request)
        return answer

    loopback.replies = [first, Reply()]
    headers = {"xProxy-User-ID": "jane"}
    assert await post(loopback, lambda answer: answer.read(), REQUEST, headers=headers, middlewares=(again,)) == ANSWER
    assert [(e.user_id, e.attempt) for e in seen.events] == [("jane", 1), ("jane", 2)]
    assert not [name for sent in loopback.asked for name in sent.headers if name.lower().startswith("xproxy")]


@pytest.mark.parametrize("path", [PATH, "/v1/models"])
async def test_a_redirect_to_who_is_no_provider(path: str, loopback: Loopback, seen: Watched) -> None:
    """Who a call is for is not told to whatever host a provider leads to, nor to where that one leads; to others it is."""
    headers = {"xProxy-User-ID": "jane", "x-other": "1"}
    with Loopback() as other, Loopback() as third, Loopback() as own:
        loopback.replies = [Reply([], status=307, headers={"location": other.url}, framing="length")]
        other.replies = [Reply([], status=302, headers={"location": third.url}, framing="length")]
        async with aiohttp.ClientSession() as client:
            url = f"http://{loopback.host}{path}"
            async with client.post(url, data=REQUEST, headers=headers) as answer:
                assert await answer.read() == ANSWER
            async with client.post(url, headers=headers, allow_redirects=False), client.post(own.url, headers=headers):
                pass  # beside an answer that leads elsewhere
            async with client.post(own.url, headers=headers):
                pass
        told = [host.asked[0].headers.get("xproxy-user-id") for host in (loopback, other, third)]
        assert told == [None, None, None]
        assert {host.asked[0].headers["x-other"] for host in (loopback, other, third)} == {"1"}
        assert [sent.headers["xproxy-user-id"] for sent in own.asked] == ["jane", "jane"]
    assert [e.user_id for e in seen.events] == (["jane", "jane"] if path == PATH else [])


async def test_after_answers_that_tell_nothing(loopback: Loopback, seen: Watched) -> None:
    """Neither one that is gone, nor one that cannot be referred to, nor a broken location changes what is sent elsewhere."""

    class Slotted:
        __slots__ = ("_history", "answer")

        def __init__(self, *args: Any, **more: Any) -> None:
            self.answer = aiohttp.ClientResponse(*args, **more)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.answer, name)

    headers = {"xProxy-User-ID": "jane"}
    loopback.replies = [Reply([], status=307, headers={"location": "http://[broken/"}, framing="length")]
    with Loopback() as own:
        async with aiohttp.ClientSession() as client:
            async with client.post(loopback.url, headers=headers, allow_redirects=False):
                async with client.post(own.url, headers=headers):
                    pass
            loopback.replies = [Reply()]
            async with client.post(loopback.url, headers=headers) as answer:
                await answer.read()
            del answer
            collect()
            async with client.post(own.url, headers=headers):
                pass
        async with aiohttp.ClientSession(response_class=lambda *a, **k: Slotted(*a, **k)) as client:  # type: ignore[arg-type, return-value]
            for url in (loopback.url, own.url):
                async with client.post(url, headers=headers):
                    pass
        assert [sent.headers["xproxy-user-id"] for sent in own.asked] == ["jane"] * 3
    assert [e.user_id for e in seen.events] == ["jane"] * 3
    assert "hook" not in health.counters()


async def test_a_class_of_answers_that_raises(loopback: Loopback, seen: Watched) -> None:
    """The application gets its own error, and the call has ended with it."""

    class Broken(aiohttp.ClientResponse):
        def __init__(self, *args: Any, **more: Any) -> None:
            raise RuntimeError("theirs")

        def __del__(self, *args: Any) -> None:
            """It has nothing of what aiohttp's own needs here."""

    with track(user_id="jane"):
        async with aiohttp.ClientSession(response_class=Broken) as client:
            with pytest.raises(RuntimeError, match="theirs"):
                await client.post(loopback.url, data=REQUEST)
        assert (current().calls, current().pending) == (1, 0)
    assert (seen.one.outcome, seen.one.error_type) == ("error", "RuntimeError")


async def test_a_session_with_a_class_of_answers_of_its_own(loopback: Loopback, seen: Watched) -> None:
    """It stays one."""

    class Own(aiohttp.ClientResponse):
        kept = "own"

    async with aiohttp.ClientSession(response_class=Own) as client, client.post(loopback.url, data=REQUEST) as answer:
        assert isinstance(answer, Own)
        assert answer.kept == "own"
        assert "200" in repr(answer)
        assert copy.copy(answer.content).is_eof() in (True, False)
        await answer.read()
        assert answer.content.total_bytes == len(ANSWER)
    assert seen.one.outcome == "ok"


async def test_a_class_of_answers_that_cannot_be_watched(loopback: Loopback, seen: Watched) -> None:
    """Its answer goes through unseen."""
    made: list[Any] = []

    def make(*args: Any, **more: Any) -> Any:
        made.append(aiohttp.ClientResponse(*args, **more))
        return made[-1]

    async with aiohttp.ClientSession(response_class=make) as client:  # type: ignore[arg-type]
        async with client.post(loopback.url, data=REQUEST) as answer:
            assert await answer.read() == ANSWER
    assert answer is made[0]
    assert (seen.one.outcome, health.counters()["tap"]) == ("unknown", 1)


async def test_who_is_no_provider(loopback: Loopback, seen: Watched) -> None:
    """Neither a request elsewhere nor one that consumes nothing is an event; nothing of it is changed."""
    with Loopback() as other:
        async with aiohttp.ClientSession() as client:
            async with client.post(other.url, headers={"xProxy-User-ID": "jane"}) as answer:
                assert type(answer) is aiohttp.ClientResponse
                assert type(answer.content) is aiohttp.StreamReader
            assert other.asked[0].headers["xproxy-user-id"] == "jane"
            async with client.get(loopback.url.replace("chat/completions", "models")) as answer:
                assert await answer.read() == ANSWER
    uninstrument()
    await post(loopback, lambda answer: answer.read())
    assert seen.events == []


async def test_an_answer_that_is_sent_on(loopback: Loopback, seen: Watched) -> None:
    """As a proxy does: its reader is the body of another request."""
    loopback.replies = [Reply(STREAM)]
    with Loopback() as other:

        async def read(answer: Any) -> None:
            async with aiohttp.ClientSession() as client, client.post(other.url, data=answer.content):
                pass

        await post(loopback, read)
        assert other.asked[0].body == b"".join(STREAM)
    assert (seen.one.outcome, seen.one.units) == ("ok", {"text": (100, 20)})


async def test_an_empty_answer(loopback: Loopback, seen: Watched) -> None:
    """aiohttp has a reader of its own for it."""
    loopback.replies = [Reply([], status=200, framing="length")]
    for way in ("read", "lines", "iter_chunked"):
        await post(loopback, WAYS[way])
    assert [e.cost_source for e in seen.events] == ["none"] * 3


async def test_identify_is_awaited(loopback: Loopback, seen: Watched) -> None:
    """An application's own async answer to who this is, asked for by the first call of a request."""

    async def who(connection: Any) -> str:
        await asyncio.sleep(0)
        return "jane"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await post(loopback, lambda answer: answer.read(), REQUEST)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "client": ("127.0.0.1", 1)}
    await PayiMiddleware(app, seen.meter, identify=who)(scope, receive, send)
    assert (seen.one.user_id, seen.one.origin) == ("jane", "request")


async def test_faults_of_ours(loopback: Loopback, seen: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours is counted and logged; the application gets its answer."""

    def fault(*args: Any) -> Any:
        raise RuntimeError("ours")

    for name in ("path_of", "_Maker", "_Reader"):
        with monkeypatch.context() as patching:
            patching.setattr(face, name, fault)
            assert await post(loopback, lambda answer: answer.read(), REQUEST) == ANSWER
    assert (health.counters()["call_begin"], health.counters()["tap"]) == (1, 2)
    assert [e.outcome for e in seen.events] == ["unknown", "unknown"]


async def test_a_large_answer_keeps_only_what_is_needed(loopback: Loopback, seen: Watched) -> None:
    """Of several megabytes the usage is read, and memory is let go on the way."""
    loopback.replies = [Reply([*STREAM[:1], *([b": " + b"x" * 100_000 + b"\n\n"] * 30), *STREAM[1:]])]

    async def read(answer: Any) -> int:
        most = 0
        async for _ in answer.content.iter_any():
            most = max(most, sum(map(len, answer.content._call.parts)))
        return most

    assert await post(loopback, read) < 2_000_000
    assert seen.one.units == {"text": (100, 20)}
