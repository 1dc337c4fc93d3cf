"""A WSGI application that is mounted in an ASGI one: its environ is made anew, and shows of whose request only what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from . import context
from .types import Environ, Scope

if TYPE_CHECKING:
    from .metering import Metering

__all__ = ["SCOPE", "scope_of"]

SCOPE = "payi_middleware.scope"
"""The key of the environ under which that scope stands."""


def scope_of(environ: Environ, meter: Metering) -> Scope | None:
    """The scope of the running request that an ASGI middleware of the meter has bound, if the environ is one of it.

    A request that the application makes to a WSGI application in the same process is another one.
    """
    frame = context.frame.get()
    activity = None if frame is None else frame.activity
    if activity is None or activity.face is None or activity.meter is not meter or activity.ended is not None:
        return None
    scope = activity.request
    if not isinstance(scope, Mapping) or scope.get("type") != "http":
        return None
    return scope if _told(scope) in _told_by(environ) else None  # type: ignore[return-value]


def _told(scope: Mapping[str, object]) -> tuple[object, ...]:
    path, query, headers = scope.get("path"), scope.get("query_string"), scope.get("headers")
    host = next((value for name, value in headers or () if name == b"host"), b"")  # type: ignore[attr-defined]
    return scope.get("method"), str(path).encode(), query or b"", host


def _told_by(environ: Environ) -> list[tuple[object, ...]]:
    """With the path under the mount, which is the scope's in Starlette before 0.33, and with the whole one."""
    method, under = environ.get("REQUEST_METHOD"), environ.get("PATH_INFO", "")
    query, host = (environ.get(name, "").encode("latin-1") for name in ("QUERY_STRING", "HTTP_HOST"))
    paths = (under, environ.get("SCRIPT_NAME", "") + under)
    return [(method, path.encode("latin-1"), query, host) for path in paths]
