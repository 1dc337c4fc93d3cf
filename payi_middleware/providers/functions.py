"""The functions that an application defines, among the tools of a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["functions"]


def functions(tools: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """The functions that an application defines, in whatever shape a maker takes them."""
    for tool in tools:
        if not isinstance(tool, dict):
            continue
        several = tool.get("functionDeclarations") or tool.get("function_declarations")
        inner = tool.get("function")
        if isinstance(several, list):
            yield from (function for function in several if isinstance(function, dict))
        elif isinstance(inner, dict):
            yield inner
        elif "name" in tool and ("parameters" in tool or "input_schema" in tool):
            yield tool
