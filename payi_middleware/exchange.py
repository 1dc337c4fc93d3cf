"""What a call sends, as a face of an HTTP library reads it off a request."""

from __future__ import annotations

import msgspec

__all__ = ["Exchange"]


class Exchange(msgspec.Struct, gc=False):
    """One HTTP exchange as a face sees it before sending; knows no HTTP library."""

    method: str
    path: str
    """Without the query."""
    body: bytes | None
    """The request's body, unpacked; None if it is a stream, which only the transport may read, or cannot be unpacked."""
    own_headers: dict[str, str] | None = None
    """xProxy headers of the SDK's call, already taken off it."""
    retry: str | None = None
    """The SDK's count of retries (`x-stainless-retry-count`), where it tells one and the last call failed."""
    hop: tuple[bytes, int] | None = None
    """`call_group` and `attempt` of the call whose answer redirected to this one."""
    host: str = ""
    """Without the port; needed only where the endpoint has a `refine`."""

    original: bytes | None = None
    """The body as the application has it, where we changed it: by it another attempt is known."""

    __repr__ = object.__repr__  # a log that shows one must not show what was asked
