"""`track` and `use_case`: blocks that say for whom and for what the calls inside them are made."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from . import carrier, context, health, identify
from ._outbound import HOOK, meter_of
from .annotation import Annotation, annotate, over
from .attribution import Given, check_use_case, clean
from .decorating import decorated, inside, leave, wrapped
from .frames import Activity, Block, continued, elsewhere, outward
from .meter import Meter, checked

__all__ = ["track", "use_case"]

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
        use_case_name: A use case that is known only here, at run time; one that is malformed is dropped. An empty one ends the
            outer one, with id, version, step and properties. Another name than the outer one's begins them anew.
        use_case_id: The instance.
        use_case_version: The version of the use case's definition.
        use_case_step: The step inside the instance.
        use_case_properties: Text by text, of the instance.
        limit_ids: Ids of limits to charge.
        limit_tags: Labels of limits.
        price_as: A resource, or `category/resource`, by whose rates to price instead of the model that answered.
        resource_scope: `global`, `datazone`, `region` or one of them with a name.
        meter: The meter for calls inside, which belong to the same request; None for the outer one, or the process's default.

    Raises:
        TypeError: It stands over a function without parentheses.
    """

    _alone = False
    """Whether nothing that is around it holds inside."""

    def __init__(
        self,
        user_id: str | int | None = None,
        account_name: str | None = None,
        request_tags: Sequence[str] | str | None = None,
        request_properties: Mapping[str, Any] | None = None,
        *,
        use_case_name: str | None = None,
        use_case_id: str | None = None,
        use_case_version: int | None = None,
        use_case_step: str | None = None,
        use_case_properties: Mapping[str, Any] | None = None,
        limit_ids: Sequence[str] | str | None = None,
        limit_tags: Sequence[str] | str | None = None,
        price_as: str | None = None,
        resource_scope: str | None = None,
        meter: Meter | None = None,
    ) -> None:
        if callable(user_id) and (inspect.isroutine(user_id) or isinstance(user_id, type)):
            raise TypeError(
                f"track needs parentheses, as in @track(user_id=...): {health.shown(user_id)} is no user id"
            )
        self._given = clean(
            user_id=user_id,
            account_name=account_name,
            request_tags=request_tags,
            request_properties=request_properties,
            use_case_name=use_case_name,
            use_case_id=use_case_id,
            use_case_version=use_case_version,
            use_case_step=use_case_step,
            use_case_properties=use_case_properties,
            limit_ids=limit_ids,
            limit_tags=limit_tags,
            price_as=price_as,
            resource_scope=resource_scope,
        )
        self._meter = None if meter is None else checked(meter)

    @classmethod
    def from_carrier(cls, mapping: Mapping[str, Any], *, meter: Meter | None = None) -> Self:
        """The block of a request that `current().carrier()` was called in, at the other end of a job queue.

        The carrier holds all that is known: what is around the block tells nothing inside. One that is malformed, altered or
        signed with another key is ignored, counted and logged once.
        """
        made = cls.__new__(cls)
        made._meter = None if meter is None else checked(meter)
        made._given = carrier.read(mapping, lambda: meter or HOOK.meter_for(context.frame.get()))
        made._alone = True
        return made

    def __enter__(self) -> Self:
        block = self._block(self._given)
        block.opener, block.outside = self, context.frame.get()
        context.frame.set(block)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Found by looking, not by a token: one block object may be open in many threads and tasks at once, and a fixture may be
        # left in another context than it was entered in, where there is nothing to put back.
        at = context.frame.get()
        while at is not None and not (isinstance(at, Block) and at.opener is self):
            at = outward(at)
        if at is not None:
            context.frame.set(at.left())
            leave(at)

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
        if isinstance(function, type) or not callable(inside(function)):
            raise TypeError(f"track decorates functions; {health.shown(function)} is none: decorate its methods")
        made: F = decorated(function, lambda inner: wrapped(inner, lambda: self._block(self._given)))
        return made

    def _block(self, given: Given) -> Block:
        """A block inside what runs now, or the outermost one of an activity of its own."""
        outer = context.frame.get()
        if outer is None:
            return Block(Activity(self._meter), given)
        activity = outer.activity
        if self._alone or activity.late:
            return Block(Activity(self._meter or activity.meter), given)
        if self._meter is not None and self._meter is not meter_of(outer):
            return Block(elsewhere(outer, self._meter, asks=not identify.is_asking(activity)), given)
        if activity.ended is not None and activity.face is None:
            outer = continued(outer)
        return Block(outer, given)


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
        tags: Request tags; an empty list clears those of the sources below.

    Raises:
        UseCaseError: The name is not valid, or the function has a use case of another name.
        TypeError: It stands over an object that cannot be marked.
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
            request_tags=None if tags == () else tags,
        )

    def __call__(self, function: F) -> F:
        """Annotate a route or wrap a function."""
        made: F = decorated(function, self._annotating)
        return made

    def _annotating(self, function: F) -> F:
        annotation = over(function, self._given)
        if isinstance(getattr(function, "view_class", None), type) or not _is_function(function):
            return _marked(function, annotation)  # a class-based view, what its as_view() made, an application
        wrapper = wrapped(function, functools.partial(self._block_unless_route, annotation))
        annotate(wrapper, annotation, function)  # the framework may hold the function itself
        return wrapper

    def _block_unless_route(self, annotation: Annotation) -> Block | None:
        """No block where this is the annotation of the running route: that one has its own, lower place."""
        outer = context.frame.get()
        if outer is not None:
            activity = outer.activity
            running = None if activity.face is None else activity.face.annotation(activity.request)
            if running is not None and running.includes(annotation):
                return None
        return self._block(annotation.given)


def _marked(target: F, annotation: Annotation) -> F:
    try:
        annotate(target, annotation)
    except AttributeError as error:
        raise TypeError(f"use_case cannot mark {health.shown(target)}: decorate its method __call__") from error
    return target


def _is_function(target: object) -> bool:
    return inspect.isroutine(target) or isinstance(target, functools.partial)
