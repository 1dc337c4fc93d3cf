"""The providers: which host is one, and how to read what it answers.

A new provider is a new file (or a row of `compatible`) and a line here; nothing else of the house knows one from
another.
"""

from __future__ import annotations

import re
from typing import Final

from . import (
    anthropic,
    azure,
    bedrock,
    cloudflare,
    cohere,
    compatible,
    databricks,
    deepgram,
    elevenlabs,
    gateways,
    google,
    huggingface,
    ollama,
    openai,
    replicate,
    snowflake,
    watsonx,
)
from .base import Asked, Endpoint, Provider, Reading, Route, Texts

__all__ = ["PROVIDERS", "Asked", "Endpoint", "Provider", "Reading", "Route", "Texts", "find", "named"]

_MADE: Final[tuple[Provider, ...]] = (
    openai.PROVIDER,
    azure.PROVIDER,
    azure.ANTHROPIC,
    anthropic.PROVIDER,
    google.PROVIDER,
    bedrock.PROVIDER,
    cohere.PROVIDER,
    cloudflare.PROVIDER,
    *(provider for _, provider in databricks.HOSTS),
    deepgram.PROVIDER,
    elevenlabs.PROVIDER,
    huggingface.PROVIDER,
    *huggingface.PROVIDERS.values(),
    ollama.PROVIDER,
    ollama.CLOUD,
    replicate.PROVIDER,
    snowflake.PROVIDER,
    watsonx.PROVIDER,
    *compatible.PROVIDERS.values(),
)

_BY_ID: Final[dict[str, Provider]] = {provider.id: provider for provider in reversed(_MADE)}

_GATEWAYS: Final = gateways.gateways(lambda host: find(host), _BY_ID.get)

PROVIDERS: Final[tuple[Provider, ...]] = (*_MADE, *_GATEWAYS.values())

# The first of an id is the one of its name: an azure host decides by the path which of its two is meant.
_NAMED: Final[dict[str, Provider]] = {provider.id: provider for provider in reversed(PROVIDERS)}

_HOSTS: Final[dict[str, Provider]] = {
    "api.openai.com": openai.PROVIDER,
    "api.anthropic.com": anthropic.PROVIDER,
    "generativelanguage.googleapis.com": google.PROVIDER,
    "aiplatform.googleapis.com": google.PROVIDER,
    **dict.fromkeys(cohere.HOSTS, cohere.PROVIDER),
    cloudflare.HOST: cloudflare.PROVIDER,
    **dict.fromkeys(huggingface.HOSTS, huggingface.PROVIDER),
    ollama.HOST: ollama.CLOUD,
    replicate.HOST: replicate.PROVIDER,
    **{host: _GATEWAYS[id] for host, id in gateways.HOSTS.items()},
    **compatible.HOSTS,
}

_PATTERNS: Final[tuple[tuple[re.Pattern[str], Provider], ...]] = (
    (azure.HOSTS, azure.PROVIDER),
    (google.HOSTS, google.PROVIDER),
    (anthropic.HOSTS, anthropic.PROVIDER),
    (bedrock.HOSTS, bedrock.PROVIDER),
    (re.compile(r"[a-z0-9-]+\.api\.openai\.com"), openai.REGIONAL),
    *databricks.HOSTS,
    (deepgram.HOSTS, deepgram.PROVIDER),
    (elevenlabs.HOSTS, elevenlabs.PROVIDER),
    (snowflake.HOSTS, snowflake.PROVIDER),
    (watsonx.HOSTS, watsonx.PROVIDER),
    *((pattern, compatible.PROVIDERS[id]) for pattern, id in compatible.PATTERNS.items()),
)


def find(host: str) -> Provider | None:
    """The provider behind a host name (a port is passed over), or None. Pure: remember the answer."""
    found = _HOSTS.get(host)
    if found is not None:
        return found
    name = host.lower().partition(":")[0].rstrip(".")
    found = _HOSTS.get(name)
    if found is not None:
        return found
    return next((provider for pattern, provider in _PATTERNS if pattern.fullmatch(name)), None)


def named(name: str) -> Provider:
    """The provider of a name in the setting `hosts`; LookupError, with the names there are, for any other."""
    try:
        return _NAMED[name]
    except KeyError:
        raise LookupError(f"no provider is named {name!r}; use one of: {', '.join(sorted(_NAMED))}") from None
