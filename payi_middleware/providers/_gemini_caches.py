"""Contents that Gemini keeps for later prompts: billed by the hour they are kept, which no answer tells."""

from __future__ import annotations

from typing import Final

import msgspec

from ..events import Unpriced
from ._asking import ask
from ._errors import Error, error_type
from ._json import BAD, NOT_JSON, Count, Name, lenient
from .base import Endpoint, Reading

__all__ = ["CACHED_CONTENTS"]

_WHY: Final = "cached content is billed by tokens and the hours it is kept, which no answer tells"


class _Usage(msgspec.Struct, gc=False, rename="camel"):
    total_token_count: Count | None = None


class _Answer(msgspec.Struct, gc=False, rename="camel"):
    model: Name | None = None
    usage_metadata: _Usage | None = None
    error: Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def read(body: bytes) -> Reading:
    """Reads how many tokens are kept."""
    wrong = None
    try:
        answer: _Answer | None = _decode(body)
    except BAD:
        answer, wrong = lenient(body, _Answer)
    if answer is None:
        return Reading(complete=wrong != NOT_JSON, reason=wrong)
    failed = error_type(answer.error)
    if failed:
        return Reading(reason="the answer is an error", error_type=failed)
    tokens = 0 if answer.usage_metadata is None else answer.usage_metadata.total_token_count or 0
    model = (answer.model or "").rpartition("models/")[2] or None
    return Reading(model, reason=_WHY, unpriced=(Unpriced("cache_storage", tokens, _WHY),))


def _cut(head: bytes, tail: bytes) -> Reading:
    return Reading(complete=False, reason=NOT_JSON)


def _stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
    return _cut(head, tail) if tail else read(head)


CACHED_CONTENTS: Final = Endpoint("/v1beta/cachedContents", ask, read, _cut, _stream)
