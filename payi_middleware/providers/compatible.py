"""The hosts that speak OpenAI's language, as a table: one row a provider of genai-prices.

A new host is a new row. A row with a `Dialect` says in what the host's usage differs.
"""

from __future__ import annotations

from typing import Final

from . import openai
from ._openai_usage import OPENAI, Dialect, stated_cost, stated_ticks, stated_total
from .base import Provider

__all__ = ["HOSTS", "PROVIDERS"]

# genai-prices' id -> its hosts. Sources: each provider's API reference; a test holds them against genai-prices.
_TABLE: Final[dict[str, tuple[str, ...]]] = {
    "arcee": ("api.arcee.ai",),
    "avian": ("api.avian.io",),
    "baseten": ("inference.baseten.co",),
    "cerebras": ("api.cerebras.ai",),
    "cohere": ("api.cohere.ai", "api.cohere.com"),
    "deepseek": ("api.deepseek.com",),
    "doubleword": ("api.doubleword.ai",),
    "fireworks": ("api.fireworks.ai",),
    "github-copilot": ("api.githubcopilot.com",),
    "groq": ("api.groq.com",),
    "meta": ("api.meta.ai",),
    "minimax": ("api.minimax.io", "api.minimax.com", "api.minimaxi.com", "api.minimaxi.io"),
    "mistral": ("api.mistral.ai",),
    "moonshotai": ("api.moonshot.ai", "api.moonshot.cn"),
    "novita": ("api.novita.ai",),
    "openrouter": ("openrouter.ai", "api.openrouter.ai"),
    "ovhcloud": ("oai.endpoints.kepler.ai.cloud.ovh.net",),
    "perplexity": ("api.perplexity.ai",),
    "quicksilverpro": ("api.quicksilverpro.io",),
    "together": ("api.together.xyz", "api.together.ai"),
    "voyageai": ("api.voyageai.com",),
    "x-ai": ("api.x.ai",),
    "zai": ("api.z.ai",),
    "zhipuai": ("open.bigmodel.cn",),
}

_DIALECTS: Final = {
    "openrouter": Dialect(stated=stated_cost),
    "perplexity": Dialect(stated=stated_total),
    "x-ai": Dialect(cached_may_be_extra=True, stated=stated_ticks),
}

# What is free at a host besides what is free at all of them.
_FREE: Final = {"openrouter": openai.free("auth", "credits", "keys", "organization")}

PROVIDERS: Final[dict[str, Provider]] = {
    id: openai.host(id, dialect=_DIALECTS.get(id, OPENAI), costs_nothing=_FREE.get(id, openai.FREE)) for id in _TABLE
}

HOSTS: Final[dict[str, Provider]] = {host: PROVIDERS[id] for id, hosts in _TABLE.items() for host in hosts}
