"""The hosts that speak OpenAI's language, as a table: one row a provider.

A new host is a new row. A row with a `Dialect` says in what the host's usage differs; one in `_MORE`, what it has besides;
one in `_REFINES`, what its answers tell elsewhere.
"""

from __future__ import annotations

import re
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
from ._paths import FindRoute, Paths, by_path
from .base import Provider, Refine, refined_by

__all__ = ["HOSTS", "PATTERNS", "PROVIDERS"]

# The id of genai-prices, or of ours where it has none -> its hosts. Sources: each provider's API reference; a test holds
# them against genai-prices. Without a host are those that stand where their owner puts them: `hosts` names them.
_TABLE: Final[dict[str, tuple[str, ...]]] = {
    "ai21": ("api.ai21.com",),
    "aleph-alpha": ("api.aleph-alpha.com",),
    "alibaba": ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
    "arcee": ("api.arcee.ai",),
    "avian": ("api.avian.io",),
    "baidu": ("qianfan.baidubce.com",),
    "baseten": ("inference.baseten.co",),
    "cerebras": ("api.cerebras.ai",),
    "chutes": ("llm.chutes.ai",),
    "deepinfra": ("api.deepinfra.com",),
    "deepseek": ("api.deepseek.com",),
    "doubleword": ("api.doubleword.ai",),
    "featherless": ("api.featherless.ai",),
    "fireworks": ("api.fireworks.ai",),
    "friendli": ("api.friendli.ai",),
    "github-copilot": ("api.githubcopilot.com",),
    "github-models": ("models.github.ai", "models.inference.ai.azure.com"),
    "groq": ("api.groq.com",),
    "heroku": ("us.inference.heroku.com", "eu.inference.heroku.com"),
    "hyperbolic": ("api.hyperbolic.xyz",),
    "inception": ("api.inceptionlabs.ai",),
    "jina": ("api.jina.ai",),
    "lambda": ("api.lambda.ai", "api.lambdalabs.com"),
    "meta": ("api.meta.ai", "api.llama.com"),
    "minimax": ("api.minimax.io", "api.minimax.com", "api.minimaxi.com", "api.minimaxi.io", "api.minimax.chat"),
    "mistral": ("api.mistral.ai", "codestral.mistral.ai"),
    "moonshotai": ("api.moonshot.ai", "api.moonshot.cn"),
    "nebius": ("api.studio.nebius.com", "api.studio.nebius.ai", "api.tokenfactory.nebius.com"),
    "novita": ("api.novita.ai",),
    "nscale": ("inference.api.nscale.com",),
    "nvidia": ("integrate.api.nvidia.com", "ai.api.nvidia.com"),
    "openrouter": ("openrouter.ai", "api.openrouter.ai"),
    "ovhcloud": ("oai.endpoints.kepler.ai.cloud.ovh.net",),
    "parasail": ("api.parasail.io",),
    "perplexity": ("api.perplexity.ai",),
    "poe": ("api.poe.com",),
    "publicai": ("api.publicai.co",),
    "quicksilverpro": ("api.quicksilverpro.io",),
    "reka": ("api.reka.ai",),
    "requesty": ("router.requesty.ai",),
    "sambanova": ("api.sambanova.ai",),
    "scaleway": ("api.scaleway.ai",),
    "siliconflow": ("api.siliconflow.cn", "api.siliconflow.com"),
    "stepfun": ("api.stepfun.com", "api.stepfun.ai"),
    "tencent": ("api.hunyuan.cloud.tencent.com",),
    "together": ("api.together.xyz", "api.together.ai"),
    "upstage": ("api.upstage.ai",),
    "voyageai": ("api.voyageai.com", "ai.mongodb.com"),
    "venice": ("api.venice.ai",),
    "volcengine": ("ark.cn-beijing.volces.com",),
    "wandb": ("api.inference.wandb.ai",),
    "writer": ("api.writer.com",),
    "x-ai": ("api.x.ai",),
    "zai": ("api.z.ai",),
    "zhipuai": ("open.bigmodel.cn",),
    "llamacpp": (),
    "lmstudio": (),
    "self-hosted": (),
    "tgi": (),
    "vllm": (),
}

PATTERNS: Final = {
    re.compile(r"[a-z0-9-]+\.api\.x\.ai"): "x-ai",
    re.compile(r"api\.[a-z0-9-]+\.githubcopilot\.com"): "github-copilot",
    re.compile(r"ark\.[a-z0-9-]+\.(?:volces|bytepluses)\.com"): "volcengine",
    re.compile(r"[a-z0-9-]+\.endpoints\.kepler\.ai\.cloud\.ovh\.net"): "ovhcloud",
}
"""Hosts with a part that varies, such as a region."""

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


def _find_route(id: str) -> FindRoute:
    dialect, refine, more = _DIALECTS.get(id, OPENAI), _REFINES.get(id), _MORE.get(id, {})
    ours = openai.endpoints(dialect)
    if refine is not None:
        ours = {path: refined_by(endpoint, refine) for path, endpoint in ours.items()}
    return by_path(
        {**more, **{end: endpoint for end, endpoint in _EVERYWHERE.items() if end not in more}},
        openai.routes(ours, costs_nothing=_FREE.get(id, openai.FREE), dialect=dialect),
    )


PROVIDERS: Final[dict[str, Provider]] = {id: Provider(id, f"system.{id}", _find_route(id)) for id in _TABLE}

HOSTS: Final[dict[str, Provider]] = {host: PROVIDERS[id] for id, hosts in _TABLE.items() for host in hosts}
