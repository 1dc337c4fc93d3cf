"""A whole exchange read as a call reads it: the route, the body, then what the request and the headers add."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from answers import body

from payi_middleware.providers import Asked, Provider, Reading, find
from payi_middleware.providers.base import Facts

__all__ = ["read", "reads", "survives"]

_STREAMS = (b"data:", b"event:", b": ", b":\n", b"id:")


def read(
    host: str | Provider,
    path: str,
    answer: bytes,
    request: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
) -> Reading:
    """What a successful answer tells."""
    provider = find(host) if isinstance(host, str) else host
    assert provider is not None, host
    route = provider.route(method, path)
    assert route is not None, path
    sent = body(request) if request is not None else None
    endpoint = route.endpoint
    asked = endpoint.ask(sent) if sent else Asked()
    streamed = (asked.streamed and answer[:1] != b"{") or answer.startswith(_STREAMS)
    reading = endpoint.read_stream(answer) if streamed else endpoint.read(answer)
    if endpoint.refine is None:
        return reading
    name = host if isinstance(host, str) else ""
    return endpoint.refine(reading, Facts(name, path, sent, asked, dict(headers or {}), answer, streamed))


def reads(host: str | Provider, path: str, answer: Any, request: Mapping[str, Any] | None = None) -> Reading:
    """The same of a JSON body."""
    return read(host, path, body(answer), request)


def survives(
    host: str | Provider, path: str, answer: bytes, request: Mapping[str, Any] | None = None, *, method: str = "POST"
) -> None:
    """Cut at each byte, the answer raises nothing, and tells no more than the whole does."""
    whole = read(host, path, answer, request, method=method)
    most = sum(map(sum, (whole.units or {}).values())) + len(answer)
    for end in range(len(answer)):
        reading = read(host, path, answer[:end], request, method=method)
        assert sum(map(sum, (reading.units or {}).values())) <= most
        provider = find(host) if isinstance(host, str) else host
        assert provider is not None
        route = provider.route(method, path)
        assert route is not None
        route.endpoint.read_cut(answer[:end], answer[end:])
        route.endpoint.read_stream(answer[:end], answer[end:], 7)
        if route.endpoint.texts is not None:
            route.endpoint.texts(body(request or {}), answer[:end], end % 2 == 0)
