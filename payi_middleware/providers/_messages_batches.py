"""The results of Anthropic's message batches: a JSON line for each request, at the batch's rates, counted once a batch.

Whoever asks for the results gets all of them again, so the batch's id is that of the event.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ..events import Unpriced
from . import _messages
from ._code_execution import settled
from ._json import BAD
from ._packing import packed, parts_of_line
from .base import Asked, Endpoint, Facts, Reading, summed

__all__ = ["RESULTS"]

_TIER: Final = "batch"
_WHOLE: Final = 32 << 20
"""Bytes of results that are kept whole: every line counts."""
_ID: Final = re.compile(r"/batches/([^/]+)/results")
_NOTHING: Final = {"text": (0, 0)}
_CUT: Final = Unpriced("batch_line", 1, f"results of more than {_WHOLE >> 20} MB are read at their two ends only")


class _Result(msgspec.Struct, gc=False):
    type: str | None = None
    message: msgspec.Raw = msgspec.Raw()


class _Line(msgspec.Struct, gc=False):
    result: _Result | None = None


_decode = msgspec.json.Decoder(_Line).decode


def read(body: bytes) -> Reading:
    """Reads all lines. A line that cannot be read is said; errored, canceled and expired requests are not billed."""
    if not body.strip():
        return Reading(service_tier=_TIER, reason="the answer is empty")
    readings: list[Reading] = []
    faulty = 0
    for line in body.splitlines():
        try:
            result = _decode(line).result if line.strip() else None
        except BAD:
            faulty += 1
            continue
        if result is not None and result.type == "succeeded":
            readings.append(_messages.read(bytes(result.message)))
    return _together(readings, faulty)


def _together(readings: list[Reading], faulty: int) -> Reading:
    """The lines as one reading; of what is doubtful the first of each kind."""
    told = [reading for reading in readings if reading.units is not None]
    parts = packed(part for reading in told for part in parts_of_line(reading, None, _TIER))
    reasons = _counted(faulty + len(readings) - len(told), "lines cannot be read")
    reasons += dict.fromkeys(reading.reason for reading in told if reading.reason)
    units = summed(parts) if parts else None if reasons else dict(_NOTHING)
    unpriced = tuple(dict.fromkeys(note for reading in told for note in reading.unpriced))
    return Reading(
        units=units,
        service_tier=_TIER,
        reason="; ".join(reasons)[:512] or None,
        unpriced=unpriced,
        parts=parts,
        firsts=tuple({first.id: first for reading in told for first in reading.firsts}.values()),
    )


def _counted(n: int, what: str) -> list[str]:
    return [f"{n} {what}"] if n else []


def read_cut(head: bytes, tail: bytes) -> Reading:
    """Reads the whole lines at both ends, and says that those between them are missing."""
    reading = read(head[: head.rfind(b"\n") + 1] + tail[tail.find(b"\n") + 1 :])
    return reading._replace(reason=reading.reason or _CUT.reason, unpriced=(*reading.unpriced, _CUT))


def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    """Reads results that came in parts like any other."""
    return read_cut(head, tail) if tail else read(head)


def _refine(reading: Reading, facts: Facts) -> Reading:
    found = _ID.search(facts.path)
    return reading if found is None or reading.units is None else reading._replace(once=f"{found[1]}/results")


RESULTS: Final = Endpoint(
    "/v1/messages/batches/{id}/results",
    lambda body: Asked(),
    read,
    read_cut,
    read_stream,
    refine=_refine,
    refine_firsts=settled,
    whole=_WHOLE,
    lines=True,
)
