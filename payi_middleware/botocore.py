"""The face of botocore (and boto3), sync; aiobotocore sends through aiohttp or httpx, whose faces see it.

`Endpoint._send` is patched: one signed request, whatever HTTP session sends it. An attempt of botocore's own retries is a
call of its own. `Endpoint.create_request` is patched too: an xProxy header has to be taken off before the request is
signed. One that a handler adds as late as `before-sign` is covered by the signature: it is read and goes out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.endpoint import Endpoint

from . import _raw, health
from ._outbound import HOOK, Seen, begin, body_of, find_at, is_owned, path_of, place_of, refused, sent, take_own
from ._patches import Patches
from .call import Call, owner
from .limits.places import STATUS
from .providers.base import Provider

if TYPE_CHECKING:
    from .limits.answer import Refused
    from .metering import Metering

__all__ = ["hook"]

_OWN = "_payi_own"


def hook(patches: Patches) -> str:
    """Put the seam in; returns what was done."""
    if "_send" not in Endpoint.__dict__:
        return "unsupported"
    patches.put(Endpoint, "_send", _sending)
    patches.put(Endpoint, "create_request", _creating)
    return "seam"


def _creating(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_request(self: Any, params: Any, *args: Any, **more: Any) -> Any:
        if not HOOK.active or find_at(self.host) is None:
            return original(self, params, *args, **more)
        params, own = _without_own(params)
        request = original(self, params, *args, **more)
        if own:
            request.__dict__[_OWN] = own
        return request

    return create_request


def _without_own(params: Any) -> tuple[Any, dict[str, str]]:
    """The parameters of a request and its xProxy headers: a copy, since botocore makes each attempt from the same."""
    try:
        headers = params["headers"].copy()
        own = take_own(headers)
        return ({**params, "headers": headers} if own else params), own
    except Exception:
        health.note("call_begin", "the headers of a call could not be looked at", exc_info=True)
        return params, {}


def _sending(original: Callable[..., Any]) -> Callable[..., Any]:
    def _send(self: Any, request: Any) -> Any:
        if not HOOK.active:
            return original(self, request)
        found = find_at(request.url)
        call = None if found is None else _begin(request, *found)
        if call is None:
            return original(self, request)
        refusal = refused(call)
        if refusal is not None:
            return _instead(request, refusal)
        token = None
        try:
            token = owner.set(call)
            call.sending = True
            response = original(self, request)
        except BaseException as error:
            call.failed(error)
            raise
        finally:
            call.sending = False  # before any call, where a signal's handler may raise
            sent(token)
        return _tap(call, response)

    return _send


def _instead(request: Any, refusal: Refused) -> AWSResponse:
    """The answer to a call that a limit refuses; the header is where botocore looks for an error's code."""
    headers = HeadersDict({**refusal.headers, "x-amzn-errortype": refusal.code})
    answer = AWSResponse(request.url, STATUS, headers, _raw.made(refusal, request.method))
    if not request.stream_output:
        answer.content  # noqa: B018  # botocore's own sessions have read it by now
    return answer


def _begin(request: Any, meter: Metering, provider: Provider) -> Call | None:
    try:
        method, path, body = request.method, path_of(request.url), body_of(request.body, request.headers)
        own = {**request.__dict__.pop(_OWN, {}), **take_own(request.headers)}
        if is_owned(provider, method, path, body):
            return None
        seen = Seen(method, path, body, request.headers, place_of(request.url).host, own)
    except Exception:
        health.note("call_begin", "a call could not be looked at; it goes through unseen", exc_info=True)
        return None
    return begin(meter, provider, seen)


def _tap(call: Call, response: Any) -> Any:
    """Watch the answer's parts as they are read; botocore itself has read what is no stream. Never raises."""
    if call.taken:
        return response
    try:
        if _raw.is_told(response.raw, call):
            return response
        headers = response.headers
        encoding = headers.get("content-encoding")
        call.answered(response.status_code, encoding, headers)
        if response._content is not None:
            _raw.ended_with(call, response._content, encoding)
        else:
            response.raw = _raw.watch(response.raw, call)
    except Exception:
        health.note("tap", "an answer could not be watched; it goes through unseen", exc_info=True)
        call.end("unknown")
    return response
