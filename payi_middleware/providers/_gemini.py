"""Gemini's generateContent, on the Gemini API and on Vertex: counts by modality, thoughts beside the output.

In a stream every chunk repeats the figures so far.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..events import Side, Units, Unpriced
from . import _sse
from ._asking import ask_nothing, ask_stream
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Count, Name, fill, key_string, last_object, lenient, parse
from ._texts import gemini_texts
from .base import Endpoint, Reading

__all__ = ["METHODS", "gemini", "read", "read_cut", "read_stream"]

_GROUNDED: Final = b'"webSearchQueries"'
_TAIL: Final = 1 << 14

_STREAMS: Final = "streamGenerateContent"
METHODS: Final = ("generateContent", _STREAMS, "embedContent", "batchEmbedContents")
"""The methods of a model that tell a `usageMetadata`."""

# What is priced by itself, as Pay-i names it for the input; a document is priced as text. With `enum-encoding=int` the
# names are numbers.
_MODALITIES: Final[dict[str | int, str]] = {
    "TEXT": "text",
    "DOCUMENT": "text",
    "IMAGE": "vision",
    "AUDIO": "audio",
    "VIDEO": "video",
    1: "text",
    2: "vision",
    3: "video",
    4: "audio",
    5: "text",
}

# Vertex names the tier by traffic. Provisioned throughput has no price a token.
_TIERS: Final = {
    "on_demand": "standard",
    "on_demand_flex": "flex",
    "on_demand_priority": "priority",
    "on_demand_offpeak": "offpeak",
    "provisioned_throughput": "provisioned",
}


class _Part(msgspec.Struct, gc=False, rename="camel"):
    modality: Name | int | None = None
    token_count: Count | None = None


class _Usage(msgspec.Struct, gc=False, rename="camel"):
    prompt_token_count: Count | None = None
    cached_content_token_count: Count | None = None
    candidates_token_count: Count | None = None
    response_token_count: Count | None = None
    thoughts_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    prompt_tokens_details: list[_Part] | None = None
    prompt_token_details: list[_Part] | None = None  # embeddings, without the "s"
    cache_tokens_details: list[_Part] | None = None
    candidates_tokens_details: list[_Part] | None = None
    tool_use_prompt_tokens_details: list[_Part] | None = None
    traffic_type: Name | int | None = None
    service_tier: Name | int | None = None


class _Grounding(msgspec.Struct, gc=False, rename="camel"):
    web_search_queries: list[str] | None = None


class _Candidate(msgspec.Struct, gc=False, rename="camel"):
    finish_reason: Name | int | None = None
    grounding_metadata: _Grounding | None = None


class _Feedback(msgspec.Struct, gc=False, rename="camel"):
    block_reason: Name | int | None = None


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    """A body, or one chunk of a stream."""

    candidates: list[_Candidate] | None = None
    usage_metadata: _Usage | None = None
    model_version: Name | None = None
    response_id: Name | None = None
    prompt_feedback: _Feedback | None = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode
_decode_array = msgspec.json.Decoder(list[_Answer]).decode


def read(body: bytes) -> Reading:
    """Reads a whole JSON body."""
    try:
        answer = _decode(body)
    except BAD:
        return _read_patiently(body)
    return _reading(answer)


def _read_patiently(body: bytes) -> Reading:
    if _sse.looks_like_events(body) or body[:64].lstrip()[:1] == b"[":
        return read_stream(body)
    answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _reading(answer, wrong=wrong)


def _reading(answer: _Answer, complete: bool = True, wrong: str | None = None, queries: int | None = None) -> Reading:
    usage = answer.usage_metadata
    if usage is None:
        failed = error_type(answer.error)
        why = wrong or ("the answer is an error" if failed else "usageMetadata is missing")
        return Reading(_model(answer), answer.response_id, None, complete, reason=why, error_type=failed)
    faults: list[str] = []
    units = _units(usage, faults)
    if queries is None:
        queries = _queries(answer)
    return Reading(
        _model(answer),
        answer.response_id,
        units,
        complete,
        _tier(usage),
        None,
        wrong or ("usageMetadata has no token counts" if units is None else "; ".join(faults) or None),
        error_type(answer.error),
        (Unpriced("grounding", queries, "grounding with web search has a fee of its own"),) if queries else (),
    )


def _model(answer: _Answer) -> str | None:
    return answer.model_version.removeprefix("models/") or None if answer.model_version is not None else None


def _tier(usage: _Usage) -> str | None:
    """The tier as served, in lower case; numbers of the integer encoding are not published, so they say nothing."""
    tier = usage.service_tier if isinstance(usage.service_tier, str) else usage.traffic_type
    if not isinstance(tier, str):
        return None
    return _TIERS.get(tier.lower(), tier.lower().removeprefix("service_tier_"))


def _queries(answer: _Answer) -> int:
    grounded = (candidate.grounding_metadata for candidate in answer.candidates or ())
    return sum(len(grounding.web_search_queries or ()) for grounding in grounded if grounding is not None)


def _units(usage: _Usage, faults: list[str]) -> Units | None:
    prompt = usage.prompt_token_count
    output = usage.candidates_token_count if usage.candidates_token_count is not None else usage.response_token_count
    if prompt is None and output is None:
        return None
    units: Units = {"text": (0, 0)}
    _input(usage, prompt or 0, units, faults)
    _output(usage, output or 0, units, faults)
    return units


def _input(usage: _Usage, prompt: int, units: Units, faults: list[str]) -> None:
    """The prompt by modality without what was cached, and what tools fed back, which comes on top."""
    cached = usage.cached_content_token_count or 0
    if cached > prompt:
        faults.append(f"usageMetadata tells {cached} cached of {prompt} prompt tokens: counted as {prompt}")
        cached = prompt
    parts = _split(prompt, usage.prompt_tokens_details or usage.prompt_token_details, "promptTokensDetails", faults)
    if cached:
        for unit, n in _split(cached, usage.cache_tokens_details, "cacheTokensDetails", faults).items():
            _put(units, f"{unit}_cache_read", "input", n)
            parts[unit] = parts.get(unit, 0) - n
        _pay_debts(parts)
    for unit, n in parts.items():
        _put(units, unit, "input", n)
    if usage.tool_use_prompt_token_count:
        tools = _split(
            usage.tool_use_prompt_token_count,
            usage.tool_use_prompt_tokens_details,
            "toolUsePromptTokensDetails",
            faults,
        )
        for unit, n in tools.items():
            _put(units, unit, "input", n)


def _pay_debts(parts: dict[str, int]) -> None:
    """Cached tokens of a modality that the prompt does not show are taken from the others, so that the sum stays."""
    debt = -sum(n for n in parts.values() if n < 0)
    for unit, n in parts.items():
        parts[unit] = max(n, 0)
        paid = min(parts[unit], debt)
        parts[unit] -= paid
        debt -= paid


def _output(usage: _Usage, output: int, units: Units, faults: list[str]) -> None:
    """The candidates by modality; thoughts are not among them."""
    for unit, n in _split(output, usage.candidates_tokens_details, "candidatesTokensDetails", faults).items():
        _put(units, "image" if unit == "vision" else unit, "output", n)
    if usage.thoughts_token_count:
        _put(units, "reasoning", "output", usage.thoughts_token_count)


def _put(units: Units, unit: str, side: Side, n: int) -> None:
    if n:
        before = units.get(unit, (0, 0))
        units[unit] = (before[0] + n, before[1]) if side == "input" else (before[0], before[1] + n)


def _split(total: int, details: list[_Part] | None, name: str, faults: list[str]) -> dict[str, int]:
    """A total by unit. What the details leave out is text; what is over is cut, because the total is billed."""
    if not details:
        return {"text": total}
    if len(details) == 1 and details[0].token_count == total:
        return {_MODALITIES.get(details[0].modality or "", "text"): total}
    parts = {"text": 0}
    rest = total
    for part in details:
        told = part.token_count or 0
        taken = min(told, rest)
        if taken < told:
            faults.append(f"usageMetadata.{name} adds up to more than the {total} tokens in all: counted as {total}")
        unit = _MODALITIES.get(part.modality or "", "text")
        parts[unit] = parts.get(unit, 0) + taken
        rest -= taken
    parts["text"] += rest
    return parts


def read_stream(data: bytes) -> Reading:
    """Reads a stream of events or a JSON array: every chunk repeats the figures so far, so the last one wins."""
    start = data[:64].lstrip()[:1]
    if start == b"{":
        return read(data)
    if start == b"[":
        return _read_array(data)
    answer = _sse.last_with(data, b'"usageMetadata"', _decode, _has_usage)
    if answer is None:
        return _read_broken(data)
    grounded = data.find(_GROUNDED, max(len(data) - _TAIL, 0)) >= 0
    return _reading(answer, _is_last(answer), queries=_queries_of(data) if grounded else 0)


def _has_usage(answer: _Answer) -> bool:
    return answer.usage_metadata is not None


def _is_last(answer: _Answer) -> bool:
    """Whether the chunk ends the stream: a reason why each candidate finished, or why the prompt was refused."""
    if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason:
        return True
    return any(candidate.finish_reason for candidate in answer.candidates or ())


def _queries_of(data: bytes) -> int:
    """Queries of all chunks: grounding may come before the last chunk."""
    found = 0
    for payload in _sse.events(data):
        if _GROUNDED in payload:
            try:
                found += _queries(_decode(payload))
            except BAD:
                continue
    return found


def _read_array(data: bytes) -> Reading:
    try:
        answers = _decode_array(data)
    except BAD:
        return _read_array_patiently(data)
    if not answers:
        return Reading(reason="the answer is empty")
    told = next((answer for answer in reversed(answers) if answer.usage_metadata is not None), answers[-1])
    return _reading(told, any(map(_is_last, answers)) or told.error is not None, queries=sum(map(_queries, answers)))


def _read_array_patiently(data: bytes) -> Reading:
    """An array that is cut or malformed: the last whole figures in it."""
    value = parse(data)
    if isinstance(value, list):
        chunk = next((chunk for chunk in reversed(value) if isinstance(chunk, dict)), {})
        answer, wrong = fill(chunk, _Answer)
        return _reading(answer, _is_last(answer), wrong)
    return _read_broken(data)


def _read_broken(data: bytes) -> Reading:
    """A stream without a chunk that can be read whole."""
    if last_object(data, b'"usageMetadata"') is not None:
        return _told_apart(data, data)._replace(complete=False)
    last = _sse.last_event(data, _decode)
    return _reading(last or _Answer(), last is not None and _is_last(last))


def _told_apart(head: bytes, tail: bytes) -> Reading:
    """Reads the last figures without the chunk around them."""
    value: dict[str, Any] = {
        name: key_string(tail, name) or key_string(head, name) for name in ("modelVersion", "responseId")
    }
    answer, wrong = fill({**value, "usageMetadata": last_object(tail, b'"usageMetadata"')}, _Answer)
    return _reading(answer, True, wrong)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a JSON body; queries are counted from what the ends show of them."""
    reading = _told_apart(head, tail)
    return reading._replace(complete=tail.rstrip()[-1:] in (b"}", b"]"))


def gemini(method: str, prefix: str) -> Endpoint:
    """A method of a model, below a prefix of the path's template."""
    asks = ask_stream if method == _STREAMS else ask_nothing
    return Endpoint(f"{prefix}/models/{{model}}:{method}", asks, read, read_cut, read_stream, gemini_texts)
