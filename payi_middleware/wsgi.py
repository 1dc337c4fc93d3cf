"""The WSGI middleware, for any WSGI application; Flask has its own face over it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack

from . import context
from .annotation import Annotation, annotation_of
from .attribution import NOTHING, Given, clean
from .events import Inbound
from .face import Source
from .frames import Activity
from .headers import trace_of
from .inbound import Identify, Trust, askable, cost_headers, incoming, note_second, request_id
from .instrumentation import instrument
from .limits.problem import problem_of
from .meter import Meter, meter_of_face
from .mounted import SCOPE, scope_of
from .settings import StoreOptions
from .steps import Steps
from .types import Environ, StartResponse, WSGIApp

__all__ = ["PayiWSGIMiddleware"]

BOUND = "payi_middleware.meter"
"""The key of the environ under which a request's meter stands, so that a second middleware leaves it alone; WSGI allows
only strings under a key without a dot."""


class PayiWSGIMiddleware:
    """Tie every GenAI call of a web request to its user, tags and use case.

    Args:
        app: The WSGI application.
        meter: The meter; None for the process's default one, made from `settings` and the environment.
        identify: Who the request is for: called once a request, at its first GenAI call, with the environ. Returns a
            user id, a mapping of fields or an `Attribution`. Without it, `REMOTE_USER`.
        cost_headers: Add `x-payi-cost` (USD) and `Server-Timing` to responses whose cost is known before the headers
            go out.
        settings: Settings of the default meter.

    Raises:
        SettingsError: A setting is unknown or malformed, or the meter has others.
    """

    origin = "request"

    def __init__(
        self,
        app: WSGIApp,
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
        if not self.meter.disabled:
            instrument(self.meter)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Bind the request for each step of the application's answer."""
        if self.meter.disabled:
            return self.app(environ, start_response)
        if environ.get(BOUND) is self.meter or self._is_mounted(environ):
            if self._has_own:
                self._has_own = False
                note_second()
            return self.app(environ, start_response)
        if self.meter.cold:
            self.meter.warm()
        environ[BOUND] = self.meter
        activity = Activity(self.meter, self, self.bound(environ), self.asks)
        if self._cost_headers:
            start_response = _telling_cost(activity, start_response)
        running = Steps(activity)
        try:
            with running:
                answer = self.app(environ, start_response)
        except BaseException as error:
            self.end(activity)
            told = self.problem(activity, error, start_response)
            if told is None:
                raise
            return [told]
        if type(answer) in (list, tuple) or _is_file(answer, environ):  # nothing more can be called while it is sent
            self.end(activity)
            return answer
        return _Answer(answer, running, activity, self, start_response)

    def _is_mounted(self, environ: Environ) -> bool:
        """Whether an ASGI middleware with the same meter has the request, within which this one is mounted."""
        if context.frame.get() is None:
            return False
        scope = scope_of(environ, self.meter)
        if scope is not None:
            environ[SCOPE] = scope
        return scope is not None

    def problem(self, activity: Activity, error: BaseException, start_response: StartResponse) -> bytes | None:
        """Begin the answer to a request in which a limit refused a call and nobody caught that: its body, or None.

        Raises:
            BaseException: The error itself, if the answer has begun: that is how WSGI has it.
        """
        told = problem_of(error) if activity.refused and self.meter.settings.limit_responses else None
        if told is None:
            return None
        start_response(
            f"{told.status} {told.reason}", list(told.headers.items()), (type(error), error, error.__traceback__)
        )
        return told.body

    def bound(self, environ: Environ) -> Any:
        """What stands for the request in the methods below."""
        return environ

    def environ_of(self, request: Any) -> Environ:
        """The environ of what stands for the request."""
        environ: Environ = request
        return environ

    def delivered(self, activity: Activity, before: int) -> int:
        """Calls that are delivered now, where a part of the answer is to wait for that; `before` were already."""
        ended = activity.ended_calls
        if ended > before and self.meter.settings.flush == "request":
            self.meter.flush()
        return ended

    def end(self, activity: Activity) -> None:
        """The request is over."""
        activity.end()
        self.environ_of(activity.request).pop(BOUND, None)  # an outer middleware may have it served again
        if activity.calls:
            self.meter.activity_ended()

    # What frames ask of a face:

    def key(self, request: Any) -> tuple[object, ...]:
        """The user, once a server or middleware knows one."""
        return (request.get("REMOTE_USER"),)

    def annotation(self, request: Any) -> Annotation | None:
        """What `use_case` left on the application: WSGI itself has no routes."""
        return annotation_of(self.app)

    def layers(self, request: Any) -> Sequence[Given]:
        """Trusted headers, the route's use case."""
        annotation = self.annotation(request)
        return (
            incoming(headers_of(request), request.get("REMOTE_ADDR"), self._trust),
            NOTHING if annotation is None else annotation.given,
        )

    def identify(self, request: Any) -> Any:
        """Ask the application's `identify`."""
        assert self._identify is not None
        return self._identify(request)

    def identity(self, request: Any) -> Given:
        """The user as the server authenticated it."""
        return clean(user_id=request.get("REMOTE_USER") or None)

    def route(self, request: Any) -> str | None:
        """WSGI itself has no routes."""
        return None

    def inbound(self, request: Any, route: str | None) -> Inbound:
        """Method, request id and trace of the request."""
        return inbound_of(request, route)

    def source(self, request: Any) -> Source | None:
        """Not worth finding out: a request's headers have to be spelt out anew in any case."""
        return None


def inbound_of(environ: Environ, route: str | None) -> Inbound:
    """The facts of a request whose route is known."""
    headers = headers_of(environ)
    trace, span = trace_of(headers.get("traceparent"))
    return Inbound(environ.get("REQUEST_METHOD"), route, request_id(headers), trace, span)


def headers_of(environ: Environ) -> dict[str, str]:
    """The request's headers, names in lower case."""
    return {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}


def _is_file(answer: Iterable[bytes], environ: Environ) -> bool:
    """Whether the server may send the answer by the system's own means, as it does for nothing that is wrapped."""
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(answer, wrapper)


def _telling_cost(activity: Activity, start_response: StartResponse) -> StartResponse:
    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        return start_response(status, [*headers, *cost_headers(activity)], *rest)

    return start


class _Answer:
    """The application's answer, each step of it under the request: a plain generator has lost it by then."""

    def __init__(
        self,
        answer: Iterable[bytes],
        running: Steps,
        activity: Activity,
        face: PayiWSGIMiddleware,
        start_response: StartResponse,
    ) -> None:
        self._answer = answer
        self._start_response = start_response
        self._steps: Iterator[bytes] | None = None
        self._running = running
        self._activity = activity
        self._face = face
        self._delivered = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            with self._running:
                if self._steps is None:
                    self._steps = iter(self._answer)
                return next(self._steps)
        except StopIteration:
            raise
        except Exception as error:
            told = self._face.problem(self._activity, error, self._start_response)
            if told is None:
                raise
            self._steps = iter(())
            return told
        finally:
            self._delivered = self._face.delivered(self._activity, self._delivered)

    def close(self) -> None:
        """Close the answer, which ends the request."""
        try:
            with self._running:
                close = getattr(self._answer, "close", None)
                if close is not None:
                    close()
        finally:
            self._face.end(self._activity)
