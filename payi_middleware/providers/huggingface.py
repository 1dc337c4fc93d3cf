"""Hugging Face's router: one host in front of several providers, of which the path, the model or a header names one."""

from __future__ import annotations

from typing import Final

from ..events import Part
from . import openai
from .base import Facts, Provider, Reading, Route, refined_by

__all__ = ["HOSTS", "PROVIDER", "PROVIDERS"]

HOSTS: Final = ("router.huggingface.co", "api-inference.huggingface.co")

_BEHIND: Final = (
    "cerebras",
    "cohere",
    "deepinfra",
    "fireworks-ai",
    "groq",
    "hyperbolic",
    "nebius",
    "novita",
    "nscale",
    "ovhcloud",
    "publicai",
    "sambanova",
    "together",
)

PROVIDERS: Final[dict[str, Provider]] = {name: openai.host(f"huggingface_{name}") for name in _BEHIND}


def _chosen(reading: Reading, facts: Facts) -> Reading:
    """Where the router chooses, it says whom: in a header, or the model asked for ends with it (`name:provider`)."""
    asked = (facts.asked.model or "").rpartition(":")
    name = facts.headers.get("x-inference-provider") or (asked[2] if asked[0] else "")
    if reading.units is None or name.lower() not in PROVIDERS:
        return reading
    provider = PROVIDERS[name.lower()].id
    model = (reading.model or asked[0] or facts.asked.model or "").partition(":")[0]
    part = Part(model or None, reading.units, reading.service_tier, reading.terms, provider)
    return reading._replace(parts=(part,))


_SHARED: Final = openai.routes({path: refined_by(endpoint, _chosen) for path, endpoint in openai.endpoints().items()})


def _find_route(method: str, path: str) -> Route | None:
    behind = PROVIDERS.get(path.lstrip("/").partition("/")[0])
    if behind is None:
        return _SHARED(method, path)
    route = behind.find_route(method, path)
    return None if route is None else route._replace(provider=behind)


PROVIDER: Final = Provider("huggingface", "system.huggingface", _find_route)
"""The router itself (`/v1/chat/completions`), which has no list of its own."""
