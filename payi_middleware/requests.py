"""The face of requests.

`Session.get_adapter` is patched: what it returns is wrapped for the hosts of providers, so that every adapter (mounted,
mocked, the application's own) is seen, redirect by redirect. urllib3 beneath it keeps silent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from . import _raw, health
from ._outbound import HOOK, Seen, begin, body_of, find_at, is_owned, path_of, place_of, refused, sent, take_own
from ._patches import Patches
from .call import Call, owner
from .providers.base import Provider

if TYPE_CHECKING:
    from .metering import Metering

__all__ = ["hook"]


def hook(patches: Patches) -> str:
    """Put the seam in; returns what was done."""
    patches.put(requests.Session, "get_adapter", _wrapping)
    return "seam"


def _wrapping(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_adapter(self: Any, url: Any) -> Any:
        adapter = original(self, url)
        if not HOOK.active:
            return adapter
        found = find_at(url)
        return adapter if found is None else _Adapter(adapter, *found)

    return get_adapter


class _Adapter(BaseAdapter):
    """An adapter around a session's adapter, for one exchange with a provider.

    To an application that asks `get_adapter` itself it is that adapter: of its class, changed where this one is, copied as it is.
    """

    def __init__(self, inner: Any, meter: Metering, provider: Provider) -> None:
        # `send` as it is now: who replaces it by one that calls this one must not come back to itself.
        self.__dict__.update(_inner=inner, _send=inner.send, _meter=meter, _provider=provider)

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._inner.__reduce_ex__(protocol)

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        """Send, and tap the answer."""
        seen = _seen(request, self._provider)
        call = None if seen is None else begin(self._meter, self._provider, seen)
        if call is None:
            return self._send(request, *args, **options)
        refusal = refused(call)
        if refusal is not None:
            return _maker.build_response(request, _raw.made(refusal, request.method))
        token = None
        try:
            token = owner.set(call)
            call.body_now = partial(_body, request)
            call.sending = True
            response = self._send(request, *args, **options)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.sending = False  # before any call, where a signal's handler may raise
            call.body_now = None
            sent(token)
        return _tap(call, request, response)

    def close(self) -> None:
        """Close the inner adapter."""
        self._inner.close()


class _Hooks(dict[str, Any]):
    """A request's hooks, which its copies for redirects share, and in them what we keep of it; a copy of them has only theirs."""

    kept: tuple[dict[str, str] | None, tuple[bytes, int] | None] = (None, None)
    """xProxy headers, taken off; `call_group` and `attempt` of the call whose answer redirected."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return dict, (dict(self),)


def _keep(request: Any, own: dict[str, str] | None, hop: tuple[bytes, int] | None) -> None:
    if not isinstance(request.hooks, _Hooks):
        request.hooks = _Hooks(request.hooks or ())
    request.hooks.kept = own, hop


_maker = HTTPAdapter()
"""Makes answers of requests' own class; it sends nothing."""


def _body(request: Any) -> bytes | None:
    """The body as it is: an adapter may change the very request that it was given."""
    return body_of(request.body, request.headers)


def _seen(request: Any, provider: Provider) -> Seen | None:
    try:
        method, path, body = request.method, path_of(request.url), _body(request)
        if is_owned(provider, method, path, body):
            return None
        own, hop = getattr(request.hooks, "kept", _Hooks.kept)
        own = take_own(request.headers) or own
        if own or hop:
            _keep(request, own, None)  # the same request, sent again, is no redirect
        host = place_of(request.url).host
        return Seen(method, path, body, request.headers, host, own, hop)
    except Exception:
        health.note("call_begin", "a call could not be looked at; it goes through unseen", exc_info=True)
        return None


def _tap(call: Call, request: Any, response: Any) -> Any:
    """Watch the answer's parts as the application, or the session for it, reads them. Never raises."""
    if call.taken:
        return response
    try:
        if _raw.is_told(response.raw, call):
            return response
        status, headers = response.status_code, response.headers
        encoding = headers.get("content-encoding")
        call.answered(status, encoding, headers)
        if 300 <= status < 400:
            _keep(request, call.exchange.own_headers, (call.group, call.attempt))
        if response._content is not False:  # made whole, as mocks do
            _raw.ended_with(call, response.content, None)
        else:
            response.raw = _raw.watch(response.raw, call)
    except Exception:
        health.note("tap", "an answer could not be watched; it goes through unseen", exc_info=True)
        call.end("unknown")
    return response
