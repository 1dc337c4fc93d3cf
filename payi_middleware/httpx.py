"""The face of httpx: what must inherit from its classes."""

from __future__ import annotations

from typing import Any

import httpx

from ._transport import AsyncTap, AsyncWrapper, InnerWrapper, SyncTap, SyncWrapper

__all__ = ["ASYNC_CLIENT", "CLIENT", "AsyncSeam", "AsyncTransport", "DualTransport", "Seam", "Transport"]

CLIENT: type[Any] = httpx.Client
ASYNC_CLIENT: type[Any] = httpx.AsyncClient


class _SyncTap(SyncTap, httpx.SyncByteStream):
    pass


class _AsyncTap(AsyncTap, httpx.AsyncByteStream):
    pass


class Seam(SyncWrapper, httpx.BaseTransport):
    """What the patched client gets for a provider's host."""

    tap_class = _SyncTap
    response_class = httpx.Response


class AsyncSeam(AsyncWrapper, httpx.AsyncBaseTransport):
    """The same for an async client."""

    async_tap_class = _AsyncTap
    response_class = httpx.Response


class _Inner(InnerWrapper):
    tap_class = _SyncTap
    async_tap_class = _AsyncTap
    response_class = httpx.Response


class Transport(_Inner, httpx.BaseTransport):
    """One client's transport, nothing patched."""


class AsyncTransport(_Inner, httpx.AsyncBaseTransport):
    """The same for an async client."""


class DualTransport(_Inner, httpx.AsyncBaseTransport, httpx.BaseTransport):
    """The same for either client, as the library's own `MockTransport` is."""
