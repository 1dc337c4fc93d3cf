"""Runs of OpenAI's Assistants: what they consumed is told by the run once it has ended, as often as it is asked for.

Creating a run tells nothing, unless its events are streamed; what is read is the run, and its id is that of the event,
so that a run that is polled, or streamed and asked for later, is counted once. Source: OpenAI's API reference of runs.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ..events import Unpriced
from . import _sse
from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, Name, lenient
from ._openai_usage import OPENAI, Usage, told
from .base import Endpoint, Reading

__all__ = ["RUN", "RUNS"]

_KEY: Final = b'"usage"'
_LATER: Final = Reading(untold=True)
_HOSTED: Final = ("code_interpreter", "file_search")
_STEPS: Final = "calls of a run's hosted tools are told by its steps alone"


class _Tool(msgspec.Struct, gc=False):
    type: Name | None = None


class _Run(msgspec.Struct, gc=False):
    id: Name | None = None
    object: Name | None = None
    model: Name | None = None
    usage: Usage | None = None
    tools: list[_Tool] | None = None
    last_error: Error | None = None


_decode = msgspec.json.Decoder(_Run).decode


def read(body: bytes) -> Reading:
    """Reads a run; one that has not ended tells nothing yet."""
    if _sse.looks_like_events(body):
        return read_stream(body)
    wrong = None
    try:
        run: _Run | None = _decode(body)
    except BAD:
        run, wrong = lenient(body, _Run)
    return _LATER if run is None else _reading(run, wrong)


def _reading(run: _Run, wrong: str | None) -> Reading:
    if run.usage is None or not _is_run(run):
        return _LATER
    units, reason, unpriced = told(run.usage, OPENAI)
    if units is None:
        return _LATER
    if any(tool.type in _HOSTED for tool in run.tools or ()):
        unpriced = (*unpriced, Unpriced("hosted_tool", 1, _STEPS))
    failed = error_type(run.last_error)
    return Reading(
        run.model or None, run.id, units, reason=wrong or reason, error_type=failed, unpriced=unpriced, once=run.id
    )


def _is_run(run: _Run) -> bool:
    """Whether it is a run and not one of its steps, which tell their shares of the same usage."""
    return run.id is not None and run.object in (None, "thread.run")


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads nothing: no run is that large."""
    return _LATER


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads the events of a run: the last of the run itself tells its usage."""
    run = _sse.last_with(tail or head, _KEY, _decode, lambda run: _is_run(run) and run.usage is not None)
    return _LATER if run is None else _reading(run, None)


RUN: Final = Endpoint("/v1/threads/{thread}/runs/{run}", ask, read, read_cut, read_stream, repeats=True)
RUNS: Final = Endpoint("/v1/threads/{thread}/runs", ask, read, read_cut, read_stream, repeats=True)
