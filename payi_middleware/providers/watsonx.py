"""IBM watsonx.ai: text generation with counts of its own, chat in OpenAI's shape, both with a path for streams.

Source: cloud.ibm.com/apidocs/watsonx-ai, looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any, Final

import msgspec

from ..events import Units
from . import _chat, _sse, openai
from ._json import BAD, NOT_JSON, Name, key_string, parse
from ._paths import by_path
from ._plain import Counts, name_of
from ._received import broken_off, strings
from ._texts import named_texts
from .base import Asked, Endpoint, Provider, Reading

__all__ = ["HOSTS", "PROVIDER"]

HOSTS: Final = re.compile(r"[a-z0-9-]+\.ml\.cloud\.ibm\.com|[a-z0-9-]+\.aws\.wxai\.ibm\.com")

_MOST_EVENTS: Final = 1 << 16
_END: Final = 1 << 12
_COUNT: Final = re.compile(rb'"input_token_count"\s*:\s*(\d{1,12})\b')
_UNFINISHED: Final = "not_finished"
_RECEIVED: Final = strings("generated_text")
_TEXTS: Final = named_texts(("input", "messages"), ("results",))


class _Request(msgspec.Struct, gc=False):
    model_id: Name | None = None
    model: Name | None = None


_decode = msgspec.json.Decoder(_Request).decode


def _ask(body: bytes) -> Asked:
    try:
        asked = _decode(body)
    except BAD:
        head = body[: 1 << 16]
        return Asked(key_string(head, "model_id") or key_string(body[-4096:], "model_id"))
    return Asked(asked.model_id or asked.model or None)


def _ask_stream(body: bytes) -> Asked:
    return _ask(body)._replace(streamed=True)


def read(body: bytes) -> Reading:
    """Reads a whole body: each result tells what it generated, and what went in."""
    if _sse.looks_like_events(body):
        return read_stream(body)
    value = parse(body)
    if not isinstance(value, dict):
        wrong = "the answer is empty" if not body.strip() else NOT_JSON
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    if value.get("errors"):
        return Reading(reason="the answer is an error", error_type=_code(value["errors"]))
    return _reading([value], value)


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream: the prompt is counted in one event, what was generated in each."""
    if head[:1] == b"{":
        return read(head)
    events = list(chain(_events(head), _events(tail)))
    failed = next((event for event in reversed(events) if event.get("errors")), None)
    if failed is not None:
        return Reading(reason="the answer is an error", error_type=_code(failed["errors"]), complete=False)
    if not events:
        return Reading(complete=False, reason="usage is missing")
    reading = _reading(events, events[0])
    last = _results(events[-1])
    if last and last[-1].get("stop_reason") not in (None, _UNFINISHED):
        return reading
    return broken_off(reading._replace(complete=False), _RECEIVED, head, tail, cut)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """An answer that large is not one of text: its counts may be anywhere."""
    return Reading(key_string(head, "model_id"), complete=False, reason="the answer is too large to find its usage")


def _events(data: bytes) -> Iterator[dict[str, Any]]:
    for number, payload in enumerate(_sse.events(data)):
        value = parse(payload) if number < _MOST_EVENTS else None
        if isinstance(value, dict):
            yield value


def _results(event: dict[str, Any]) -> list[dict[str, Any]]:
    results = event.get("results")
    return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []


def _reading(events: list[dict[str, Any]], named: dict[str, Any]) -> Reading:
    """The prompt is told once, or again and again; what was generated so far, or since the event before."""
    model = name_of(named, "model_id") or name_of(named)
    taken = 0
    made: list[int] = []
    faults: list[str] = []
    for event in events:
        counts = [Counts(result, "results") for result in _results(event)]
        taken = max(taken, sum(count.get("input_token_count") for count in counts))
        if counts:
            made.append(sum(count.get("generated_token_count") for count in counts))
        faults += [fault for count in counts for fault in count.faults]
    if faults:
        return Reading(model, reason=faults[0])
    units: Units = {"text": (taken, _generated(made))}
    if not any(units["text"]):
        return Reading(model, reason="usage counts nothing" if made else "usage is missing")
    return Reading(model, units=units)


def _generated(made: list[int]) -> int:
    """Counts that rise with every event (the last may add nothing) are totals; any others are each event's own."""
    told = [count for count in made if count]
    if not told:
        return 0
    rising = told[:-1] if len(told) > 1 and told[-1] == told[-2] else told
    is_total = all(before < after for before, after in pairwise(rising))
    return told[-1] if is_total else sum(told)


def _code(errors: object) -> str:
    first = errors[0] if isinstance(errors, list) and errors else None
    code = name_of(first, "code") if isinstance(first, dict) else None
    return code if code is not None and re.fullmatch(r"[a-z0-9_.-]{1,64}", code) else "error"


def _generation(template: str, *, streams: bool = False) -> Endpoint:
    return Endpoint(template, _ask_stream if streams else _ask, read, read_cut, read_stream, _TEXTS)


def _chatting(template: str, *, streams: bool = False) -> Endpoint:
    return replace(_chat.endpoint(template), ask=_ask_stream if streams else _ask)


def _read_counted(body: bytes) -> Reading:
    """Embeddings and rankings: one count behind all that is long."""
    found = _COUNT.search(body, max(len(body) - _END, 0)) or _COUNT.search(body, 0, _END)
    names = body[:_END] + body[-_END:]
    units: Units | None = {"text": (int(found[1]), 0)} if found else None
    return Reading(key_string(names, "model_id"), units=units, reason=None if found else "usage is missing")


def _counted(template: str) -> Endpoint:
    def read_cut(head: bytes, tail: bytes) -> Reading:
        return _read_counted(head + tail)

    def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
        return _read_counted(head + tail)

    return Endpoint(template, _ask, _read_counted, read_cut, read_stream)


PROVIDER: Final = Provider(
    "watsonx",
    "system.watsonx",
    by_path(
        {
            r"text/generation": _generation("/ml/v1/text/generation"),
            r"text/generation_stream": _generation("/ml/v1/text/generation_stream", streams=True),
            r"text/chat": _chatting("/ml/v1/text/chat"),
            r"text/chat_stream": _chatting("/ml/v1/text/chat_stream", streams=True),
            r"text/embeddings": _counted("/ml/v1/text/embeddings"),
            r"text/rerank": _counted("/ml/v1/text/rerank"),
        },
        openai.routes(openai.endpoints(), strict=True),
    ),
)
