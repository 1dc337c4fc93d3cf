"""`track` and `use_case`: blocks that say for whom and for what the calls inside them are made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from . import carrier, context, health
from ._transport import HOOK
from .attribution import Given, check_use_case, clean
from .exceptions import UseCaseError
from .frames import Activity, Block, Frame

if TYPE_CHECKING:
    from .meter import Meter

__all__ = ["ANNOTATION", "annotation_of", "track", "use_case"]

ANNOTATION = "__payi_use_case__"
"""The attribute that `use_case` leaves on a function or class."""

F = TypeVar("F", bound=Callable[..., Any])


class track:  # noqa: N801  # a context manager and decorator is used like a function
    """Say for whom the calls inside are made: a context manager (also `async with`) and a decorator.

    For scripts, workers and tests; inside a web request it is laid over what the request tells. A value of None keeps the
    outer one, an empty one clears it; tags and limit ids are added to the outer ones.

    Args:
        user_id: The user; at most 256 characters.
        account_name: The customer or tenant.
        request_tags: Labels of 1 to 64 of `A-Z a-z 0-9 _ -`, at most 32.
        request_properties: Text by text.
        use_case_properties: Text by text, of the use case's instance.
        limit_ids: Ids of limits to charge.
        limit_tags: Labels of limits.
        price_as: A resource, or `category/resource`, by whose rates to price instead of the model that answered.
        resource_scope: `global`, `datazone`, `region` or one of them with a name.
        meter: The meter for calls inside; None for the outer one, or the process's default.
    """

    def __init__(
        self,
        user_id: str | int | None = None,
        account_name: str | None = None,
        request_tags: Sequence[str] | str | None = None,
        request_properties: Mapping[str, Any] | None = None,
        *,
        use_case_properties: Mapping[str, Any] | None = None,
        limit_ids: Sequence[str] | str | None = None,
        limit_tags: Sequence[str] | str | None = None,
        price_as: str | None = None,
        resource_scope: str | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._given = clean(
            user_id=user_id,
            account_name=account_name,
            request_tags=request_tags,
            request_properties=request_properties,
            use_case_properties=use_case_properties,
            limit_ids=limit_ids,
            limit_tags=limit_tags,
            price_as=price_as,
            resource_scope=resource_scope,
        )
        self._meter = meter

    @classmethod
    def from_carrier(cls, mapping: Mapping[str, Any], *, meter: Meter | None = None) -> Self:
        """The block of a request that `current().carrier()` was called in, at the other end of a job queue.

        A carrier that is malformed, altered or signed with another key is ignored, counted and logged once.
        """
        made = cls.__new__(cls)
        made._given = carrier.read(mapping, meter)
        made._meter = meter
        return made

    def __enter__(self) -> Self:
        context.frame.set(self._frame())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Found by looking, not by a token: one block object may be open in many threads and tasks at once, and a fixture may be
        # left in another context than it was entered in, where there is nothing to put back.
        at = context.frame.get()
        while isinstance(at, Block) and at.opener is not self:
            at = at.parent
        if isinstance(at, Block):
            context.frame.set(at.outside)
            _leave(at)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: F) -> F:
        """Decorate a function (sync, async, or a generator of either kind): each call runs in a block of its own.

        Raises:
            TypeError: It is no function.
        """
        if isinstance(function, type) or not callable(_inside(function)):
            raise TypeError(f"track decorates functions; {health.shown(function)} is none: decorate its methods")
        decorated: F = _decorated(function, lambda inner: _wrapped(inner, self._frame))
        return decorated

    def _frame(self) -> Frame:
        outside = outer = context.frame.get()
        if outer is None or (self._meter is not None and self._meter is not outer.activity.meter):
            outer = Activity(self._meter)
        return Block(outer, self._given, self, outside)


class use_case(track):  # noqa: N801  # as track
    """Name the use case of a route or of any function; also a context manager.

    On a route it may stand above or below the framework's own decorator. Calls that the request makes anywhere (dependencies,
    background tasks, the generator of a streaming response) belong to it, not only those made while the function runs.

    Args:
        name: 1 to 64 of `A-Z a-z 0-9 . _ -`.
        id: The instance; None for a new uuid a request.
        version: The version of the use case's definition.
        step: The step inside the instance.
        properties: Text by text, of the instance.
        tags: Request tags.

    Raises:
        UseCaseError: The name is not valid, or the function has a use case of another name.
    """

    def __init__(
        self,
        name: str,
        *,
        id: str | None = None,
        version: int | None = None,
        step: str | None = None,
        properties: Mapping[str, Any] | None = None,
        tags: Sequence[str] | str = (),
    ) -> None:
        super().__init__()
        self._given = clean(
            use_case_name=check_use_case(name),
            use_case_id=id,
            use_case_version=version,
            use_case_step=step,
            use_case_properties=properties,
            request_tags=tags or None,
        )

    def __call__(self, function: F) -> F:
        """Annotate a route or wrap a function."""
        decorated: F = _decorated(function, self._annotating)
        return decorated

    def _annotating(self, function: F) -> F:
        given = _joined(annotation_of(function), self._given)
        if isinstance(getattr(function, "view_class", None), type) or not _is_function(function):
            return _annotated(function, given)  # a class-based view, what its as_view() made, an application
        wrapper = _wrapped(function, functools.partial(self._frame_unless_route, given))
        _annotated(function, given)  # the framework may hold the function itself
        return _annotated(wrapper, given)

    def _frame_unless_route(self, given: Given) -> Frame | None:
        """No block where this is the annotation of the running route: that one has its own, lower place."""
        outer = context.frame.get()
        if outer is not None:
            activity = outer.activity
            if activity.face is not None and activity.face.annotation(activity.request) is given:
                return None
        return Block(outer or Activity(None), given)


def annotation_of(function: object) -> Given | None:
    """What `use_case` left on a function or class."""
    found = getattr(function, ANNOTATION, None)
    return found if isinstance(found, Given) else None


def _joined(inner: Given | None, outer: Given) -> Given:
    if inner is None:
        return outer
    if inner.use_case_name != outer.use_case_name:
        raise UseCaseError(
            f"one route cannot have two use cases: {inner.use_case_name!r} and {outer.use_case_name!r}; "
            "keep one decorator, or open the second as a block: with use_case(...)"
        )
    return outer.over(inner)


def _annotated(target: F, given: Given) -> F:
    setattr(target, ANNOTATION, given)
    return target


def _is_function(target: object) -> bool:
    return inspect.isroutine(target) or isinstance(target, functools.partial)


def _inside(function: Any) -> Any:
    """The function in a static or class method."""
    return function.__func__ if isinstance(function, (staticmethod, classmethod)) else function


def _decorated(function: Any, decorate: Callable[[Any], Any]) -> Any:
    """What a decorator makes of a function, or of the function in a static or class method."""
    inner = _inside(function)
    return decorate(inner) if inner is function else type(function)(decorate(inner))


def _leave(frame: Frame | None) -> None:
    """The end of an outermost block is the end of its activity."""
    if not (isinstance(frame, Block) and isinstance(frame.parent, Activity) and frame.parent.face is None):
        return
    activity = frame.parent
    activity.end()
    if activity.calls:
        HOOK.meter_for(activity).activity_ended()


class _Running:
    """One step inside a frame."""

    __slots__ = ("frame", "outside")

    def __init__(self, frame: Frame | None) -> None:
        self.frame = frame

    def __enter__(self) -> None:
        self.outside = context.frame.get()
        context.frame.set(self.frame)

    def __exit__(self, *error: object) -> None:
        at = context.frame.get()
        while at is not None and at is not self.frame:  # an inner block was not left
            at = at.parent
        if at is self.frame:  # an abandoned coroutine is closed in any context, where there is nothing to put back
            context.frame.set(self.outside)


def _wrapped(function: F, frame: Callable[[], Frame | None]) -> F:
    """The same kind of function, each call in a frame of its own; no frame, no block."""
    if inspect.isasyncgenfunction(function):
        return _wrapped_async_generator(function, frame)  # type: ignore[return-value]
    if inspect.isgeneratorfunction(function):
        return _wrapped_generator(function, frame)  # type: ignore[return-value]
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            made = frame()
            if made is None:
                return await function(*args, **kwargs)
            try:
                with _Running(made):
                    return await function(*args, **kwargs)
            finally:
                _leave(made)

        return coroutine  # type: ignore[return-value]

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        made = frame()
        if made is None:
            return function(*args, **kwargs)
        try:
            with _Running(made):
                return function(*args, **kwargs)
        finally:
            _leave(made)

    return plain  # type: ignore[return-value]


def _wrapped_generator(function: Callable[..., Any], frame: Callable[[], Frame | None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        made = frame() or context.frame.get()
        steps = function(*args, **kwargs)
        resume, value = steps.send, None
        try:
            while True:
                with _Running(made):
                    item = resume(value)
                try:
                    resume, value = steps.send, (yield item)
                except GeneratorExit:
                    with _Running(made):
                        steps.close()
                    raise
                except BaseException as error:
                    resume, value = steps.throw, error
        except StopIteration as stop:
            return stop.value
        finally:
            _leave(made)

    return generator


def _wrapped_async_generator(function: Callable[..., Any], frame: Callable[[], Frame | None]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        made = frame() or context.frame.get()
        steps = function(*args, **kwargs)
        resume, value = steps.asend, None
        try:
            while True:
                with _Running(made):
                    item = await resume(value)
                try:
                    resume, value = steps.asend, (yield item)
                except GeneratorExit:
                    with _Running(made):
                        await steps.aclose()
                    raise
                except BaseException as error:
                    resume, value = steps.athrow, error
        except StopAsyncIteration:
            return
        finally:
            _leave(made)

    return generator
