"""The face of Flask: `Payi(app)`, or `Payi()` and `init_app` for application factories."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Unpack

from . import context, health
from .annotation import ROUTER, Annotation, annotation_of
from .attribution import NOTHING, Given, clean
from .events import Inbound
from .face import Source
from .inbound import Identify, incoming, note_second
from .limits.problem import problem_of
from .meter import Meter
from .mounted import SCOPE
from .settings import StoreOptions
from .types import Environ, Scope
from .wsgi import PayiWSGIMiddleware, headers_of, inbound_of

if TYPE_CHECKING:
    from flask import Flask, Response

__all__ = ["Payi"]

EXTENSION = "payi_middleware"


class Payi:
    """The Flask extension.

    Args:
        app: The application; None if `init_app` follows.
        meter: The meter; None for the process's default one, made from `settings` and the environment.
        identify: Who the request is for: called once a request, at its first GenAI call, with Flask's `request`.
            Returns a user id, a mapping of fields or an `Attribution`. Without it, `flask_login`'s current user, if the
            application has a login manager.
        cost_headers: Add `x-payi-cost` (USD) and `Server-Timing` to responses whose cost is known before the headers
            go out.
        settings: Settings of the default meter.

    Raises:
        SettingsError: A setting is unknown or malformed, or the meter has others.
    """

    def __init__(
        self,
        app: Flask | None = None,
        meter: Meter | None = None,
        *,
        identify: Identify | None = None,
        cost_headers: bool = False,
        **settings: Unpack[StoreOptions],
    ) -> None:
        self._arguments: dict[str, Any] = {"identify": identify, "cost_headers": cost_headers, **settings}
        self._meter = meter
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Wrap an application; a second time does nothing."""
        if EXTENSION in app.extensions:
            if not app.extensions[EXTENSION].has(**self._arguments):
                note_second()
            return
        face = _FlaskFace(app, app.wsgi_app, self._meter, **self._arguments)
        if not face.meter.disabled:
            app.after_request(_leaving)  # first, since Flask refuses it where the application serves already
            app.before_request_funcs.setdefault(None, []).insert(0, _matched)  # before any that makes calls
            app.wsgi_app = face  # type: ignore[method-assign]
            if face.meter.settings.limit_responses:
                app.handle_exception = _answering(app, app.handle_exception)  # type: ignore[method-assign,assignment]
        app.extensions[EXTENSION] = face


class _Bound:
    """A request as the face knows it."""

    __slots__ = ("by_login", "context", "environ", "late_login", "rule", "streamed", "view")

    def __init__(self, environ: Environ, by_login: bool) -> None:
        self.environ = environ
        self.by_login = by_login
        """Whether flask_login tells the user, and not the application's `identify`."""
        self.rule: str | None = None
        self.view: Any = None
        self.context: Context | None = None
        """Flask's own variables: a plain generator, and a thread, have lost them."""
        self.streamed = False
        """Whether the answer is a generator, which may make the first call when Flask is done."""
        self.late_login: tuple[str | None] | None = None
        """flask_login's user, where only such a call asked for it."""


def _running() -> _Bound | None:
    """The request that runs now, if it is bound to a Flask application."""
    frame = context.frame.get()
    request = None if frame is None else frame.activity.request
    return request if isinstance(request, _Bound) else None


def _matched() -> None:
    """Note the route while Flask knows it."""
    from flask import current_app, request

    bound = _running()
    if bound is None:
        scope = request.environ.get(SCOPE)
        if scope is not None and request.url_rule is not None:
            _tell(scope, current_app.view_functions.get(request.url_rule.endpoint), request.method)
        return
    rule = request.url_rule
    if rule is not None:
        bound.rule = rule.rule
        bound.view = current_app.view_functions.get(rule.endpoint)
    token = context.frame.set(None)  # else the copy would hold the activity, which holds the copy
    bound.context = copy_context()
    context.restore(context.frame, token)


def _tell(scope: Scope, view: Any, method: str) -> None:
    """Leave a view's use case where an ASGI middleware looks, which has the request and knows of no view here."""
    annotation = _annotation(view, method)
    if annotation is not None:
        scope[ROUTER] = (*scope.get(ROUTER, ()), annotation.given)


def _annotation(view: Any, method: str) -> Annotation | None:
    """What `use_case` left on the view, on its class's method, or on its class."""
    found = annotation_of(view)
    view_class = getattr(view, "view_class", None)
    if found is not None or view_class is None:
        return found
    name = method.lower()
    its = getattr(view_class, name, None) or (getattr(view_class, "get", None) if name == "head" else None)
    return (
        annotation_of(its) or annotation_of(getattr(view_class, "dispatch_request", None)) or annotation_of(view_class)
    )


def _answering(app: Flask, original: Callable[[Exception], Response]) -> Callable[[Exception], Response]:
    """Answers for a limit where no error handler of the application did: Flask makes an error a 500 before WSGI sees it."""

    def handle_exception(error: Exception) -> Response:
        frame = context.frame.get()
        told = problem_of(error) if frame is not None and frame.activity.refused else None
        if told is None:
            return original(error)
        response = app.response_class(told.body, told.status, told.headers)
        return app.finalize_request(response, from_error_handler=True)

    return handle_exception


def _leaving(response: Response) -> Response:
    """Note that an answer is streamed. Nothing is read before a call is made: that could load a user, or set a cookie."""
    bound = _running()
    if bound is not None:
        bound.streamed = response.is_streamed and not response.direct_passthrough
    return response


def _login_id() -> str | None:
    """The id of flask_login's current user, where this application has that and somebody is logged in."""
    from flask import current_app

    flask_login = sys.modules.get("flask_login")
    if flask_login is None or not hasattr(current_app, "login_manager"):
        return None
    try:
        return _id_of(flask_login.current_user)
    except Exception:
        health.note("identity_raised", "flask_login could not tell the user; the user is unknown", exc_info=True)
        return None


def _id_of(user: Any) -> str | None:
    return str(user.get_id()) if getattr(user, "is_authenticated", False) else None


def _login_id_known() -> tuple[str | None] | None:
    """The same after the request, if it was loaded by then: to load it there could open a session that nobody closes."""
    from flask import g

    return (_id_of(g._login_user),) if "_login_user" in g else None


async def _within(known: Context, answer: Awaitable[Any]) -> Any:
    """The answer of an async `identify` that finds Flask's variables."""

    import asyncio

    async def awaited() -> Any:
        return await answer

    return await asyncio.get_running_loop().create_task(awaited(), context=known)


class _FlaskFace(PayiWSGIMiddleware):
    """WSGI, with Flask's routes and users."""

    def __init__(self, app: Flask, wsgi_app: Any, meter: Meter | None, **arguments: Any) -> None:
        super().__init__(wsgi_app, meter, **arguments)
        self._flask = app

    def has(self, identify: Identify | None, cost_headers: bool, **settings: Any) -> bool:
        """Whether it does what another one would do."""
        return identify in (None, self._identify) and (self._cost_headers or not cost_headers)

    def bound(self, environ: Environ) -> _Bound:
        return _Bound(environ, self._identify is None)

    def environ_of(self, request: _Bound) -> Environ:
        return request.environ

    def key(self, request: _Bound) -> tuple[object, ...]:
        return (request.view, self._user(request) if request.by_login else None)

    def annotation(self, request: _Bound) -> Annotation | None:
        return _annotation(request.view, str(request.environ.get("REQUEST_METHOD", "")))

    def layers(self, request: _Bound) -> Sequence[Given]:
        environ, annotation = request.environ, self.annotation(request)
        told = incoming(headers_of(environ), environ.get("REMOTE_ADDR"), self._trust)
        return (told, NOTHING if annotation is None else annotation.given)

    def identify(self, request: _Bound) -> Any:
        """Ask the application's `identify`, with Flask's request."""
        from flask import has_request_context

        if has_request_context():
            return self._identify_here()
        if request.context is not None:
            answer = request.context.copy().run(self._identify_here)
            return _within(request.context.copy(), answer) if inspect.isawaitable(answer) else answer
        assert self._identify is not None
        return self._identify(self._flask.request_class(request.environ))

    def _identify_here(self) -> Any:
        from flask import request

        assert self._identify is not None
        return self._identify(request._get_current_object())  # type: ignore[attr-defined]  # a proxy of it

    def identity(self, request: _Bound) -> Given:
        """flask_login's user, or the server's."""
        user = self._user(request)
        return clean(user_id=user) if user else super().identity(request.environ)

    def _user(self, request: _Bound) -> str | None:
        if "flask_login" not in sys.modules:
            return None
        from flask import has_request_context

        if has_request_context():
            return _login_id()
        if request.context is None:
            return None
        known = request.context.copy().run(_login_id_known) or request.late_login
        if known is None and request.streamed:
            known = request.late_login = (copy_context().run(self._login_id_anew, request.environ),)
        return None if known is None else known[0]

    def _login_id_anew(self, environ: Environ) -> str | None:
        """The user as a request of its own loads it, with all that the application opens and closes for one."""
        try:
            with self._flask.request_context(dict(environ)):
                return _login_id()
        except Exception:
            health.note("identity_raised", "a user could not be loaded again; the user is unknown", exc_info=True)
            return None

    def route(self, request: _Bound) -> str | None:
        return request.rule

    def inbound(self, request: _Bound, route: str | None) -> Inbound:
        return inbound_of(request.environ, route)

    def source(self, request: _Bound) -> Source | None:
        """The view, and what trusted headers tell."""
        environ, view = request.environ, request.view
        if request.by_login or environ.get("REMOTE_USER"):
            return None
        told = tuple([header for header in environ.items() if header[0][:12] == "HTTP_XPROXY_"])
        if told and not self._trust.trusts(environ.get("REMOTE_ADDR")):
            return None  # each such request is counted
        return (view, None), (id(view), request.rule, environ.get("REQUEST_METHOD"), told), (view,), False
