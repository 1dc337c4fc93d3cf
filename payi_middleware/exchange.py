"""What a call sends, as a face of an HTTP library reads it off a request."""

from __future__ import annotations

__all__ = ["Exchange"]


class Exchange:
    """One HTTP exchange as a face sees it before sending; knows no HTTP library."""

    __slots__ = ("body", "hop", "host", "method", "own_headers", "path", "retry")

    def __init__(
        self,
        method: str,
        path: str,
        body: bytes | None,
        own_headers: dict[str, str] | None = None,
        retry: str | None = None,
        hop: tuple[bytes, int] | None = None,
        host: str = "",
    ) -> None:
        self.method = method
        self.path = path
        """Without the query."""
        self.body = body
        """The request's body; None if it is a stream, which only the transport may read."""
        self.own_headers = own_headers
        """xProxy headers of the SDK's call, already taken off it."""
        self.retry = retry
        """The SDK's count of retries (`x-stainless-retry-count`), where it tells one and the last call failed."""
        self.hop = hop
        """`call_group` and `attempt` of the call whose answer redirected to this one."""
        self.host = host
        """Without the port; needed only where the endpoint has a `refine`."""
