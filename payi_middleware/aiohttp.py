"""The face of aiohttp.

`BaseConnector.connect` is patched: each request of a session passes it on its way out, redirect by redirect and inside of
the application's middlewares. For a provider's host the answer becomes an instance of a subclass of the session's own
class of answers, with a reader that keeps a reference to each part that the application reads.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import http_parser
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from . import context, forms, health, identify
from ._outbound import HOOK, Seen, begin, body_of, find, is_owned, path_of, redirected, refused_async, take_own
from ._patches import Patches
from .call import OVERHEAD, Call
from .limits.places import REASON, STATUS
from .providers.base import Provider

if TYPE_CHECKING:
    from .limits.answer import Refused
    from .metering import Metering

__all__ = ["hook"]

_DECODED = {"gzip", "deflate", "br"} | ({"zstd"} if hasattr(http_parser, "HAS_ZSTD") else set())
"""Content-encodings that aiohttp undoes itself, unless told not to."""


def hook(patches: Patches) -> str:
    """Put the seam in; returns what was done."""
    patches.put(aiohttp.BaseConnector, "connect", _watching)
    return "seam"


def _watching(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    def connect(self: Any, req: Any, *args: Any, **more: Any) -> Awaitable[Any]:
        if not HOOK.active:
            return original(self, req, *args, **more)
        found = find(req.url)
        if found is None:
            if _last.get() is not None:
                _sent_on(req)
            return original(self, req, *args, **more)
        return _connect(partial(original, self, req, *args, **more), req, *found)

    return connect


async def _connect(connecting: Callable[[], Awaitable[Any]], req: Any, meter: Metering, provider: Provider) -> Any:
    """Begin the call, connect, and have the answer watched."""
    frame = context.frame.get()
    if frame is not None and frame.activity.needs_identify():
        await identify.ask_async(frame.activity)
    seen = _seen(req, provider)
    call = None if seen is None else begin(meter, provider, seen)
    if call is None:
        if seen is not None and seen.own:
            req.response_class = _Maker(req.response_class, None, has_own=True)
        return await connecting()
    refusal = await refused_async(call)
    if refusal is not None:
        return _instead(req, refusal)
    try:
        connection = await connecting()
    except BaseException as error:
        call.failed(error)
        raise
    try:
        req.response_class = maker = _Maker(req.response_class, call, has_own=bool(call.exchange.own_headers))
        _learn(connection.protocol, maker)
    except Exception:
        health.note("tap", "an answer could not be watched; it goes through unseen", exc_info=True)
        call.end("unknown")
    return connection


def _instead(req: Any, refusal: Refused) -> Any:
    """A connection to nowhere that answers a call which a limit refuses; aiohttp itself reads the answer off it."""
    loop = asyncio.get_running_loop()
    protocol = ResponseHandler(loop=loop)
    protocol.connection_made(_Nowhere())
    head = [f"HTTP/1.1 {STATUS} {REASON}", *(f"{name}: {value}" for name, value in refusal.headers.items())]
    protocol.data_received("\r\n".join([*head, "connection: close", "", ""]).encode() + refusal.body)
    return Connection(_Nobody(), req.connection_key, protocol, loop)  # type: ignore[arg-type]  # asked for one method


class _Nowhere(asyncio.Transport):
    """Where the request goes: nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self._is_closed = False

    def write(self, data: Any) -> None:
        """Take what is sent."""

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True

    abort = close

    def pause_reading(self) -> None:
        """There is nothing more to read."""

    resume_reading = pause_reading


class _Nobody:
    """In place of the connector: such a connection is no other request's, and no limit of connections counts it."""

    force_close = True

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        protocol.close()


def _seen(req: Any, provider: Provider) -> Seen | None:
    try:
        url = req.url
        method, path, body = req.method, path_of(url.raw_path), _body(req)
        if is_owned(provider, method, path, body):
            return None
        return Seen(method, path, body, req.headers, url.host, _own(req))
    except Exception:
        health.note("call_begin", "a call could not be looked at; it goes through unseen", exc_info=True)
        return None


def _own(req: Any) -> dict[str, str]:
    """The xProxy headers of a request, taken off, and kept with it: a middleware may send it again."""
    own = take_own(req.headers)
    if own:
        req._payi_own = own
        return own
    kept: dict[str, str] = getattr(req, "_payi_own", own)
    return kept


_last: ContextVar[weakref.ref[Any] | None] = ContextVar("payi_last_answer", default=None)
"""The last answer of this context to a request whose xProxy headers were taken off: where it redirects to gets them anew."""


def _remember(answer: Any) -> None:
    try:
        _last.set(weakref.ref(answer))
    except TypeError:  # whatever an application has for a class
        pass


def _sent_on(req: Any) -> None:
    """A request to a host that is no provider's goes without xProxy headers where a provider's answer led to it."""
    try:
        last = _last.get()
        answer = None if last is None else last()
        if answer is None:
            _last.set(None)
        elif _leads_to(answer, req.url) and _own(req):
            req.response_class = _Maker(req.response_class, None, has_own=True)
    except Exception:
        health.note("hook", "a request could not be looked at; it goes through unseen", exc_info=True)


def _leads_to(answer: Any, url: URL) -> bool:
    if not 300 <= (answer.status or 0) < 400:
        return False
    location = answer.headers.get("location") or answer.headers.get("uri", "")  # as aiohttp does
    try:
        return bool(answer.url.join(URL(location)).origin() == url.origin())
    except ValueError:  # broken: aiohttp itself goes nowhere
        return False


def _body(req: Any) -> bytes | None:
    """A request's body, if it is in memory; of a form its fields, as JSON."""
    body = req.body
    if isinstance(body, aiohttp.MultipartWriter):
        return forms.of_fields(_field(part) for part, _, _ in body)
    if isinstance(body, aiohttp.payload.BytesPayload):  # JSON and text are such, too
        body = body._value
    headers = {} if getattr(req, "compress", None) else req.headers  # what aiohttp itself is to pack is not packed yet
    return body_of(body, headers) if isinstance(body, bytes | bytearray | memoryview) else None


def _field(part: Any) -> forms.Field:
    """A field of a form; the file is not touched."""
    _, told = aiohttp.parse_content_disposition(part.headers.get("Content-Disposition"))
    name = told.get("name", "")
    if "filename" in told or not isinstance(part, aiohttp.payload.BytesPayload):
        return forms.Field(name, "", -1 if part.size is None else part.size, part.headers.get("Content-Type", ""))
    return forms.Field(name, part._value.decode("utf-8", "replace"))


def _learn(protocol: Any, maker: _Maker) -> None:
    """Have it told whether aiohttp decodes the answer: that is said once, to the connection, and kept nowhere."""

    def set_response_params(**params: Any) -> Any:
        del protocol.set_response_params
        maker.is_decoded = params.get("auto_decompress", True)
        return protocol.set_response_params(**params)

    protocol.set_response_params = set_response_params


class _Maker:
    """Makes the one answer of a request, in place of the session's class of answers."""

    def __init__(self, kind: Any, call: Call | None, *, has_own: bool) -> None:
        self._kind: Any = kind._kind if isinstance(kind, _Maker) else kind  # a middleware sends the same request again
        self._call = call
        self._has_own = has_own
        """Whether xProxy headers of the request were taken off."""
        self.is_decoded = True

    def __call__(self, *args: Any, **more: Any) -> Any:
        answer = self._made(*args, **more)
        if self._has_own:
            _remember(answer)
        return answer

    def _made(self, *args: Any, **more: Any) -> Any:
        call, self._call = self._call, None
        if call is None:
            return self._kind(*args, **more)
        try:
            kind = _watched(self._kind)
        except Exception:  # whatever an application has for a class
            health.note("tap", "an answer could not be watched; it goes through unseen", exc_info=True)
            call.end("unknown")
            return self._kind(*args, **more)
        try:
            answer = kind(*args, **more)
        except BaseException as error:
            call.failed(error)
            raise
        answer._payi_call = call
        answer._payi_is_decoded = self.is_decoded
        return answer

    def __del__(self) -> None:
        if self._call is not None:  # sending failed
            self._call.end("error")


class _Watched:
    """Before a class of aiohttp's answers: ends its call once, whatever becomes of the answer."""

    _payi_call: Call
    _payi_is_decoded: bool
    content: Any
    status: int
    headers: Any

    async def start(self, connection: Any) -> Any:
        """Wait for the head of the answer, and watch its body from then on."""
        call = self._payi_call
        try:
            started = await super().start(connection)  # type: ignore[misc]
        except BaseException as error:
            call.failed(error)
            raise
        try:
            encoding = self.headers.get("content-encoding")
            if encoding and self._payi_is_decoded and encoding.lower() in _DECODED:
                encoding = None
            call.answered(self.status, encoding, self.headers)
            if 300 <= self.status < 400:
                redirected(call)
            self.content = _Reader(self.content, call)
        except Exception:
            health.note("tap", "an answer could not be watched; it goes through unseen", exc_info=True)
            call.end("unknown")
        return started

    def close(self) -> None:
        """Close the answer, which ends the call: aborted, unless the provider had said everything."""
        self._payi_end()
        super().close()  # type: ignore[misc]

    def release(self) -> Any:
        """Let the answer go, read or not; the same holds."""
        self._payi_end()
        return super().release()  # type: ignore[misc]

    def __del__(self) -> None:
        """Abandoned. As long as more may come, aiohttp itself holds the answer, up to the end of its connection."""
        call = self.__dict__.get("_payi_call")
        if call is not None:
            call.end("aborted")
        super().__del__()  # type: ignore[misc]

    def _payi_end(self) -> None:
        broken = None if self.content is None else self.content.exception()
        if broken is not None:  # before anybody read on
            self._payi_call.failed(broken)
        self._payi_call.end("aborted")


@cache
def _watched(kind: Any) -> type[Any]:
    return type(kind.__name__, (_Watched, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


class _Reader:
    """Around an answer's `StreamReader`: hands on each part as it is read, and keeps a reference.

    A read that is cancelled ends nothing, as the application may read on.
    """

    def __init__(self, inner: Any, call: Call) -> None:
        self._inner = inner
        self._call = call
        self._room = 0

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":  # while it is being copied
            raise AttributeError(name)
        return getattr(self._inner, name)

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._inner)

    __aiter__ = aiohttp.StreamReader.__aiter__
    iter_any = aiohttp.StreamReader.iter_any
    iter_chunked = aiohttp.StreamReader.iter_chunked
    iter_chunks = aiohttp.StreamReader.iter_chunks

    async def read(self, n: int = -1) -> bytes:
        """Read up to `n` bytes, or all there are; then part by part, so that the moment of the first is known."""
        if n >= 0 or self._inner.at_eof():
            return await self._kept(self._inner.read(n))
        if hasattr(self._inner, "set_read_chunk_size"):
            self._inner.set_read_chunk_size(sys.maxsize)
        parts = []
        while part := await self.readany():
            parts.append(part)
        return b"".join(parts)

    async def readany(self) -> bytes:
        """Read what is there."""
        return await self._kept(self._inner.readany())

    async def readexactly(self, n: int) -> bytes:
        """Read `n` bytes."""
        return await self._kept(self._inner.readexactly(n))

    async def readline(self, **options: Any) -> bytes:
        """Read a line."""
        return await self._kept(self._inner.readline(**options))

    async def readuntil(self, separator: bytes = b"\n", **options: Any) -> bytes:
        """Read up to a separator."""
        return await self._kept(self._inner.readuntil(separator, **options))

    async def readchunk(self) -> tuple[bytes, bool]:
        """Read a part of the chunked transfer, and whether it is its end."""
        try:
            part, end = await self._inner.readchunk()
        except Exception as error:
            self._broke_off(error)
            raise
        self._keep(part)
        return part, end

    def read_nowait(self, n: int = -1) -> bytes:
        """Read what is there, without waiting."""
        part: bytes = self._inner.read_nowait(n)
        self._keep(part)
        return part

    async def _kept(self, reading: Awaitable[bytes]) -> bytes:
        try:
            part = await reading
        except Exception as error:
            self._broke_off(error)
            raise
        self._keep(part)
        return part

    def _broke_off(self, error: Exception) -> None:
        """A reader that is used wrongly can be used again; one that timed out or is broken cannot."""
        if isinstance(error, asyncio.IncompleteReadError):
            self._keep(error.partial)
        elif isinstance(error, TimeoutError) or self._inner.exception() is not None:
            self._call.failed(error)

    def _keep(self, part: bytes) -> None:
        if part:
            self._call.parts.append(part)
            self._room -= len(part) + OVERHEAD
            if self._room < 0:
                self._room = self._call.told_parts()
        if self._inner.at_eof():
            self._call.end()
