"""Hugging Face's router: one host in front of several providers, of which the path names one."""

from __future__ import annotations

from typing import Final

from . import openai
from .base import Provider, Route

__all__ = ["HOST", "PROVIDER", "PROVIDERS"]

HOST: Final = "router.huggingface.co"

_BEHIND: Final = (
    "cerebras",
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
_SHARED: Final = openai.routes(openai.endpoints())


def _find_route(method: str, path: str) -> Route | None:
    route = _SHARED(method, path)
    if route is None:
        return None
    return route._replace(provider=PROVIDERS.get(path.lstrip("/").partition("/")[0]))


PROVIDER: Final = Provider("huggingface", "system.huggingface", _find_route)
"""The router itself, which chooses by the model (`/v1/chat/completions`): genai-prices has no list for it."""
