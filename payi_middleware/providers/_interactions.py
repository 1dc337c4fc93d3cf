"""Gemini's interactions: a model's or an agent's turn, at once, streamed, or in the background and asked for later.

Whatever way it is asked for, an interaction has one id, by which it is counted once, when it has ended.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..events import Units
from . import _sse
from ._errors import Error, error_type
from ._gemini import MAPS, SEARCH
from ._gemini_models import pays_by_query
from ._gemini_usage import ModalityTokens, tier_of, units_of
from ._gemini_usage import Usage as GeminiUsage
from ._json import BAD, NOT_JSON, Calls, Count, Name, ends, fill, key_string, last_object, lenient
from ._openai_usage import COUNTS_NOTHING
from ._received import broken_off, strings
from ._texts import interaction_texts
from .base import Asked, Endpoint, Facts, Reading

__all__ = ["INTERACTION", "INTERACTIONS"]

_KEY: Final = b'"usage"'
_ANY: Final = b'usage"'  # also `total_usage`
_RECEIVED: Final = strings("arguments", "text")
_GOES_ON: Final = frozenset({"in_progress", "queued"})
_LATER: Final = "the interaction has not ended; its usage comes with a later poll"
_LARGE: Final = 1 << 16


class _Modality(msgspec.Struct, gc=False):
    modality: Name | None = None
    tokens: Count | None = None


class _Tool(msgspec.Struct, gc=False):
    type: Name | None = None
    count: Calls | None = None


class _Usage(msgspec.Struct, gc=False):
    total_input_tokens: Count | None = None
    total_output_tokens: Count | None = None
    total_thought_tokens: Count | None = None
    total_tool_use_tokens: Count | None = None
    total_cached_tokens: Count | None = None
    input_tokens_by_modality: list[_Modality] | None = None
    output_tokens_by_modality: list[_Modality] | None = None
    tool_use_tokens_by_modality: list[_Modality] | None = None
    cached_tokens_by_modality: list[_Modality] | None = None
    grounding_tool_count: list[_Tool] | None = None


class _Searched(msgspec.Struct, gc=False):
    queries: list[str] | None = None


class _Step(msgspec.Struct, gc=False):
    type: Name | None = None
    arguments: _Searched | None = None


class _Interaction(msgspec.Struct, gc=False):
    id: Name | None = None
    status: Name | None = None
    model: Name | None = None
    agent: Name | None = None
    service_tier: Name | None = None
    usage: _Usage | None = None
    steps: list[_Step] | None = None
    error: Error | None = None


class _Metadata(msgspec.Struct, gc=False):
    usage: _Usage | None = None
    total_usage: _Usage | None = None


class _Event(msgspec.Struct, gc=False):
    interaction: _Interaction | None = None
    usage: _Usage | None = None
    metadata: _Metadata | None = None
    step: _Step | None = None
    error: Error | None = None


class _Request(msgspec.Struct, gc=False):
    model: Name | None = None
    agent: Name | None = None
    stream: bool | None = None


_decode = msgspec.json.Decoder(_Interaction).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_request = msgspec.json.Decoder(_Request).decode


def ask(body: bytes) -> Asked:
    """Reads the model, or the agent in its place."""
    if len(body) > _LARGE:
        head, tail = ends(body)
        both = head + tail
        model = key_string(both, "model") or key_string(both, "agent")
        return Asked(model, b'"stream":true' in both.replace(b" ", b""))
    try:
        asked = _decode_request(body)
    except BAD:
        told, _ = lenient(body, _Request)
        asked = told or _Request()
    return Asked(asked.model or asked.agent or None, asked.stream is True)


def read(body: bytes) -> Reading:
    """Reads an interaction."""
    try:
        return _reading(_decode(body), body)
    except BAD:
        pass
    if _sse.looks_like_events(body):
        return read_stream(body)
    answer, wrong = lenient(body, _Interaction)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, body, wrong=wrong)


def _reading(answer: _Interaction, raw: bytes, complete: bool = True, wrong: str | None = None) -> Reading:
    model, failed = answer.model or answer.agent or None, error_type(answer.error)
    usage = answer.usage
    if usage is None:
        goes_on = answer.status in _GOES_ON
        why = "the answer is an error" if failed else _LATER if goes_on else "usage is missing"
        return Reading(
            model, answer.id, None, complete, reason=wrong or why, error_type=failed, pending=goes_on and complete
        )
    told = _as_gemini(usage, answer.service_tier)
    faults: list[str] = []
    units = units_of(told, faults)
    if units is not None:
        _add_searches(units, usage, answer, model)
        units = units if any(map(any, units.values())) else None
    reason = wrong or "; ".join(faults) or (COUNTS_NOTHING if units is None else None)
    once = answer.id if complete and units is not None and answer.status not in _GOES_ON else None
    return Reading(model, answer.id, units, complete, tier_of(told), None, reason, failed, once=once)


def _as_gemini(usage: _Usage, tier: str | None) -> GeminiUsage:
    """The same figures as generateContent tells them: thoughts and tools' prompts beside, cached within the input."""
    return GeminiUsage(
        prompt_token_count=usage.total_input_tokens,
        cached_content_token_count=usage.total_cached_tokens,
        candidates_token_count=usage.total_output_tokens,
        thoughts_token_count=usage.total_thought_tokens,
        tool_use_prompt_token_count=usage.total_tool_use_tokens,
        prompt_tokens_details=_details(usage.input_tokens_by_modality),
        cache_tokens_details=_details(usage.cached_tokens_by_modality),
        candidates_tokens_details=_details(usage.output_tokens_by_modality),
        tool_use_prompt_tokens_details=_details(usage.tool_use_tokens_by_modality),
        service_tier=tier,
    )


def _details(parts: list[_Modality] | None) -> list[ModalityTokens] | None:
    if parts is None:
        return None
    return [ModalityTokens((part.modality or "").upper(), part.tokens) for part in parts]


def _add_searches(units: Units, usage: _Usage, answer: _Interaction, model: str | None) -> None:
    """Adds the calls of grounding tools; where usage does not count them, by the steps."""
    counts = {tool.type: tool.count or 0 for tool in usage.grounding_tool_count or ()}
    searches, maps = counts.get("google_search", 0), counts.get("google_maps", 0)
    if not counts:
        for step in answer.steps or ():
            if step.type == "google_search_call":
                queries = None if step.arguments is None else step.arguments.queries
                searches += len(queries) if queries else 1
            maps += step.type == "google_maps_call"
    if searches:
        units[SEARCH] = (0, searches if pays_by_query(model) else 1)
    if maps:
        units[MAPS] = (0, maps if pays_by_query(model) else 1)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream: its last events tell the interaction, those before it at most the figures so far."""
    if head[:64].lstrip()[:1] == b"{":
        return read_cut(head, tail) if tail else read(head)
    data = tail or head
    event = _sse.last_with(data, _ANY, _decode_event, _told) or _last_told(data)
    answer = _first(head)
    complete = False
    if event is not None:
        ended = event.interaction
        complete = ended is not None and ended.usage is not None and ended.status not in _GOES_ON
        answer = _joined(answer, event)
    last = _sse.last_event(data, _decode_event)
    if last is not None and last.error is not None:
        answer.error = last.error
    if not answer.steps and (b"_call" in head or b"_call" in tail):
        answer.steps = _steps(head) + _steps(tail)
    reading = _reading(answer, data, complete)
    return reading if complete else broken_off(reading, _RECEIVED, head, tail, cut)


def _told(event: _Event) -> _Usage | None:
    """The figures of an event, wherever they stand."""
    if event.interaction is not None and event.interaction.usage is not None:
        return event.interaction.usage
    if event.usage is not None or event.metadata is None:
        return event.usage
    return event.metadata.total_usage or event.metadata.usage


def _last_told(data: bytes) -> _Event | None:
    """The last event with figures, read the patient way."""
    event, _ = _sse.last_patiently(data, _ANY, _Event, _decode_event, _told)
    return event if event is not None and _told(event) is not None else None


def _first(head: bytes) -> _Interaction:
    """The interaction as the first event tells it."""
    for payload in _sse.events(head[: 1 << 14]):
        try:
            event = _decode_event(payload)
        except BAD:
            continue
        if event.interaction is not None:
            return event.interaction
    return _Interaction(key_string(head, "id"), None, key_string(head, "model"), key_string(head, "agent"))


def _joined(first: _Interaction, event: _Event) -> _Interaction:
    last = event.interaction or _Interaction()
    return _Interaction(
        last.id or first.id,
        last.status or first.status,
        last.model or first.model,
        last.agent or first.agent,
        last.service_tier or first.service_tier,
        _told(event),
        last.steps,
        last.error,
    )


def _steps(data: bytes) -> list[_Step]:
    """The steps that a stream begins."""
    found: list[_Step] = []
    for payload in _sse.events(data):
        if b"_call" in payload:
            try:
                step = _decode_event(payload).step
            except BAD:
                continue
            found += [] if step is None else [step]
    return found


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a JSON body."""
    names = ("id", "status", "model", "agent", "service_tier")
    value: dict[str, Any] = {name: key_string(head, name) or key_string(tail, name) for name in names}
    answer, wrong = fill({**value, "usage": last_object(head, _KEY) or last_object(tail, _KEY)}, _Interaction)
    return _reading(answer, head, tail.rstrip()[-1:] == b"}", wrong)


def _poll(reading: Reading, facts: Facts) -> Reading:
    """One that was asked for again: only when it has ended it tells something, and what it tells is counted once."""
    if reading.once is not None or (reading.error_type is not None and reading.response_id is not None):
        return reading._replace(once=reading.response_id)
    return reading._replace(untold=True)


INTERACTIONS: Final = Endpoint(
    "/v1beta/interactions", ask, read, read_cut, read_stream, interaction_texts, repeats=True
)
INTERACTION: Final = Endpoint(
    "/v1beta/interactions/{id}", lambda body: Asked(), read, read_cut, read_stream, refine=_poll
)
