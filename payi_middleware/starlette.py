"""The face of Starlette: the ASGI middleware is all it needs."""

from __future__ import annotations

from .asgi import PayiMiddleware

__all__ = ["PayiMiddleware"]
