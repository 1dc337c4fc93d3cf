"""IBM watsonx.ai: text generation with counts of its own, chat in OpenAI's shape, both with a path for streams.

Source: cloud.ibm.com/apidocs/watsonx-ai, looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

import msgspec
from msgspec.structs import replace

from ..events import Units
from . import _chat, _sse, openai
from ._json import BAD, NOT_JSON, Count, Name, key_string, parse
from ._paths import by_path
from ._received import broken_off, strings
from ._texts import named_texts
from .base import Asked, Endpoint, Facts, Reading

__all__ = ["find_route"]

_END: Final = 1 << 12
_COUNT: Final = re.compile(rb'"input_token_count"\s*:\s*(\d{1,12})\b')
_NUMBER: Final = re.compile(rb"\s*:\s*(\d{1,8})(?![\d.eE])")
_NAMES: Final = (b'"generated_token_count"', b'"input_token_count"')
_STOPPED: Final = re.compile(rb'"stop_reason"\s*:\s*"(\w+)"')
_ERRORS: Final = re.compile(rb'"errors"\s*:\s*[\["]')
_CODE: Final = re.compile(r"[a-z0-9_.-]{1,64}")
_UNFINISHED: Final = b"not_finished"
_RECEIVED: Final = strings("generated_text")
_TEXTS: Final = named_texts(("input", "messages"), ("results",))


class _Request(msgspec.Struct, gc=False):
    model_id: Name | None = None
    model: Name | None = None


class _Result(msgspec.Struct, gc=False):
    generated_token_count: Count
    input_token_count: Count


class _Body(msgspec.Struct, gc=False):
    model_id: Name
    results: list[_Result]


_decode = msgspec.json.Decoder(_Request).decode
_decode_body = msgspec.json.Decoder(_Body).decode
_ODD: Final = (*BAD, ValueError)


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
    try:
        return _read_results(_decode_body(body))
    except _ODD:
        return _read_patiently(body)


def _read_results(told: _Body) -> Reading:
    """Reads what is as the API documents it.

    Raises:
        ValueError: It is not.
    """
    made = [result.generated_token_count for result in told.results]
    taken = max([result.input_token_count for result in told.results], default=0)
    generated = made[0] if len(made) == 1 else _generated(made)
    if not (taken or generated):
        raise ValueError(told.model_id)
    return Reading(told.model_id, None, {"text": (taken, generated)})


def _read_patiently(body: bytes) -> Reading:
    if _sse.looks_like_events(body):
        return read_stream(body)
    if any(name in body for name in _NAMES):
        return _reading(body, body)._replace(complete=body.rstrip()[-1:] == b"}")
    value = parse(body)
    if not isinstance(value, dict):
        wrong = "the answer is empty" if not body.strip() else NOT_JSON
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    return _failed(body) or Reading(key_string(body, "model_id"), reason="usage is missing")


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads a stream: the prompt is counted in one event, what was generated in each. Found by their names: no event
    is decoded, of which there may be thousands."""
    if head[:1] == b"{":
        return read(head)
    data = tail or head
    failed = _failed(data)
    if failed is not None:
        return failed._replace(complete=False)
    reading = _reading(head, head + tail)
    reasons = _STOPPED.findall(data)
    if reasons and reasons[-1] != _UNFINISHED:
        return reading
    return broken_off(reading._replace(complete=False), _RECEIVED, head, tail, cut)


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the two ends of a large body; the counts stand behind the text."""
    return _reading(head, head + tail)._replace(complete=tail.rstrip()[-1:] == b"}")


def _reading(head: bytes, data: bytes) -> Reading:
    """The prompt is told once, or again and again; what was generated so far, or since the event before."""
    model = key_string(head[:_END], "model_id")
    made, taken = (_counts(data, name) for name in _NAMES)
    if made is None or taken is None:
        return Reading(model, reason="results: a count is malformed")
    units: Units = {"text": (max(taken, default=0), _generated(made))}
    if not any(units["text"]):
        return Reading(model, reason="usage counts nothing" if made or taken else "usage is missing")
    return Reading(model, units=units)


def _counts(data: bytes, name: bytes) -> list[int] | None:
    """Every count of a name; None if one is malformed. Quotes inside texts are escaped: no match."""
    counts: list[int] = []
    at = data.find(name)
    while at >= 0:
        found = _NUMBER.match(data, at + len(name))
        if found is None:
            return None
        counts.append(int(found[1]))
        at = data.find(name, found.end())
    return counts


def _failed(data: bytes) -> Reading | None:
    """An error in place of results; its text, which can quote the prompt, is passed over."""
    found = _ERRORS.search(data)
    if found is None:
        return None
    code = key_string(data[found.end() :], "code")
    plain = code is not None and _CODE.fullmatch(code) is not None
    return Reading(reason="the answer is an error", error_type=code if plain else "error")


def _generated(made: list[int]) -> int:
    """Counts that rise with every event (the last may add nothing) are totals; any others are each event's own."""
    told = [count for count in made if count]
    if not told:
        return 0
    rising = told[:-1] if len(told) > 1 and told[-1] == told[-2] else told
    is_total = all(before < after for before, after in pairwise(rising))
    return told[-1] if is_total else sum(told)


def _generation(template: str, *, streams: bool = False) -> Endpoint:
    return Endpoint(template, _ask_stream if streams else _ask, read, read_cut, read_stream, _TEXTS)


def _named(reading: Reading, facts: Facts) -> Reading:
    """A deployment's request names no model, and older answers only its id."""
    if reading.model is not None or facts.asked.model is not None:
        return reading
    return reading._replace(model=key_string(facts.answer[:_END], "model_id"))


def _chatting(template: str, *, streams: bool = False) -> Endpoint:
    return replace(_chat.endpoint(template), ask=_ask_stream if streams else _ask, refine=_named)


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


find_route: Final = by_path(
    {
        # Before the version was `v1`; the template is that of today.
        r"ml/v1-beta/generation/text": _generation("/ml/v1/text/generation"),
        r"ml/v1-beta/generation/text_stream": _generation("/ml/v1/text/generation_stream", streams=True),
        r"text/generation": _generation("/ml/v1/text/generation"),
        r"text/generation_stream": _generation("/ml/v1/text/generation_stream", streams=True),
        r"text/chat": _chatting("/ml/v1/text/chat"),
        r"text/chat_stream": _chatting("/ml/v1/text/chat_stream", streams=True),
        r"text/embeddings": _counted("/ml/v1/text/embeddings"),
        r"text/rerank": _counted("/ml/v1/text/rerank"),
    },
    openai.routes(openai.endpoints(), strict=True),
)
