"""The ASGI middleware, for Starlette, FastAPI and any other ASGI application."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Sequence
from typing import Any, Unpack

from . import context, health
from .annotation import ROUTER, Annotation, annotation_of
from .attribution import NOTHING, Given, clean
from .events import Inbound
from .face import Source
from .frames import Activity
from .headers import PREFIX, joined, trace_of
from .inbound import REQUEST_IDS, Identify, Trust, askable, cost_headers, incoming, note_second, request_id
from .instrumentation import instrument
from .limits.guard import Guard
from .meter import Meter, meter_of_face
from .routes import route_of
from .settings import StoreOptions
from .types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["PayiMiddleware"]

BOUND = "payi_middleware"
"""The key of the scope under which a request's meter stands, so that a second middleware leaves it alone."""


class PayiMiddleware:
    """Tie every GenAI call of a web request to its user, tags and use case.

    Args:
        app: The ASGI application.
        meter: The meter; None for the process's default one, made from `settings` and the environment.
        identify: Who the request is for: called once a request, at its first GenAI call, with a connection (Starlette's
            `HTTPConnection` where Starlette is installed). Returns a user id, a mapping of fields or an `Attribution`.
            Without it, `scope["user"].identity` of an authenticated user.
        cost_headers: Add `x-payi-cost` (USD) and `Server-Timing` to responses whose cost is known before the headers go out.
        settings: Settings of the default meter.

    Raises:
        SettingsError: A setting is unknown or malformed, or the meter has others.
    """

    origin = "request"

    def __init__(
        self,
        app: ASGIApp,
        meter: Meter | None = None,
        *,
        identify: Identify | None = None,
        cost_headers: bool = False,
        **settings: Unpack[StoreOptions],
    ) -> None:
        self.app = app
        self.meter = meter_of_face(meter, **settings)
        self._identify = askable(identify)
        self.asks = identify is not None
        """Whether the application gave an `identify`."""
        self._trust = Trust(self.meter.settings.trusted_hosts)
        self.remembered: dict[Any, Any] = {}
        """What its requests have in common."""
        self._cost_headers = cost_headers
        self._has_own = identify is not None or cost_headers
        """Whether it would be missed that an outer face has the request."""
        self._wraps_send = cost_headers or self.meter.settings.flush == "request"
        self._answers_limits = self.meter.settings.limit_responses
        if not self.meter.disabled:
            instrument(self.meter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bind the request for as long as the application serves it."""
        kind = scope["type"]
        if (kind != "http" and kind != "websocket") or scope.get(BOUND) is self.meter or self.meter.disabled:
            if kind == "lifespan" and not self.meter.disabled:
                self.meter.warm()
                send = self._flushing_at_shutdown(send)
            elif self._has_own and scope.get(BOUND) is self.meter:
                self._has_own = False
                note_second()
            await self.app(scope, receive, send)
            return
        if self.meter.cold:
            self.meter.warm()
        scope[BOUND] = self.meter
        activity = Activity(self.meter, self, scope, self.asks)
        if self._identify is not None:
            activity.loop = _running_loop()
        token = context.frame.set(activity)
        try:
            if self._answers_limits and kind == "http" and time.perf_counter_ns() >= self.meter.limits.wakes:
                await self._guarded(activity, scope, receive, send)
            elif self._wraps_send:
                await self._responding(activity, scope, receive, send)
            else:
                await self.app(scope, receive, send)
        finally:
            activity.ended = time.monotonic()
            scope.pop(BOUND, None)  # an outer middleware may have the same scope served again
            # what only memory holds is delivered at once
            if not self.meter.spool.durable and activity.calls:
                self.meter.flusher.hurry()
            try:  # as context.restore, which takes a tenth of a microsecond longer
                context.frame.reset(token)
            except ValueError:
                pass

    async def _guarded(self, activity: Activity, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve where a limit may refuse a call, which is answered if the application does not."""
        guard = Guard(activity, send)
        try:
            await self._served(activity, scope, receive, guard)
        except Exception as error:
            if not await guard.answer(error):
                raise
        else:
            await guard.let_go()

    async def _served(self, activity: Activity, scope: Scope, receive: Receive, send: Send) -> None:
        if self._wraps_send:
            await self._responding(activity, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _responding(self, activity: Activity, scope: Scope, receive: Receive, send: Send) -> None:
        responder = _Responder(activity, send, self._cost_headers, self.meter)
        try:
            await self.app(scope, receive, responder)
        except Exception:
            await responder.flush()
            raise
        await responder.flush()  # what background tasks called after the last body message

    def _flushing_at_shutdown(self, send: Send) -> Send:
        async def flushing(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await _flush(self.meter)
            await send(message)

        return flushing

    # What frames ask of a face:

    def key(self, request: Scope) -> tuple[object, ...]:
        """The endpoint, the user and the router's use case, once the framework knows them."""
        return (request.get("endpoint"), request.get("user"), request.get(ROUTER))

    def annotation(self, request: Scope) -> Annotation | None:
        """What `use_case` left on the endpoint: a function, or a class or its method."""
        endpoint = request.get("endpoint")
        if not isinstance(endpoint, type):
            return annotation_of(endpoint)
        name = request.get("method", "").lower() or "dispatch"
        method = getattr(endpoint, name, None) or (getattr(endpoint, "get", None) if name == "head" else None)
        return annotation_of(method) or annotation_of(endpoint)

    def layers(self, request: Scope) -> Sequence[Given]:
        """Trusted headers, the router's use case, the route's."""
        client, annotation = request.get("client"), self.annotation(request)
        return (
            incoming(_headers(request), client[0] if client else None, self._trust),
            *request.get(ROUTER, ()),
            NOTHING if annotation is None else annotation.given,
        )

    def identify(self, request: Scope) -> Any:
        """Ask the application's `identify`."""
        assert self._identify is not None
        return self._identify(_connection(request))

    def identity(self, request: Scope) -> Given:
        """The authenticated user as Starlette keeps it."""
        user = request.get("user")
        try:
            if user is None or not getattr(user, "is_authenticated", False):
                return NOTHING
            return clean(user_id=_identity_of(user) or None)
        except Exception:  # the application's own class: it may ask a database
            health.note(
                "identity_raised", "scope['user'] could not tell its identity; the user is unknown", exc_info=True
            )
            return NOTHING

    def route(self, request: Scope) -> str | None:
        """The template of the route, with the prefixes of routers and mounts."""
        return route_of(request)

    def inbound(self, request: Scope, route: str | None) -> Inbound:
        """Method, route, request id and trace of the request."""
        method = request.get("method") or ("WEBSOCKET" if request["type"] == "websocket" else None)
        headers = _headers(request)
        if not headers:
            return Inbound(method, route)
        trace, span = trace_of(headers.get("traceparent"))
        return Inbound(method, route, request_id(headers), trace, span)

    def source(self, request: Scope) -> Source | None:
        """The endpoint, where it is mounted, and what trusted headers tell."""
        get = request.get
        if get("user") is not None:  # an object of the application's, which it may take long to ask
            return None
        told, is_plain = [], True
        for header in get("headers") or ():
            name = header[0]
            if name[:7] == _XPROXY:
                told.append(header)
            elif name in _WANTED:
                is_plain = False
        if told:
            client = get("client")
            if not self._trust.trusts(client[0] if client else None):
                return None  # each such request is counted
        endpoint, route, router, routers = get("endpoint"), get("route"), get("router"), get(ROUTER)
        fastapi = get("fastapi")
        served = fastapi.get("effective_route_context") if isinstance(fastapi, dict) else None
        where = id(endpoint), id(route), id(router), id(served), get("root_path"), get("app_root_path"), get("method")
        key = (*where, *map(id, routers or ()), *told)
        return (endpoint, None, routers), key, (endpoint, route, router, served, routers), is_plain


HEADERS = "payi_middleware.headers"
"""The key of the scope under which those headers stand."""
_XPROXY = PREFIX.encode()
_WANTED = frozenset(name.encode() for name in ("traceparent", *REQUEST_IDS))


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # another library's loop
        return None


_LAST = frozenset(("http.response.body", "http.response.pathsend", "websocket.close"))


def _identity_of(user: Any) -> Any:
    try:
        return user.identity
    except (AttributeError, NotImplementedError):  # BaseUser leaves it to its subclasses; SimpleUser has none
        return getattr(user, "username", None) or getattr(user, "display_name", None)


def _headers(scope: Scope) -> dict[str, str]:
    """The headers that mean something here, decoded once a request; ASGI has their names in lower case."""
    found: dict[str, str] | None = scope.get(HEADERS)
    if found is None:
        wanted = [header for header in scope.get("headers") or () if header[0] in _WANTED or header[0][:7] == _XPROXY]
        found = joined([(name.decode("latin-1"), value.decode("latin-1")) for name, value in wanted]) if wanted else {}
        scope[HEADERS] = found
    return found


def _connection(scope: Scope) -> Any:
    """What `identify` gets: Starlette's connection, or the scope itself where Starlette is not installed."""
    kind = _connections()
    return scope if kind is None else kind(scope)


@functools.cache
def _connections() -> Any:
    try:
        from starlette.requests import HTTPConnection
    except ImportError:
        return None
    return HTTPConnection


async def _flush(meter: Meter) -> None:
    """Flush without holding the event loop."""
    try:
        if _running_loop() is not None:
            await asyncio.to_thread(meter.flush)
        else:
            import anyio.to_thread

            await anyio.to_thread.run_sync(meter.flush)
    except Exception:
        health.note("flush", "the last events could not be flushed; they wait in the spool", exc_info=True)


class _Responder:
    """`send` for one request: adds cost headers, and holds the last message until the events are delivered."""

    def __init__(self, activity: Activity, send: Send, cost_headers: bool, meter: Meter) -> None:
        self._activity = activity
        self._send = send
        self._cost_headers = cost_headers
        self._flushes = meter.settings.flush == "request"
        self._meter = meter
        self._flushed = 0  # calls that had ended when the last flush began

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._cost_headers:
            told = [(name.encode(), value.encode()) for name, value in cost_headers(self._activity)]
            if told:
                message = {**message, "headers": [*message.get("headers", ()), *told]}
        elif kind in _LAST and not message.get("more_body"):
            await self.flush()
        await self._send(message)

    async def flush(self) -> None:
        """Deliver the calls that ended since the last time, if requests are to wait for that."""
        ended = self._activity.ended_calls
        if self._flushes and ended > self._flushed:
            self._flushed = ended
            await _flush(self._meter)
