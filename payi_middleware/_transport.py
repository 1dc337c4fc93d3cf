"""The shared half of the faces of httpx and httpx2: where to hook, what to read off a request, how to tap an answer.

httpx and httpx2 have the same shapes and no common class. The logic is here, over what both have; each face adds the
few classes that must inherit from its own library. One method is patched, `_transport_for_url` of a client class: what
it returns is wrapped for the hosts of providers, so that every transport (pools, mounts, proxies, mocks, the SDKs' own)
is seen, redirect by redirect.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from . import attempts, context, health, identify
from ._outbound import HOOK, RETRY, body_of, refused, refused_async, take_own
from .call import OVERHEAD, Call, owner
from .exchange import Exchange
from .frames import Activity
from .limits.places import EXTENSION, STATUS
from .opening import open_call
from .providers.base import Provider

if TYPE_CHECKING:
    from .forms import Field
    from .limits.answer import Refused
    from .metering import Metering

__all__ = ["AsyncTap", "AsyncWrapper", "InnerWrapper", "SyncTap", "SyncWrapper", "wrapped_for_url"]

_OWN = "payi_own_headers"
_HOP = "payi_hop"


def wrapped_for_url(
    original: Callable[[Any, Any], Any], wrapper: Callable[[Any, Metering, Provider], Any]
) -> Callable[[Any, Any], Any]:
    """The patched method: a wrapper around the transport for a provider's host, the transport itself for any other."""
    find_frame = context.frame.get

    def _transport_for_url(self: Any, url: Any) -> Any:
        transport = original(self, url)
        if not HOOK.active:
            return transport
        try:
            frame = find_frame()
            meter = (None if frame is None else frame.meter) or HOOK.meter_for(frame)
            provider = meter.hosts.find(url)
            return transport if provider is None or meter.disabled else wrapper(transport, meter, provider)
        except Exception:
            health.note("hook", "a request could not be looked at; it goes through unseen", exc_info=True)
            return transport

    return _transport_for_url


class Requestlike(Protocol):
    """What httpx and httpx2 requests have in common."""

    method: str
    url: Any
    headers: Any
    extensions: Any


def begin(request: Requestlike, meter: Metering, provider: Provider, outer: Call | None = None) -> Call | None:
    """The call of a request, or None if it consumes nothing. Never raises.

    `outer` is the call that this one takes over.
    """
    # Between an application's own steps the processor has forgotten all of this: what counts is how little there is of it.
    try:
        extensions = request.extensions
        own = extensions.get(_OWN)
        for header in getattr(request.headers, "_list", None) or _listed(request.headers):
            if header[1][:7] == b"xproxy-":
                own = _own_headers(request)
                break
        method, url = request.method, request.url
        try:
            path = url._uri_reference.path  # as both libraries keep it: the property unquotes it each time
            if not path or "%" in path:
                path = url.path
        except AttributeError:
            path = url.path
        route = provider.routes.get((method, path)) or provider.route(method, path)
        if route is None:
            return None
        if outer is not None:
            own = own or outer.exchange.own_headers
            outer.give_way()
        retry = None if attempts.last.get() is None else request.headers.get(RETRY)
        host = "" if route[0].refine is None else url.host
        content = getattr(request, "_content", None)  # as both libraries keep it, where it is in memory
        if type(content) is not bytes or content[:1] != b"{":  # it is a form, say, or packed
            content = _content(request)
        exchange = Exchange(method, path, content, own, retry, extensions.get(_HOP), host)
        if outer is not None:
            exchange.original = outer.exchange.original
        return open_call(meter, provider, route, exchange, outer)
    except Exception:
        health.note("call_begin", "a call could not be looked at; it goes through unseen", exc_info=True)
        return None


def _own_headers(request: Requestlike) -> dict[str, str]:
    """The xProxy headers of the SDK's call, taken off."""
    own = take_own(request.headers)
    # A redirect copies the extensions of its request, an authentication sends the same request twice.
    request.extensions = {**request.extensions, _OWN: own}
    return own


def _listed(headers: Any) -> list[tuple[bytes, bytes, bytes]]:
    """Names, names in lower case and values, as both libraries keep them: to look there takes a third of the time of `raw`."""
    return [(name, name.lower(), value) for name, value in headers.raw]


def _content(request: Any) -> bytes | None:
    """The request's body, if it is in memory; None where it is a stream that only the transport may read, or stays packed.

    Of a form its fields, as JSON: its files are read by the transport alone.
    """
    try:
        content = request.content
    except Exception:  # it was not read: the library's own error, of a class we do not know
        stream = request.stream
        kind = type(stream).__name__
        if kind == "MultipartStream":
            from . import forms  # most requests are none

            return forms.of_fields(map(_field, stream.fields))
        if kind != "ByteStream":
            return None
        content = b"".join(stream)  # of a redirect: the bytes of the first request, which may be read again and again
    return body_of(content, request.headers) if isinstance(content, bytes) else None


def _field(field: Any) -> Field:
    """A field of a form as both libraries keep it; the file is not touched."""
    from .forms import Field

    if hasattr(field, "value"):
        value = field.value
        return Field(field.name, value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
    length = field.get_length()
    size = -1 if length is None else length - len(field.render_headers())
    return Field(field.name, "", size, field.headers.get("Content-Type", ""))


def _with_usage(request: Any, call: Call) -> Any:
    from .include_usage import with_usage  # few let it be asked for

    return with_usage(request, call)


def _hidden(response: Any, tap_class: type[Any]) -> Any:
    from .include_usage import hidden

    return hidden(response, tap_class)


class SyncWrapper:
    """A transport around a client's transport, for one exchange with a provider."""

    tap_class: type[Any]
    async_tap_class: type[Any]
    response_class: type[Any]

    def __init__(self, inner: Any, meter: Any, provider: Any = None) -> None:
        self.inner = inner
        self.meter = meter
        self.provider = provider

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # while it is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def handle_request(self, request: Any) -> Any:
        """Send, and tap the answer."""
        provider = self.provider
        if provider is None or owner.get() is not None:
            call = self._begin(request)
        else:
            call = begin(request, self.meter, provider)
        if call is None:
            return self.inner.handle_request(request)
        if call.hold is not None and (refusal := refused(call)) is not None:
            return self._instead(request, refusal)
        asked = request if not call.meter.settings.include_usage else _with_usage(request, call)
        token = None
        try:
            token = owner.set(call)
            call.sending = True
            response = self.inner.handle_request(asked)
        except BaseException as error:
            call.failed(error)
            raise
        finally:  # the head of the answer is there, or an error: from now on this call is no outer one
            # before any call, where a signal's handler may raise: later calls would be taken for this one
            call.sending = False
            try:  # as `sent`, without a call
                owner.reset(token)  # type: ignore[arg-type]  # None if a signal's handler raised
            except (ValueError, TypeError):
                pass
        response = tap(call, request, response, self.tap_class)
        return response if asked is request else _hidden(response, self.tap_class)

    def _instead(self, request: Any, refusal: Refused) -> Any:
        """The answer to a call that a limit refuses, whole, so that it can be read by either client, streamed or not."""
        return self.response_class(
            STATUS,
            headers=refusal.headers,
            content=refusal.body,
            request=request,
            extensions={EXTENSION: refusal.reached},
        )

    def _begin(self, request: Any) -> Call | None:
        """The call of a request that is sent within another call, perhaps a face's outside of this one."""
        if _outer(request, self.provider) is not None:
            return None  # an outer face has this exchange
        return begin(request, self.meter, self.provider)


class AsyncWrapper(SyncWrapper):
    """The same for an async client."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send, and tap the answer."""
        frame = context.frame.get()
        if frame is not None:
            activity = frame if isinstance(frame, Activity) else frame.activity
            if activity.asks and activity.identity is None:
                await identify.ask_async(activity)
        provider = self.provider
        if provider is None or owner.get() is not None:
            call = self._begin(request)
        else:
            call = begin(request, self.meter, provider)
        if call is None:
            return await self.inner.handle_async_request(request)
        if call.hold is not None and (refusal := await refused_async(call)) is not None:
            return self._instead(request, refusal)
        asked = request if not call.meter.settings.include_usage else _with_usage(request, call)
        token = None
        try:
            token = owner.set(call)
            call.sending = True
            response = await self.inner.handle_async_request(asked)
        except BaseException as error:
            call.failed(error)
            raise
        finally:  # the head of the answer is there, or an error: from now on this call is no outer one
            # before any call, where a signal's handler may raise: later calls would be taken for this one
            call.sending = False
            try:  # as `sent`, without a call
                owner.reset(token)  # type: ignore[arg-type]  # None if a signal's handler raised
            except (ValueError, TypeError):
                pass
        response = tap(call, request, response, self.async_tap_class)
        return response if asked is request else _hidden(response, self.async_tap_class)


def _outer(request: Any, provider: Provider) -> Call | None:
    """The call of an outer face that is sending this very exchange."""
    outer = owner.get()
    try:
        if outer is not None and outer.is_sending(request.method, request.url.path, _content(request), provider):
            return outer
    except Exception:
        health.note("hook", "a request could not be looked at; it goes through unseen", exc_info=True)
    return None


def tap(call: Call, request: Any, response: Any, tap_class: type[Any]) -> Any:
    """Watch the answer's parts as the application reads them. Never raises."""
    if call.taken:
        return response
    try:
        # as Call.answered, without a call
        status, headers = response.status_code, response.headers
        call.status, call.headers = status, headers
        for header in getattr(headers, "_list", None) or _listed(headers):
            if header[1] == b"content-encoding":
                encoding = headers["content-encoding"]
                call.encoding = "" if encoding == "identity" else encoding
                break
        if status >= 400:
            call.remember(call.attempt)
        if 300 <= status < 400:  # what follows a redirect has a copy of the extensions
            request.extensions = {**request.extensions, _HOP: (call.group, call.attempt)}
        if not response.is_stream_consumed:
            response.stream = tap_class(response.stream, call)
        elif (content := getattr(response, "_content", None)) is not None:  # made whole, as mocks do
            call.whole(content)
        else:  # somebody read it and kept nothing
            call.end("unknown")
    except Exception:
        health.note("tap", "an answer could not be watched; it goes through unseen", exc_info=True)
        call.end("unknown")
    return response


class InnerWrapper(AsyncWrapper):
    """What `PayiTransport` puts inside a client or a retrying transport: it takes over from an outer face."""

    def _begin(self, request: Any) -> Call | None:
        try:
            meter: Metering = self.meter if self.meter is not None else HOOK.meter_for(context.frame.get())
            provider = meter.hosts.find(request.url)
        except Exception:
            health.note("hook", "a request could not be looked at; it goes through unseen", exc_info=True)
            return None
        if provider is None or meter.disabled:
            return None
        outer = _outer(request, provider)
        call = begin(request, meter, provider, outer)
        if call is not None and outer is not None:
            outer.take_over()
        return call

    def close(self) -> None:
        """Close the inner transport."""
        self.inner.close()

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self.inner.aclose()

    def __enter__(self) -> Any:
        self.inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)

    async def __aenter__(self) -> Any:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.inner.__aexit__(*error)


class _Tap:
    """Ends its call once, whatever becomes of the stream."""

    _over = False
    """Whether it was read to its end, so that nobody need tell the call again."""

    def __init__(self, stream: Any, call: Call) -> None:
        self._stream = stream
        self._call = call

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # while it is being copied
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __del__(self) -> None:
        call = self.__dict__.get("_call")
        if call is not None and not self._over:
            call.end("aborted")  # abandoned; a second end does nothing


class SyncTap(_Tap):
    """Hands on each part as it comes, and keeps a reference."""

    def __iter__(self) -> Iterator[bytes]:
        call = self._call
        keep, room = call.parts.append, 0
        try:
            for part in self._stream:
                keep(part)
                room -= len(part) + OVERHEAD
                if room < 0:
                    room = call.told_parts()
                yield part
        except GeneratorExit:
            raise  # the reader stopped; close() tells when the call is over
        except BaseException as error:
            call.failed(error)
            raise
        call.end()
        self._over = True

    def close(self) -> None:
        """Close the answer, which ends the call: aborted, unless the provider had said everything."""
        try:
            self._stream.close()
        finally:
            if not self._over:
                self._call.end("aborted")


class AsyncTap(_Tap):
    """The same for an async client."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        call = self._call
        keep, room = call.parts.append, 0
        parts = self._stream.__aiter__()
        try:
            async for part in parts:
                keep(part)
                room -= len(part) + OVERHEAD
                if room < 0:
                    room = call.told_parts()
                yield part
        except BaseException as error:
            if not isinstance(error, GeneratorExit):  # else the reader stopped; aclose() tells when the call is over
                call.failed(error)
            if isinstance(parts, AsyncGenerator):  # as httpx2 does: it must not wait for the garbage collector
                await parts.aclose()
            raise
        call.end()
        self._over = True

    async def aclose(self) -> None:
        """Close the answer, which ends the call: aborted, unless the provider had said everything."""
        try:
            await self._stream.aclose()
        finally:
            if not self._over:
                self._call.end("aborted")
