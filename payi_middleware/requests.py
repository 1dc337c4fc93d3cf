"""The face of requests.

`Session.get_adapter` is patched: what it returns is wrapped for the hosts of providers, so that every adapter (mounted,
mocked, the application's own) is seen, redirect by redirect. urllib3 beneath it keeps silent.
"""

from __future__ import annotations

from collections.abc import Callable
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

_KEPT = (
    "payi"  # among a request's hooks, which its copies for redirects share; requests itself looks for `response` only
)


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
    """An adapter around a session's adapter, for one exchange with a provider."""

    def __init__(self, inner: Any, meter: Metering, provider: Provider) -> None:
        self._inner = inner
        self._meter = meter
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":  # while it is being copied
            raise AttributeError(name)
        return getattr(self._inner, name)

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        """Send, and tap the answer."""
        seen = _seen(request, self._provider)
        call = None if seen is None else begin(self._meter, self._provider, seen)
        if call is None:
            return self._inner.send(request, *args, **options)
        refusal = refused(call)
        if refusal is not None:
            return _maker.build_response(request, _raw.made(refusal, request.method))
        token = None
        try:
            token = owner.set(call)
            call.sending = True
            response = self._inner.send(request, *args, **options)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.sending = False  # before any call, where a signal's handler may raise
            sent(token)
        return _tap(call, request, response)

    def close(self) -> None:
        """Close the inner adapter."""
        self._inner.close()


_maker = HTTPAdapter()
"""Makes answers of requests' own class; it sends nothing."""


def _seen(request: Any, provider: Provider) -> Seen | None:
    try:
        method, path, body = request.method, path_of(request.url), body_of(request.body, request.headers)
        if is_owned(provider, method, path, body):
            return None
        own, hop = request.hooks.get(_KEPT) or (None, None)
        own = take_own(request.headers) or own
        if own or hop:
            request.hooks[_KEPT] = (own, None)  # the same request, sent again, is no redirect
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
        status, headers = response.status_code, response.headers
        encoding = headers.get("content-encoding")
        call.answered(status, encoding, headers)
        if 300 <= status < 400:
            request.hooks[_KEPT] = (call.exchange.own_headers, (call.group, call.attempt))
        if response._content is not False:  # made whole, as mocks do
            _raw.ended_with(call, response.content, None)
        else:
            response.raw = _raw.watch(response.raw, call)
    except Exception:
        health.note("tap", "an answer could not be watched; it goes through unseen", exc_info=True)
        call.end("unknown")
    return response
