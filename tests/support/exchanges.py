"""Exchanges with a provider for tests of the outbound faces: what is sent, what is answered, what was seen of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import httpx
import httpx2

from payi_middleware import CallEvent, Meter
from payi_middleware.counting.tokens import Tokens
from payi_middleware.sinks.memory import MemorySink

__all__ = [
    "ANSWER",
    "LIBRARIES",
    "REQUEST",
    "STREAM",
    "STREAMED_REQUEST",
    "URL",
    "Parts",
    "Watched",
    "answer",
    "encoded",
    "event",
    "mock",
    "request",
    "send",
    "stream_of",
]

LIBRARIES: dict[str, ModuleType] = {"httpx": httpx, "httpx2": httpx2}
URL = "https://api.openai.com/v1/chat/completions"


def request(**fields: Any) -> bytes:
    """A chat completion's request."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about the fox."}], **fields}
    return json.dumps(body).encode()


REQUEST = request()
STREAMED_REQUEST = request(stream=True, stream_options={"include_usage": True})


def answer(text: str = "A fox.", *, prompt: Any = 100, completion: Any = 20, **fields: Any) -> bytes:
    """A chat completion that tells its usage, by default for 0.0000270 USD."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": 120}
    body = {"id": "chatcmpl-1", "model": "gpt-4o-mini-2024-07-18", "choices": [choice], "usage": usage}
    return json.dumps(body | fields).encode()


ANSWER = answer()


def event(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def stream_of(words: list[str], *, usage: bool = True, finish: bool = True, done: bool = True) -> list[bytes]:
    """A streamed chat completion, an event a part."""
    head = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "model": "gpt-4o-mini-2024-07-18"}
    parts = [
        event({**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}) for word in words
    ]
    if finish:
        parts.append(event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    if usage:
        counts = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        parts.append(event({**head, "choices": [], "usage": counts}))
    if done:
        parts.append(b"data: [DONE]\n\n")
    return parts


STREAM = stream_of(["The ", "fox ", "is ", "r\u00f8d\n", "and quick."])


def encoded(coding: str, body: bytes) -> bytes:
    """A body in a content-encoding; `deflate-raw` is deflate without its header, as some servers send it."""
    if coding == "gzip":
        return gzip.compress(body, mtime=0)
    if coding == "deflate":
        return zlib.compress(body)
    if coding == "deflate-raw":
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return packer.compress(body) + packer.flush()
    if coding == "br":
        import brotli

        return bytes(brotli.compress(body))
    if coding == "zstd":
        try:
            from compression import zstd
        except ImportError:
            from backports import zstd
        return bytes(zstd.compress(body))
    return body


class _Parts:
    def __init__(self, parts: list[bytes], error: Exception | None = None) -> None:
        self.parts = parts
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.error:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            await asyncio.sleep(0)
            yield part
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


def Parts(lib: ModuleType, parts: list[bytes], error: Exception | None = None) -> Any:
    """An answer's stream in parts, which may break off with an error; for sync and async clients."""
    kind = type("Parts", (_Parts, lib.SyncByteStream, lib.AsyncByteStream), {})
    return kind(parts, error)


def mock(lib: ModuleType, parts: bytes | list[bytes], status: int = 200, **headers: str) -> Any:
    """A transport that answers with a whole body, or with parts."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def handler(sent: Any) -> Any:
        if isinstance(parts, bytes):
            return lib.Response(status, headers=named, content=parts)
        return lib.Response(status, headers=named, stream=Parts(lib, parts))

    return lib.MockTransport(handler)


Read = Callable[[Any], Any]


def send(
    lib: ModuleType, is_async: bool, transport: Any, way: str = "read", body: bytes = STREAMED_REQUEST, url: str = URL
) -> list[Any]:
    """The parts that an application reads of an answer, in one of the library's ways."""
    if is_async:
        return asyncio.run(_send_async(lib, transport, way, body, url))
    with lib.Client(transport=transport) as client, client.stream("POST", url, content=body) as response:
        return [response.read()] if way == "read" else list(getattr(response, way)())


async def _send_async(lib: ModuleType, transport: Any, way: str, body: bytes, url: str) -> list[Any]:
    async with lib.AsyncClient(transport=transport) as client, client.stream("POST", url, content=body) as response:
        if way == "read":
            return [await response.aread()]
        return [part async for part in getattr(response, f"a{way}")()]


_tokens = Tokens()  # the ranks of tokenizers take a second to load


class Watched:
    """A meter that keeps its events in memory, with rates and tokenizers loaded."""

    def __init__(self, **settings: Any) -> None:
        self.sink = MemorySink()
        self.meter = Meter("sqlite:///:memory:", sinks=[self.sink], **settings)
        self.meter.prices.load()
        if not _tokens.ready:
            _tokens.load()
        self.meter.estimates._tokens = _tokens

    @property
    def events(self) -> list[CallEvent]:
        """What ended so far, oldest first."""
        assert self.meter.flush(10)
        return list(self.sink.events)

    @property
    def one(self) -> CallEvent:
        """The only event."""
        events = self.events
        assert len(events) == 1, events
        return events[0]
