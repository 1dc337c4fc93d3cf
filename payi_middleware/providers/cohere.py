"""Cohere: both versions of its own API, and the OpenAI-shaped one beside them (`/compatibility/v1`)."""

from __future__ import annotations

from typing import Final

from . import _transcripts, openai
from ._cohere import endpoint
from ._paths import by_path

__all__ = ["find_route"]

_FREE: Final = openai.free("connectors", "datasets", "finetuning", "models")

find_route: Final = by_path(
    {
        r"v1/chat": endpoint("/v1/chat"),
        r"v2/chat": endpoint("/v2/chat"),
        r"v1/generate": endpoint("/v1/generate"),
        r"v1/summarize": endpoint("/v1/summarize", None),
        r"v1/embed": endpoint("/v1/embed", None),
        r"v2/embed": endpoint("/v2/embed", None),
        r"v1/rerank": endpoint("/v1/rerank", None),
        r"v2/rerank": endpoint("/v2/rerank", None),
        r"v1/classify": endpoint("/v1/classify", None),
        r"v2/parse": endpoint("/v2/parse", None),
        r"v2/audio/transcriptions": _transcripts.transcriptions("/v2/audio/transcriptions"),
        r"v1/check-api-key": None,
        r"v1/embed-jobs(?:/.*)?": None,  # billed when they are done, which no answer tells
    },
    openai.routes(openai.endpoints(), costs_nothing=_FREE),
)
