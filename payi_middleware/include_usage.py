"""Asking OpenAI-style streams for their usage, where the application did not, and hiding the answer to that.

Off by default (`include_usage`): it changes what is sent. A chat stream tells its usage in one more chunk, without choices,
if `stream_options.include_usage` is set; an application that takes `choices[0]` of each chunk would break on it, so that
chunk, and nothing else, is taken out of what the application reads. The other parts pass as they come: one is held only
while it ends within a line that may yet be that chunk.

The request that is sent is a copy, so that the application's own, a retry of it and a redirect stay what they were.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, Final

import msgspec

from . import health
from .body import Decoder, decoder_of
from .call import Call

__all__ = ["Hider", "hidden", "with_usage"]

_TAKERS: Final = frozenset({"azure", "deepseek", "openai", "zai"})
"""Providers that take the option and tell no usage without it: their API references, and recorded calls."""
_ANY_VERSION: Final = re.compile(r"/openai/v1/")
"""Azure's older API versions refuse the option; behind this path there is one version."""

_CHOSEN: Final = re.compile(rb'"choices"\s*:\s*\[\s*[^\s\]]')
_NOTHING_CHOSEN: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_LINE: Final = re.compile(rb"[^\n]*\n|[^\n]+")
_MOST_HELD: Final = 1 << 16
_DATA: Final = b"data:"


class _Chunk(msgspec.Struct, gc=False):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def with_usage(request: Any, call: Call) -> Any:
    """The request that asks for usage, or the very one that was given where nothing is to be asked. Never raises."""
    try:
        body = None if "content-encoding" in request.headers else _asking(call)  # packed, it goes as it was packed
        if body is None:
            return request
        headers = request.headers.copy()
        headers["Content-Length"] = str(len(body))
        headers["Accept-Encoding"] = "identity"  # what is hidden must be found
        asking = type(request)(
            request.method, request.url, headers=headers, content=body, extensions=request.extensions
        )
        exchange = call.exchange
        exchange.original, exchange.body = exchange.original or exchange.body, body
    except Exception:
        health.note("include_usage", "a stream could not be asked for its usage; it goes as it was", exc_info=True)
        return request
    return asking


def _asking(call: Call) -> bytes | None:
    """The body with the option; None where it is no stream of chat, has the option, or the provider may refuse it."""
    body, exchange = call.exchange.body, call.exchange
    if not call.asked.streamed or not body or not call.route.endpoint.template.endswith("/chat/completions"):
        return None
    if call.provider.id not in _TAKERS or (call.provider.id == "azure" and not _ANY_VERSION.search(exchange.path)):
        return None
    members = _members(body)
    options = msgspec.json.decode(members.get("stream_options", msgspec.Raw(b"null")))
    if options is not None and (not isinstance(options, dict) or "include_usage" in options):
        return None
    members["stream_options"] = msgspec.Raw(msgspec.json.encode({**(options or {}), "include_usage": True}))
    return msgspec.json.encode(members)


def hidden(response: Any, tap_class: type[Any]) -> Any:
    """The answer without the chunk that tells the usage. Never raises.

    An answer that is there at once (a mock's) stays as it is: whoever made it was not asked over a wire. One that is
    encoded although that was not asked for is handed on decoded.
    """
    try:
        headers = response.headers
        if response.is_stream_consumed or "event-stream" not in headers.get("content-type", ""):
            return response
        encoding = headers.get("content-encoding", "identity")
        decoder, unknown = (None, "") if encoding == "identity" else decoder_of(encoding)
        if not unknown:
            response.stream = _hiding(tap_class)(response.stream, Hider(decoder))
            for name in ("content-length", "content-encoding"):
                headers.pop(name, None)
    except Exception:
        health.note("include_usage", "a usage that we asked for could not be hidden", exc_info=True)
    return response


_classes: dict[type[Any], type[Any]] = {}


def _hiding(tap_class: type[Any]) -> type[Any]:
    """The class of a stream that hides, of the tap's library."""
    found = _classes.get(tap_class)
    if found is None:
        is_async = hasattr(tap_class, "__aiter__")
        base = next(base for base in tap_class.__mro__ if base.__module__.partition(".")[0] in ("httpx", "httpx2"))
        found = _classes[tap_class] = type("Hiding", (_AsyncHiding if is_async else _SyncHiding, base), {})
    return found


class _Hiding:
    def __init__(self, stream: Any, hider: Hider) -> None:
        self._stream = stream
        self._hider = hider

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # while it is being copied
            raise AttributeError(name)
        return getattr(self._stream, name)


class _SyncHiding(_Hiding):
    def __iter__(self) -> Iterator[bytes]:
        hider = self._hider
        for part in self._stream:
            yield from hider.feed(part)
        yield from hider.end()

    def close(self) -> None:
        """Close the answer."""
        self._stream.close()


class _AsyncHiding(_Hiding):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        hider = self._hider
        parts = self._stream.__aiter__()
        try:
            async for part in parts:
                for piece in hider.feed(part):
                    yield piece
        finally:
            if isinstance(parts, AsyncGenerator):  # it must not wait for the garbage collector
                await parts.aclose()
        for piece in hider.end():
            yield piece

    async def aclose(self) -> None:
        """Close the answer."""
        await self._stream.aclose()


class Hider:
    """Takes the lines that tell nothing but usage, and the blank line behind each, out of a stream's parts."""

    def __init__(self, decoder: Decoder | None = None) -> None:
        self._decoder = decoder
        self._held = b""
        self._within = False
        """Whether the last part ended within a line that was handed on."""
        self._after = False
        """Whether a line was taken out, so that the blank one behind it goes too."""

    def feed(self, part: bytes) -> list[bytes]:
        """What may be handed on of what has come so far."""
        if self._decoder is not None:
            part = b"".join(self._decoder.pieces(part))
        is_between = not (self._held or self._within or self._after)
        if is_between and part[-1:] == b"\n" and _NOTHING_CHOSEN.search(part) is None:
            return [part]
        return self._sorted(part)

    def _sorted(self, part: bytes) -> list[bytes]:
        before, held = len(self._held), self._held
        data, self._held = held + part, b""
        kept: list[bytes] = []
        taken = False
        for line in _LINE.findall(data):
            if self._take(line):
                taken = True
            elif not self._held:
                kept.append(line)
        joined = b"".join(kept)
        if before and not taken and len(joined) > before:
            return [held, joined[before:]]  # as they came
        return [joined] if joined else []

    def _take(self, line: bytes) -> bool:
        """Whether a line is to be taken out; one that is not whole may be held instead."""
        is_whole = line[-1:] == b"\n"
        if self._within:
            self._within = not is_whole
            return False
        if self._after:
            if line in (b"\n", b"\r\n"):
                self._after = False
                return True
            if line == b"\r":
                self._held = line
                return False
            self._after = False
        if is_whole:
            self._after = _tells_usage_alone(line)
            return self._after
        if _may_tell(line):
            self._held = line
        else:
            self._within = True
        return False

    def end(self) -> list[bytes]:
        """What was held of a stream that ended within a line: that line is no event, whatever it began with."""
        held, self._held = self._held, b""
        return [] if not held or _tells_usage_alone(held) else [held]


def _may_tell(line: bytes) -> bool:
    """Whether a line that is not whole may become the chunk that tells the usage."""
    if len(line) > _MOST_HELD or not (line.startswith(_DATA) or _DATA.startswith(line)):
        return False
    return _CHOSEN.search(line) is None and b"[DONE]" not in line


def _tells_usage_alone(line: bytes) -> bool:
    if not line.startswith(_DATA) or _NOTHING_CHOSEN.search(line) is None:
        return False
    try:
        chunk = _decode(line[len(_DATA) :])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return chunk.choices == [] and chunk.usage is not None
