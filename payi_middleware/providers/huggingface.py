"""Hugging Face's router: one host in front of several providers, of which the path, the model or a header names one."""

from __future__ import annotations

from typing import Final

from ..events import Part
from . import openai
from .base import Facts, Reading, Route, refined_by
from .known import BY_ID
from .places import BEHIND_HUGGINGFACE

__all__ = ["find_behind", "find_route"]

_BEHIND: Final = {name: BY_ID[f"huggingface_{name}"] for name in BEHIND_HUGGINGFACE}


def _chosen(reading: Reading, facts: Facts) -> Reading:
    """Where the router chooses, it says whom: in a header, or the model asked for ends with it (`name:provider`)."""
    asked = (facts.asked.model or "").rpartition(":")
    name = facts.headers.get("x-inference-provider") or (asked[2] if asked[0] else "")
    if reading.units is None or name.lower() not in _BEHIND:
        return reading
    provider = _BEHIND[name.lower()].id
    model = (reading.model or asked[0] or facts.asked.model or "").partition(":")[0]
    part = Part(model or None, reading.units, reading.service_tier, reading.terms, provider)
    return reading._replace(parts=(part,))


find_behind: Final = openai.routes(openai.endpoints())
_SHARED: Final = openai.routes({path: refined_by(endpoint, _chosen) for path, endpoint in openai.endpoints().items()})


def find_route(method: str, path: str) -> Route | None:
    """The route of a request: the path names who is behind, or the router chooses (`/v1/chat/completions`)."""
    behind = _BEHIND.get(path.lstrip("/").partition("/")[0])
    if behind is None:
        return _SHARED(method, path)
    route = find_behind(method, path)
    return None if route is None else route._replace(provider=behind)
