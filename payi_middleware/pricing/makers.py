"""Whose list a gateway's model is on: by the name's prefix (`anthropic/claude-…`), else by the name itself.

Gateways and routers pass the price of the provider behind them on, so where neither genai-prices nor a row of ours knows
a gateway's model, the list of that provider holds. Sources: LiteLLM's provider routes
(docs.litellm.ai/docs/providers), Vercel's and OpenRouter's model lists, Cloudflare's AI Gateway providers, Portkey's
integrations, Hugging Face's inference providers; all looked at on 2026-11-25.
"""

from __future__ import annotations

import datetime
import re
from typing import Final

__all__ = ["GATEWAYS", "LISTED_SINCE", "ONE_PRICE", "maker_of", "named_maker", "provider_named"]

GATEWAYS: Final = frozenset(
    {
        "cloudflare-gateway",
        "databricks",
        "github-models",
        "helicone",
        "litellm",
        "openrouter",
        "portkey",
        "poe",
        "pydantic-gateway",
        "requesty",
        "vercel",
    }
)
"""The providers whose models are other providers': of Databricks those behind endpoints of the customer's own."""

LISTED_SINCE: Final = {"openrouter": datetime.date(2026, 10, 19)}
"""A gateway -> the day on which the history of its prices in genai-prices begins."""

ONE_PRICE: Final = frozenset({"anthropic", "google", "openai", "perplexity", "x-ai", "zai"})
"""The makers whose models cost everywhere what they themselves ask: their lists hold before a gateway's history begins."""

_ROUTER: Final = "huggingface"
_BEHIND: Final = "huggingface_"
"""Begins the id of a provider behind Hugging Face's router, which adds nothing to that provider's price."""

# The id of genai-prices (or ours) -> the names under which gateways know that provider, where they are others.
_NAMES: Final[dict[str, str]] = {
    "ai21": "ai21_chat ai21-labs",
    "anthropic": "",
    "aws": "amazon amazon-bedrock aws-bedrock bedrock bedrock_converse",
    "azure": "azure-openai azure_ai azure_openai azure-ai-foundry",
    "cerebras": "",
    "cloudflare": "workers-ai",
    "cohere": "cohere_chat",
    "databricks": "",
    "deepinfra": "",
    "deepseek": "",
    "elevenlabs": "",
    "fireworks": "fireworks-ai fireworks_ai",
    "google": "gemini google-ai google-ai-studio google-gemini google-vertex google-vertex-ai vertex vertex-ai vertex_ai "
    "google-antigravity google-vertex-anthropic vertex_ai_beta google-vertex-openai",
    "groq": "",
    "hyperbolic": "",
    "minimax": "",
    "mistral": "mistral-ai mistralai codestral text-completion-codestral",
    "moonshotai": "moonshot",
    "nebius": "",
    "novita": "",
    "nscale": "",
    "nvidia": "nvidia_nim nim",
    "ollama": "ollama_chat",
    "openai": "text-completion-openai",
    "openrouter": "",
    "ovhcloud": "",
    "perplexity": "perplexity-ai",
    "replicate": "",
    "sambanova": "",
    "snowflake": "",
    "together": "together-ai together_ai togetherai",
    "vllm": "hosted_vllm",
    "voyageai": "voyage",
    "watsonx": "watsonx_text",
    "writer": "",
    "x-ai": "grok xai",
    "zai": "z-ai",
}
_IDS: Final = {name: id for id, names in _NAMES.items() for name in (id, *names.split())}

# A model by its bare name. What several providers host under one name (llama, qwen) is nobody's.
_FAMILIES: Final = tuple(
    (re.compile(pattern), id)
    for pattern, id in (
        (r"claude", "anthropic"),
        (
            r"gpt-(?!oss)|chatgpt|o\d(?:-|$)|text-embedding-(?:3|ada)|dall-e|whisper|tts-|codex|davinci|babbage|sora",
            "openai",
        ),
        (r"gemini|imagen|veo|text-embedding-00|gemini-embedding", "google"),
        (r"mistral-|(?:open-)?mi[sx]tral|ministral|codestral|magistral|devstral|pixtral|voxtral", "mistral"),
        (r"command|c4ai-|embed-v4|embed-english|embed-multilingual|rerank-", "cohere"),
        (r"grok-", "x-ai"),
        (r"deepseek-(?!r1-distill)", "deepseek"),
        (r"sonar", "perplexity"),
        (r"kimi-|moonshot-", "moonshotai"),
        (r"glm-", "zai"),
        (r"muse-", "meta"),
        (r"jamba", "ai21"),
        (r"palmyra", "writer"),
        (r"voyage-", "voyageai"),
    )
)
_ANYONE_S: Final = re.compile(r"(?:^|/)(?:gemma|gpt-oss)")
"""Models that bear a maker's name and are sold by others: their maker gives them away."""

_SLUG: Final = re.compile(r"[-_].*$")


def provider_named(name: str) -> str | None:
    """The provider's id for a name that a gateway uses for it (`vertex_ai`, `@openai-prod`), or None."""
    name = name.lower().lstrip("@~")
    return _IDS.get(name) or _IDS.get(_SLUG.sub("", name))


def maker_of(provider: str, model: str) -> tuple[str, str] | None:
    """(provider, model) on whose list the model of a gateway is, or None if it is no gateway's or nobody's known."""
    if provider.startswith(_BEHIND):
        behind = provider_named(provider.removeprefix(_BEHIND))
        return None if behind is None else (behind, model)
    if provider == _ROUTER:
        name, _, chosen = model.rpartition(":")
        return (_BEHIND + chosen.lower(), name) if name and chosen else None
    if provider not in GATEWAYS:
        return None
    name = model.partition(":")[0] if provider != "litellm" else model
    if provider != "litellm" and _ANYONE_S.search(name.lower()):
        return None
    found = named_maker(name)
    return found if found is None or found[0] != provider else maker_of(provider, found[1])


def named_maker(name: str) -> tuple[str, str] | None:
    """(provider, model) by the prefix of a model's name, or by the name itself; None if it is nobody's."""
    prefix, slash, rest = name.partition("/")
    if slash and rest and (maker := provider_named(prefix)) is not None:
        return maker, rest
    bare = name.rpartition("/")[2].lower()
    family = next((id for pattern, id in _FAMILIES if pattern.match(bare)), None)
    return None if family is None else (family, bare)
