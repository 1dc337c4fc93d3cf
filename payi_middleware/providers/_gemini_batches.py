"""The results of Gemini's batches: inside of the batch itself or in a file, at the batch's rates, counted once.

A batch is polled until it has ended; then each poll tells all of it again. Results in a file are JSON lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

import msgspec

from ..events import Unpriced
from . import _gemini
from ._json import BAD, Count, Name, parse
from ._packing import packed, parts_of_line
from .base import Asked, Endpoint, Facts, Reading, summed

__all__ = ["BATCH", "RESULTS"]

_TIER: Final = "batch"
_WHOLE: Final = 32 << 20
"""Bytes of results that are kept whole: every line counts."""
_CUT: Final = Unpriced("batch_line", 1, f"results of more than {_WHOLE >> 20} MB are read at their two ends only")
_GOES_ON: Final = Reading(untold=True)
_FILE: Final = re.compile(r"/files/([^/:]+):download")
_BATCH: Final = re.compile(r"/batches/([^/:]+)$")


class _Inlined(msgspec.Struct, gc=False):
    response: msgspec.Raw = msgspec.Raw()


class _Embedding(msgspec.Struct, gc=False, rename="camel"):
    token_count: Count | str | None = None  # int64 is a string in Google's JSON


class _Listed(msgspec.Struct, gc=False, rename="camel"):
    inlined_responses: list[_Inlined] | None = None


class _Output(msgspec.Struct, gc=False, rename="camel"):
    inlined_responses: _Listed | None = None
    inlined_embed_content_responses: _Listed | None = None


class _Metadata(msgspec.Struct, gc=False):
    model: Name | None = None
    state: Name | None = None
    output: _Output | None = None


class _Batch(msgspec.Struct, gc=False):
    done: bool | None = None
    metadata: _Metadata | None = None
    response: _Output | None = None


_decode = msgspec.json.Decoder(_Batch).decode
_decode_line = msgspec.json.Decoder(_Inlined).decode
_decode_embedding = msgspec.json.Decoder(_Embedding).decode


def read(body: bytes) -> Reading:
    """Reads a batch: one that goes on, or has its results in a file, tells nothing."""
    batch = _read_batch(body)
    metadata = (batch.metadata if batch is not None else None) or _Metadata()
    if batch is None or not (batch.done or (metadata.state or "").endswith("_SUCCEEDED")):
        return _GOES_ON
    model = (metadata.model or "").removeprefix("models/") or None
    output = batch.response or metadata.output or _Output()
    answers = [*_inlined(output.inlined_responses), *_inlined(output.inlined_embed_content_responses)]
    return _together(map(_answer, answers), model) if answers else _GOES_ON


def _read_batch(body: bytes) -> _Batch | None:
    """The batch; broken UTF-8 is mended first, wherever it is."""
    try:
        return _decode(body)
    except BAD:
        pass
    try:
        return _decode(json.dumps(parse(body), default=str))
    except BAD:
        return None


def _inlined(listed: _Listed | None) -> list[bytes]:
    """The answers among the results; a request that failed has none, and is not billed."""
    inlined = () if listed is None else listed.inlined_responses or ()
    return [bytes(result.response) for result in inlined if bytes(result.response) not in (b"", b"null")]


def _answer(body: bytes) -> Reading:
    """One result, which is an answer of generateContent or an embedding."""
    return _gemini.read(body) if b'"usageMetadata"' in body else _embedding(body)


def _embedding(body: bytes) -> Reading:
    """An embedding in a batch tells the tokens of its text, and nothing else."""
    try:
        told = _decode_embedding(body).token_count
    except BAD:
        told = None
    if isinstance(told, str):
        told = int(told) if told.isdecimal() and len(told) < 9 else None
    return Reading(units=None if told is None else {"text": (told, 0)})


def _together(readings: Iterable[Reading], model: str | None, faulty: int = 0) -> Reading:
    """The results as one reading; of what is doubtful the first of each kind."""
    told: list[Reading] = []
    for reading in readings:
        if reading.units is None:
            faulty += 1
        else:
            told.append(reading)
    parts = packed(part for reading in told for part in parts_of_line(reading, model, _TIER))
    reasons = [f"{faulty} results tell no usage"] if faulty else []
    reasons += dict.fromkeys(reading.reason for reading in told if reading.reason)
    reason = "; ".join(reasons)[:512] or None
    name = model or next((reading.model for reading in told if reading.model), None)
    return Reading(name, units=summed(parts) if parts else None, service_tier=_TIER, reason=reason, parts=parts)


def read_lines(body: bytes) -> Reading:
    """Reads a file of results; any other file that is downloaded consumed nothing."""
    readings: list[Reading] = []
    faulty = 0
    for line in body.splitlines():
        try:
            answer = bytes(_decode_line(line).response) if line.strip() else b""
        except BAD:
            faulty += 1
            continue
        if answer not in (b"", b"null"):
            readings.append(_answer(answer))
    return _together(readings, None, faulty) if readings else _GOES_ON


def _cut(head: bytes, tail: bytes) -> Reading:
    return Reading(service_tier=_TIER, reason=_CUT.reason, unpriced=(_CUT,))


def _lines_cut(head: bytes, tail: bytes) -> Reading:
    reading = read_lines(head[: head.rfind(b"\n") + 1] + tail[tail.find(b"\n") + 1 :])
    if reading.untold:
        return reading
    return reading._replace(reason=reading.reason or _CUT.reason, unpriced=(*reading.unpriced, _CUT))


def _stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    return _cut(head, tail) if tail else read(head)


def _lines_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    return _lines_cut(head, tail) if tail else read_lines(head)


def _refine(reading: Reading, facts: Facts) -> Reading:
    """The batch's or the file's id is that of the event."""
    found = _BATCH.search(facts.path.rstrip("/")) or _FILE.search(facts.path)
    return reading if reading.untold or found is None else reading._replace(once=found[1])


def _ask(body: bytes) -> Asked:
    return Asked()


BATCH: Final = Endpoint("/v1beta/batches/{id}", _ask, read, _cut, _stream, refine=_refine, whole=_WHOLE)
RESULTS: Final = Endpoint(
    "/v1beta/files/{file}:download",
    _ask,
    read_lines,
    _lines_cut,
    _lines_stream,
    refine=_refine,
    whole=_WHOLE,
    lines=True,
)
