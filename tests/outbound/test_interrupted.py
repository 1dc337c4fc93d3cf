"""An exception that a signal's handler raises in the middle of ours (Ctrl-C, the soft time limit of a job) spoils no later call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
from exchanges import ANSWER, REQUEST, STREAM, Watched, mock, send
from loopback import Loopback

from payi_middleware import call


class TimeLimit(BaseException):
    """What the handler raises."""


def interrupting(event: str, name: str) -> Callable[..., None]:
    """For `sys.setprofile`: raises once, as a method of our context variable is called or has returned, or as our function is."""

    def look(frame: Any, kind: str, function: Any) -> None:
        ours = getattr(function, "__self__", None) is call.owner and function.__name__ == name
        if kind == event and (ours or (kind == "call" and frame.f_code.co_name == name)):
            sys.setprofile(None)
            raise TimeLimit

    return look


MOMENTS = {
    "it is set": ("c_return", "set"),
    "its end is told": ("call", "sent"),
    "it is about to be reset": ("c_call", "reset"),
    "it is reset": ("c_return", "reset"),
}


@pytest.fixture(params=list(MOMENTS))
def moment(request: pytest.FixtureRequest) -> tuple[str, str]:
    return MOMENTS[request.param]


def test_httpx(lib: ModuleType, is_async: bool, moment: tuple[str, str], watched: Watched) -> None:
    """The calls that follow are seen, each once."""
    sys.setprofile(interrupting(*moment))
    try:
        with suppress(TimeLimit):
            send(lib, is_async, mock(lib, STREAM), "iter_raw")
    finally:
        sys.setprofile(None)
    before = len(watched.events)
    for _ in range(3):
        assert send(lib, is_async, mock(lib, ANSWER), body=REQUEST) == [ANSWER]
    assert len(watched.events) == before + 3


@pytest.mark.parametrize("library", ["requests", "urllib3"])
def test_other_libraries(library: str, moment: tuple[str, str], loopback: Loopback, seen: Watched) -> None:
    """The same."""
    module = pytest.importorskip(library)

    def ask() -> None:
        if library == "requests":
            assert module.post(loopback.url, data=REQUEST, timeout=10).content == ANSWER
        else:
            assert module.request("POST", loopback.url, body=REQUEST, timeout=10, retries=False).data == ANSWER

    sys.setprofile(interrupting(*moment))
    try:
        with suppress(TimeLimit):
            ask()
    finally:
        sys.setprofile(None)
    before = len(seen.events)
    for _ in range(3):
        ask()
    assert len(seen.events) == before + 3
