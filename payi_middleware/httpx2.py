"""The face of httpx2: what must inherit from its classes."""

from __future__ import annotations

from typing import Any

import httpx2

from ._transport import AsyncTap, AsyncWrapper, InnerWrapper, SyncTap, SyncWrapper

__all__ = ["ASYNC_CLIENT", "CLIENT", "AsyncSeam", "AsyncTransport", "DualTransport", "Seam", "Transport"]

CLIENT: type[Any] = httpx2.Client
ASYNC_CLIENT: type[Any] = httpx2.AsyncClient


class _SyncTap(SyncTap, httpx2.SyncByteStream):
    pass


class _AsyncTap(AsyncTap, httpx2.AsyncByteStream):
    pass


class Seam(SyncWrapper, httpx2.BaseTransport):
    """What the patched client gets for a provider's host."""

    tap_class = _SyncTap
    response_class = httpx2.Response


class AsyncSeam(AsyncWrapper, httpx2.AsyncBaseTransport):
    """The same for an async client."""

    async_tap_class = _AsyncTap
    response_class = httpx2.Response


class _Inner(InnerWrapper):
    tap_class = _SyncTap
    async_tap_class = _AsyncTap
    response_class = httpx2.Response


class Transport(_Inner, httpx2.BaseTransport):
    """One client's transport, nothing patched."""


class AsyncTransport(_Inner, httpx2.AsyncBaseTransport):
    """The same for an async client."""


class DualTransport(_Inner, httpx2.AsyncBaseTransport, httpx2.BaseTransport):
    """The same for either client, as the library's own `MockTransport` is."""
