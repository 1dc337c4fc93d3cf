"""Functions of all kinds, each call of which runs in a block of its own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from types import CoroutineType
from typing import Any, TypeVar

from ._outbound import HOOK
from .frames import Activity, Block, Elsewhere
from .steps import Steps

__all__ = ["decorated", "inside", "leave", "wrapped"]

F = TypeVar("F", bound=Callable[..., Any])


def inside(function: Any) -> Any:
    """The function in a static or class method."""
    return function.__func__ if isinstance(function, (staticmethod, classmethod)) else function


def decorated(function: Any, decorate: Callable[[Any], Any]) -> Any:
    """What a decorator makes of a function, or of the function in a static or class method."""
    inner = inside(function)
    return decorate(inner) if inner is function else type(function)(decorate(inner))


def leave(block: Block | None) -> None:
    """The end of an outermost block is the end of its activity."""
    activity = None if block is None else block.parent
    if not isinstance(activity, Activity) or (activity.face is not None and not isinstance(activity, Elsewhere)):
        return
    activity.end()
    if activity.calls:
        HOOK.meter_for(activity).activity_ended()


def wrapped(function: F, block: Callable[[], Block | None]) -> F:
    """The same kind of function, each call in a block of its own, or in none."""
    if inspect.isasyncgenfunction(function):
        return _wrapped_async_generator(function, block)  # type: ignore[return-value]
    if inspect.isgeneratorfunction(function):
        return _wrapped_generator(function, block)  # type: ignore[return-value]
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            made = block()
            if made is None:
                return await function(*args, **kwargs)
            try:
                with Steps(made):
                    return await function(*args, **kwargs)
            finally:
                leave(made)

        return coroutine  # type: ignore[return-value]

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        made = block()
        if made is None:
            return function(*args, **kwargs)
        left: Block | None = made
        running = Steps(made)
        try:
            with running:
                answer = function(*args, **kwargs)
            if inspect.iscoroutine(answer):  # of a coroutine function under somebody's plain decorator, or in a lambda
                answer, left = _within(running, made, answer), None
            return answer
        finally:
            leave(left)

    return plain  # type: ignore[return-value]


def _within(running: Steps, made: Block, answer: CoroutineType[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """The same coroutine, in the block that its function began in."""

    async def coroutine() -> Any:
        try:
            with running:
                return await answer
        finally:
            leave(made)

    coroutine.__name__, coroutine.__qualname__ = answer.__name__, answer.__qualname__
    return coroutine()


def _wrapped_generator(function: Callable[..., Any], block: Callable[[], Block | None]) -> Callable[..., Any]:
    @functools.wraps(function)
    def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        made = block()
        running = Steps(made)
        steps = function(*args, **kwargs)
        resume, value = steps.send, None
        try:
            while True:
                with running:
                    item = resume(value)
                try:
                    resume, value = steps.send, (yield item)
                except GeneratorExit:
                    with running:
                        steps.close()
                    raise
                except BaseException as error:
                    resume, value = steps.throw, error
        except StopIteration as stop:
            return stop.value
        finally:
            leave(made)

    return generator


def _wrapped_async_generator(function: Callable[..., Any], block: Callable[[], Block | None]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        made = block()
        running = Steps(made)
        steps = function(*args, **kwargs)
        resume, value = steps.asend, None
        try:
            while True:
                with running:
                    item = await resume(value)
                try:
                    resume, value = steps.asend, (yield item)
                except GeneratorExit:
                    with running:
                        await steps.aclose()
                    raise
                except BaseException as error:
                    resume, value = steps.athrow, error
        except StopAsyncIteration:
            return
        finally:
            leave(made)

    return generator
