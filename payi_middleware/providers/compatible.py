"""What the hosts that speak OpenAI's language (`compatible_hosts`) have of their own.

Most have nothing. A row with a `Dialect` says in what the host's usage differs; one in `_MORE`, what it has besides; one in
`_REFINES`, what its answers tell elsewhere.
"""

from __future__ import annotations

from typing import Final

from . import (
    _alephalpha,
    _chat,
    _groq,
    _images,
    _mistral,
    _openrouter,
    _perplexity,
    _speech,
    _transcripts,
    _xai,
    _xai_voice,
    openai,
)
from ._openai_usage import OPENAI, Dialect
from ._paths import Paths, by_path
from .base import FindRoute, Refine, refined_by

__all__ = ["find_route_of"]

_DIALECTS: Final = {
    "mistral": Dialect(rest_is_audio=True),
    "openrouter": Dialect(writes_may_overlap=True),
    "x-ai": Dialect(cached_may_be_extra=True),
}

# What is free at a host besides what is free at all of them.
_FREE: Final = {
    "mistral": openai.free("agents(?!/completions$)", "audio/voices", "connectors", "libraries", "models", "workflows"),
    "openrouter": openai.free("auth", "credits", "keys", "organization"),
    "perplexity": openai.free("content", "threads"),
    "writer": openai.free("files", "graphs(?!/question$)", "models"),
    "x-ai": openai.free("tokenize-text", "realtime/client_secrets", "collections", "documents"),
}

_EVERYWHERE: Final[Paths] = {
    r"audio/transcriptions": _transcripts.transcriptions("/v1/audio/transcriptions"),
    r"audio/translations": _transcripts.translations("/v1/audio/translations"),
    r"audio/speech": _speech.speech("/v1/audio/speech"),
    r"images/(?:edits|generations|variations)": _images.images("/v1/images/generations"),
    r"(?:v\d/)?rerank": _chat.embeddings(OPENAI, "/v1/rerank"),
}
"""What many hosts have besides: rerankers tell their tokens as embeddings do (Voyage, Jina, Together, vLLM)."""

_MORE: Final[dict[str, Paths]] = {
    "aleph-alpha": {r"complete": _alephalpha.COMPLETE, r"(?:detokenize|tokenize)": None},
    "groq": {
        r"audio/transcriptions": _groq.TRANSCRIPTION,
        r"audio/translations": _groq.TRANSLATION,
        r"audio/speech": _groq.SPEECH,
    },
    "mistral": {
        r"ocr": _mistral.OCR,
        r"audio/transcriptions": _mistral.TRANSCRIPTION,
        r"(?:chat/)?moderations": _mistral.MODERATION,
        r"(?:chat/)?classifications": _mistral.MODERATION,
        r"conversations(?:/[^/]+)?(?:/restart)?": _mistral.CONVERSATION,
        r"conversations/.+": None,
    },
    "openrouter": {
        r"api/v1/(?!chat/|completions$|embeddings$|messages$|responses$|auth|credits|keys).+": _openrouter.OTHER
    },
    "perplexity": {
        r"(?P<model>search)": _perplexity.SEARCH,
        r"async/chat/completions": _perplexity.ASYNC,
        r"GET async/chat/completions/[^/]+": _perplexity.ASYNC_POLL,
    },
    "voyageai": {
        r"multimodalembeddings": _chat.embeddings(OPENAI, "/v1/multimodalembeddings"),
        r"contextualizedembeddings": _chat.embeddings(OPENAI, "/v1/contextualizedembeddings"),
    },
    "writer": {r"v1/chat": _chat.endpoint("/v1/chat"), r"v1/applications/[^/]+/(?:graphs|jobs).*": None},
    "x-ai": {
        r"images/(?:generations|edits)": _xai.IMAGES,
        r"tts": _xai_voice.SPOKEN,
        r"stt": _xai_voice.HEARD,
        r"videos/(?:generations|edits|extensions)": _xai.VIDEOS,
        r"GET videos/[^/]+": _xai.VIDEO,
        r"GET chat/deferred-completion/[^/]+": refined_by(
            _chat.endpoint("/v1/chat/deferred-completion/{request_id}", _DIALECTS["x-ai"]), _xai.fetched
        ),
    },
}

_REFINES: Final[dict[str, Refine]] = {
    "groq": _groq.compound,
    "openrouter": _openrouter.refine,
    "perplexity": _perplexity.refine,
    "x-ai": _xai.answered_later,
}


def find_route_of(id: str) -> FindRoute:
    """What finds the routes of a provider."""
    dialect, refine, more = _DIALECTS.get(id, OPENAI), _REFINES.get(id), _MORE.get(id, {})
    ours = openai.endpoints(dialect)
    if refine is not None:
        ours = {path: refined_by(endpoint, refine) for path, endpoint in ours.items()}
    return by_path(
        {**more, **{end: endpoint for end, endpoint in _EVERYWHERE.items() if end not in more}},
        openai.routes(ours, costs_nothing=_FREE.get(id, openai.FREE), dialect=dialect),
    )
