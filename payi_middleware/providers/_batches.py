"""OpenAI's batches: a file of results, an answer a line, half the price, counted once however often it is read.

    {"id": "batch_req_1", "custom_id": "a", "response": {"status_code": 200, "body": {...}}, "error": null}

The body of a line is what its endpoint answers; its `service_tier` says `default`, and `batch` is what is billed.
Any other file that is downloaded consumed nothing. Source: OpenAI's guide to the Batch API, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from ..events import Unpriced
from . import _chat, _images, _responses
from ._asking import ask_nothing
from ._json import BAD, key_string
from ._openai_usage import OPENAI, Dialect
from ._packing import packed, parts_of_line
from .base import Endpoint, Facts, First, Reading, summed

__all__ = ["results"]

_TIER: Final = "batch"
_WHOLE: Final = 32 << 20
"""Bytes of results that are kept whole: every line counts."""
_CUT: Final = Unpriced("batch_line", 1, f"results of more than {_WHOLE >> 20} MB are read at their two ends only")
_NO_RESULTS: Final = Reading(untold=True)
_MOST_NOTES: Final = 32


class _Response(msgspec.Struct, gc=False):
    status_code: int | None = None
    body: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct, gc=False):
    custom_id: msgspec.Raw = msgspec.Raw()
    response: _Response | None = None


_decode = msgspec.json.Decoder(_Line).decode


def read(body: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads all lines; those that failed are not billed, those that cannot be read are said."""
    told: list[Reading] = []
    missing = 0
    for answer in _answers(body):
        reading = None if answer is None else _answer(answer, dialect)
        if reading is None or reading.units is None:
            missing += reading is None or not _is_free(reading)
        else:
            told.append(reading)
    if not told and not missing:
        return _NO_RESULTS
    return _together(told, missing)


def _answers(body: bytes) -> Iterator[bytes | None]:
    """The answers of the lines that succeeded; None for a line that is no JSON among others that are results."""
    seen = False
    for line in body.splitlines():
        if not line.strip():
            continue
        try:
            found = _decode(line)
        except BAD:
            if seen:
                yield None
            continue
        if not bytes(found.custom_id) or found.response is None:
            continue
        seen = True
        if found.response.status_code in (None, 200):
            yield bytes(found.response.body)


def _answer(body: bytes, dialect: Dialect) -> Reading:
    """An answer, read as its endpoint's."""
    kind = key_string(body, "object")
    if kind == "response" or (kind is None and b'"input_tokens"' in body and b'"output"' in body):
        return _responses.read(body, dialect)
    if b'"b64_json"' in body or (kind is None and b'"input_tokens"' in body):
        return _images.read(body)
    return _chat.read(body, dialect)


def _is_free(reading: Reading) -> bool:
    """Moderations tell a model and no usage."""
    return reading.error_type is None and "moderation" in (reading.model or "")


def _together(told: list[Reading], missing: int) -> Reading:
    """The lines as one reading; of what is doubtful the first of each kind."""
    parts = packed(part for reading in told for part in parts_of_line(reading, None, _TIER))
    reasons = [f"{missing} lines of the results tell no usage"] if missing else []
    reasons += dict.fromkeys(reading.reason for reading in told if reading.reason)
    notes = dict.fromkeys(note for reading in told for note in reading.unpriced)
    firsts: dict[str, First] = {first.id: first for reading in told for first in reading.firsts}
    return Reading(
        told[0].model if told else None,
        units=summed(parts) if parts else None,
        service_tier=_TIER,
        reason="; ".join(reasons)[:512] or None,
        unpriced=tuple(notes)[:_MOST_NOTES],
        parts=parts,
        estimated=any(reading.estimated for reading in told),
        firsts=tuple(firsts.values()),
    )


def read_cut(head: bytes, tail: bytes, dialect: Dialect = OPENAI) -> Reading:
    """Reads the whole lines at both ends, and says that the middle is missing."""
    ends = head[: head.rfind(b"\n") + 1] + tail[tail.find(b"\n") + 1 :]
    reading = read(ends, dialect)
    if reading.untold:
        return reading
    return reading._replace(unpriced=(*reading.unpriced, _CUT), reason=reading.reason or _CUT.reason)


def _once(reading: Reading, facts: Facts) -> Reading:
    """The file's id is that of the event: whoever downloads it again gets the same."""
    return reading if reading.untold else reading._replace(once=facts.path.rstrip("/").split("/")[-2])


def results(dialect: Dialect = OPENAI) -> Endpoint:
    """The content of a file, which may be the results of a batch."""

    def reads(body: bytes) -> Reading:
        return read(body, dialect)

    def reads_cut(head: bytes, tail: bytes) -> Reading:
        return read_cut(head, tail, dialect)

    def reads_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
        return read_cut(head, tail, dialect) if tail else read(head, dialect)

    return Endpoint(
        "/v1/files/{file}/content",
        ask_nothing,
        reads,
        reads_cut,
        reads_stream,
        refine=_once,
        whole=_WHOLE,
        lines=True,
    )
