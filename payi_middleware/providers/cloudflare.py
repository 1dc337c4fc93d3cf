"""Cloudflare Workers AI: models named by the path, with answers wrapped in `result`, and OpenAI's shapes beside them.

Source: developers.cloudflare.com/workers-ai, looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ..events import Units
from . import openai
from ._paths import by_path
from ._plain import Counts, plain, told
from ._texts import named_texts
from .base import Reading, Route

__all__ = ["find_route"]

_AI: Final = re.compile(r".*/ai/(?:run|v1)/.+")


def _read(value: dict[str, Any]) -> Reading:
    """A call of a model by its path; what is no text tells no usage."""
    inner = value.get("result")
    result = inner if isinstance(inner, dict) else value
    counts = Counts(result.get("usage"))
    prompt, made = counts.get("prompt_tokens"), counts.get("completion_tokens")
    cached = min(counts.inner("prompt_tokens_details").get("cached_tokens"), prompt)
    units: Units = {"text": (prompt - cached, made)}
    if cached:
        units["text_cache_read"] = (cached, 0)
    reading = told(units, counts)
    if value.get("success") is False:
        return reading._replace(units=None, error_type="error", reason="the answer is an error")
    return reading


RUN: Final = plain("/ai/run/{model}", _read, texts=named_texts(("messages", "prompt", "text"), ("result", "response")))

_find: Final = by_path({r"ai/run/(?P<model>(?:@|%40).+)": RUN}, openai.routes(openai.endpoints(), strict=True))


def find_route(method: str, path: str) -> Route | None:
    """The route of a request. The host serves all of Cloudflare's API; only the models are ours."""
    return _find(method, path) if _AI.fullmatch(path) else None
