"""The face of urllib3, for those that use it bare; what requests and botocore send through it is theirs.

`HTTPConnectionPool.urlopen` is patched: a pool manager's redirects are seen hop by hop, what a pool tries again by itself
is one exchange.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import urllib3

from . import _raw, health
from ._outbound import (
    HOOK,
    Seen,
    begin,
    body_of,
    find,
    find_at,
    is_owned,
    path_of,
    place_of,
    redirected,
    refused,
    sent,
    take_own,
)
from ._patches import Patches
from .call import Call, owner
from .providers.base import Provider

__all__ = ["hook"]


def hook(patches: Patches) -> str:
    """Put the seam in; returns what was done."""
    if not hasattr(urllib3.HTTPResponse, "_raw_read"):  # before 2.0
        return "unsupported"
    patches.put(urllib3.HTTPConnectionPool, "urlopen", _watching)
    return "seam"


def _watching(original: Callable[..., Any]) -> Callable[..., Any]:
    def urlopen(
        self: Any, method: str, url: str, body: Any = None, headers: Any = None, *args: Any, **more: Any
    ) -> Any:
        if not HOOK.active:
            return original(self, method, url, body, headers, *args, **more)
        # What goes through a proxy has its whole URL as the target.
        found = find(self) if url[:1] == "/" else find_at(url)
        if found is None:
            headers = _sent_on(headers, more.get("retries"))
            return original(self, method, url, body, headers, *args, **more)
        seen, headers = _seen(self, found[1], method, url, body, headers)
        call = None if seen is None else begin(*found, seen)
        if call is None:
            return original(self, method, url, body, headers, *args, **more)
        refusal = refused(call)
        if refusal is not None:
            preload, decode = more.get("preload_content", True), more.get("decode_content", True)
            return _raw.made(refusal, method, preload=preload, decode=decode)
        token = None
        try:
            token = owner.set(call)
            call.sending = True
            response = original(self, method, url, body, headers, *args, **more)
        except BaseException as error:
            reason = getattr(error, "reason", None)
            call.failed(reason if isinstance(reason, BaseException) else error)  # what made the last attempt fail
            raise
        finally:
            call.sending = False  # before any call, where a signal's handler may raise
            sent(token)
        return _tap(call, response)

    return urlopen


def _seen(pool: Any, provider: Provider, method: str, url: str, body: Any, headers: Any) -> tuple[Seen | None, Any]:
    """The request, and its headers without xProxy's: a copy, since the application may use its own again."""
    try:
        sending = pool.headers if headers is None else headers
        method, path, content = method.upper(), path_of(url), body_of(body, sending)
        if is_owned(provider, method, path, content):
            return None, headers
        own: dict[str, str] = {}
        if any(map(_is_own, sending)):
            sending = headers = sending.copy()
            own = take_own(headers)
        host = pool.host if url.startswith("/") else place_of(url).host
        return Seen(method, path, content, sending, host, own), headers
    except Exception:
        health.note("call_begin", "a call could not be looked at; it goes through unseen", exc_info=True)
        return None, headers


def _sent_on(headers: Any, retries: Any) -> Any:
    """Headers for a host that is no provider's: without xProxy's where a provider redirected to it, as a manager sends all on."""
    try:
        if not isinstance(retries, urllib3.Retry) or not retries.history or not any(map(_is_own, headers or ())):
            return headers
        if not any(hop.redirect_location and find_at(hop.url) for hop in retries.history):
            return headers
        headers = headers.copy()
        take_own(headers)
    except Exception:
        health.note("hook", "a request could not be looked at; it goes through unseen", exc_info=True)
    return headers


def _is_own(name: Any) -> bool:
    return name[:7].lower() in ("xproxy-", b"xproxy-")


def _tap(call: Call, response: Any) -> Any:
    """Watch the answer's parts as the application reads them. Never raises."""
    try:
        if _raw.is_watched(response):  # a redirect of the pool's own was an exchange of its own
            call.take_over()
            return response
        status, headers = response.status, response.headers
        encoding = headers.get("content-encoding")
        call.answered(status, encoding, headers)
        if 300 <= status < 400:
            redirected(call)
        body = getattr(response, "_body", None)
        if body is not None:  # read already; decoded, unless that was not wanted
            _raw.ended_with(call, body, None if response.decode_content else encoding)
            return response
        return _raw.watch(response, call)
    except Exception:
        health.note("tap", "an answer could not be watched; it goes through unseen", exc_info=True)
        call.end("unknown")
    return response
