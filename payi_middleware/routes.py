"""The template of the route that serves an ASGI request, put together from the application's own tree of routes.

Starlette and FastAPI keep the path that a mount matched, and no template of it. A raw path may name a person or a tenant, so
where the tree cannot be read, only the route's own template is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .types import Scope

__all__ = ["route_of"]


def route_of(scope: Scope) -> str | None:
    """The template of the route, with the prefixes of routers and mounts."""
    served = _served(scope.get("route") or _route_to(scope.get("endpoint"), scope.get("router")), scope.get("fastapi"))
    path = getattr(served, "path", None)
    prefix = "".join(mount.path for mount in _mounts_of(scope))
    if not isinstance(path, str) or (prefix and hasattr(served, "routes")):  # a mount of what has no routes itself
        return prefix or None
    return prefix + path


def _served(route: Any, fastapi: Any) -> Any:
    """The route, or what FastAPI made of it for the routers that include it: not what it made of a mount above."""
    effective = fastapi.get("effective_route_context") if isinstance(fastapi, dict) else None
    if effective is None or (effective.original_route is not route and hasattr(route, "path")):
        return route
    return getattr(effective, "starlette_route", None) or effective


def _route_to(endpoint: Any, router: Any) -> Any:
    """The route, where the framework does not tell (Starlette before 1.0)."""
    routes = getattr(router, "routes", None) or ()
    return next(
        (route for route in routes if endpoint is not None and getattr(route, "endpoint", None) is endpoint), None
    )


def _mounts_of(scope: Scope) -> list[Any]:
    """The mounts above a route, the outermost first; none where they cannot be told."""
    root, above = scope.get("root_path", ""), scope.get("app_root_path")
    if above is None or root == above:
        return []
    try:
        return _found(scope["router"], {**scope, "root_path": above, "path_params": {}}, root)
    except Exception:  # a router of another make
        return []


def _found(router: Any, scope: Scope, root: str) -> list[Any]:
    """The mounts by which a request came to a path, as the framework finds them."""
    for route in _containers(router):
        match, child = route.matches(scope)
        if match.name != "FULL":
            continue
        here = child.get("root_path", scope["root_path"])
        if not root.startswith(here):
            return []
        mounts = [route] if "root_path" in child else []  # else a host
        if here == root:
            return mounts
        below = _found(route, {**scope, **child}, root)
        return mounts + below if below else []
    return []


def _containers(router: Any) -> Iterator[Any]:
    """The mounts and hosts of a router; FastAPI keeps included routers as they are."""
    while not getattr(router, "routes", None) and hasattr(router, "app"):
        router = router.app  # in a middleware
    for route in getattr(router, "routes", None) or ():
        included = getattr(route, "effective_route_contexts", None)
        for each in (route,) if included is None else (at.starlette_route or at.original_route for at in included()):
            if hasattr(each, "routes"):
                yield each
