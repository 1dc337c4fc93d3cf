"""Agents, flows and knowledge bases: AWS calls the models by itself, and tells what they consumed only in a trace.

Each call of a model is two messages of the trace, its input, which names the model, and its output, which has the usage.
Without `enableTrace`, and for knowledge bases always, nothing is told: CloudWatch and the bill know it alone. Source: AWS's
pages "InvokeAgent", "Trace" and "Metadata" (API reference, agents runtime).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ...events import Part, Units
from .. import _eventstream
from .._json import MOST_TOKENS, parse
from ..base import Facts, Reading, summed
from .names import model_of, terms_of

__all__ = ["processed", "read_agent", "read_agent_stream", "read_nothing", "read_nothing_cut", "read_nothing_stream"]

_NO_TRACE: Final = "what an agent's models consumed is told only in its trace (enableTrace)"
_UNTOLD: Final = "the answer does not tell what AWS's models behind it consumed"


def read_agent_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads the completion of an agent: a part for each call of a model in its trace."""
    stream = _eventstream.Stream.of(head, tail)
    models: dict[str, str] = {}
    last: str | None = None
    parts: list[Part] = []
    for kind, step in _steps(stream.messages):
        named, trace_id = step.get("foundationModel"), step.get("traceId")
        if kind == "modelInvocationInput" and isinstance(named, str):
            last = model_of(named)
            models[str(trace_id)] = last
        elif kind == "modelInvocationOutput" and (units := _units(step)) is not None:
            parts.append(Part(models.get(str(trace_id), last), units, None, ()))
    if not parts:
        return Reading(complete=stream.whole, reason=stream.fault or _NO_TRACE, error_type=stream.error)
    reason = "a part of the trace was left out" if cut else stream.fault
    return Reading(
        last,
        None,
        summed(parts),
        stream.whole and stream.error is None,
        reason=reason,
        error_type=stream.error,
        parts=tuple(parts),
    )


def _steps(messages: list[_eventstream.Message]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calls of models in a trace, whichever phase of the agent made them."""
    for message in messages:
        value = parse(message.payload) if message.kind == "trace" else None
        phases = value.get("trace") if isinstance(value, dict) else None
        for phase in phases.values() if isinstance(phases, dict) else ():
            for kind, step in phase.items() if isinstance(phase, dict) else ():
                if isinstance(step, dict):
                    yield kind, step


def _units(step: dict[str, Any]) -> Units | None:
    metadata = step.get("metadata")
    usage = metadata.get("usage") if isinstance(metadata, dict) else None
    if not isinstance(usage, dict):
        return None
    taken, made = _count(usage.get("inputTokens")), _count(usage.get("outputTokens"))
    return None if taken is None or made is None else {"text": (taken, made)}


def _count(told: Any) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= MOST_TOKENS else None


def read_agent(body: bytes) -> Reading:
    """Reads the answer of an agent whose request did not tell that it is streamed."""
    if _eventstream.looks_like_messages(body):
        return read_agent_stream(body)
    return Reading(reason=_NO_TRACE)


def processed(reading: Reading, facts: Facts) -> Reading:
    """Completes the parts by where their models run."""
    parts = tuple(
        part
        if part.model is None
        else Part(part.model, part.units, part.service_tier, terms_of(part.model, facts.host))
        for part in reading.parts
    )
    return reading._replace(parts=parts, response_id=facts.headers.get("x-amzn-requestid"))


def read_nothing(body: bytes) -> Reading:
    """Reads an answer that tells no usage."""
    return Reading(reason=_UNTOLD)


def read_nothing_cut(head: bytes, tail: bytes) -> Reading:
    """The same for one of which the middle was left out."""
    return Reading(reason=_UNTOLD)


def read_nothing_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """The same for a stream."""
    return Reading(reason=_UNTOLD, error_type=_eventstream.Stream.of(head, tail).error)
