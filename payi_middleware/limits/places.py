"""Where the answer to a refused call says so; what faces need of it before any call is refused."""

from __future__ import annotations

from typing import Final

__all__ = ["EXTENSION", "HEADER", "REASON", "STATUS"]

STATUS: Final = 400
"""As Pay-i's proxy answers; no SDK tries such an answer again."""
REASON: Final = "Bad Request"
HEADER: Final = "x-payi-limit-reached"
"""A `LimitReached` as JSON, for libraries that keep headers and not the body."""
EXTENSION: Final = "payi_limit_reached"
"""Among the extensions of an answer of httpx and httpx2."""
