"""What a request may take besides one answer of its own model, for strict limits: other models, tools that the provider runs. Pure.

Sources, read 2026-11: OpenAI's API reference (`tools`, `max_tool_calls`, `web_search_options`), Anthropic's pages on server tools
(`max_uses`), advisors and fallbacks, Gemini's on tools and Deep Research, OpenRouter's on `models` and plugins, xAI's on
`search_parameters`, Perplexity's on Sonar Deep Research and Pro Search, Groq's on compound systems.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import msgspec

from .outline import MAX_READ

__all__ = ["NOTHING", "Beyond", "beyond"]


class Beyond(NamedTuple):
    """What is to be held for besides."""

    instead: tuple[str, ...] = ()
    """Models that may answer in place of the one that is asked."""
    also: tuple[str, ...] = ()
    """Models that may answer as well, and are paid for besides."""
    advisors: tuple[tuple[str, int], ...] = ()
    """Models that may be asked for advice, and how often."""
    draws: str | None = None
    """The model of a tool that makes pictures."""
    uses: int = 0
    """Times that the provider may run tools and go on; 0 where it runs none."""
    runs_code: bool = False


NOTHING: Final = Beyond()

_UNTOLD: Final = 1
"""Uses where the request sets no limit: there is no bound then, and a hold for more would refuse most calls for nothing."""
_MOST_USES: Final = 1_000
_SOURCES: Final = 20
"""That a search of xAI reads unless it is told otherwise, each with a fee."""
_DRAWING: Final = "gpt-image-1"
"""OpenAI's image tool where no model is named."""
_MAY: Final = re.compile(
    rb'"(?:fallbacks|mcp_servers|models|plugins|search_parameters|toolConfig|tools|web_search_options)"\s*:'
)
_TYPES: Final = (
    "advisor", "browser_search", "code_execution", "code_interpreter", "file_search", "image_generation", "mcp", "openrouter:",
    "shell", "tool_search", "web_fetch", "web_search", "x_search",
)  # fmt: skip
"""How the types of tools begin that the provider runs; all others are the application's own."""
_MEMBERS: Final = frozenset({
    "codeExecution", "code_execution", "fileSearch", "file_search", "googleMaps", "googleSearch", "googleSearchRetrieval",
    "google_maps", "google_search", "google_search_retrieval", "systemTool", "urlContext", "url_context",
})  # fmt: skip
"""The same in Gemini's and Bedrock's words, where a tool is named by its member."""
_BY_ITSELF: Final = re.compile(r"deep-research|sonar-pro-search|(?:^|/)compound")
"""Names of models that search and go on without a tool in the request: Perplexity's and Gemini's research, Groq's systems."""
_CODE: Final = ("code_execution", "code_interpreter", "shell")


class _Request(msgspec.Struct):
    fallbacks: Any = None
    max_tool_calls: Any = None
    mcp_servers: Any = None
    models: Any = None
    plugins: Any = None
    search_parameters: Any = None
    toolConfig: Any = None  # noqa: N815  # as Bedrock spells it
    tools: Any = None
    web_search_options: Any = None


_decode = msgspec.json.Decoder(_Request).decode


def beyond(seen: bytes | None, model: str | None = None) -> Beyond:
    """What a request may take besides. Never raises.

    Args:
        seen: Its body, or its outline.
        model: That it asks for, which may run tools by itself: as often as it likes, so that once stands for it.
    """
    found = _asked_besides(seen)
    if found.uses or model is None or _BY_ITSELF.search(model) is None:
        return found
    return found._replace(uses=_UNTOLD)


def _asked_besides(seen: bytes | None) -> Beyond:
    if not seen or len(seen) > MAX_READ or _MAY.search(seen) is None:
        return NOTHING
    try:
        asked = _decode(seen)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return NOTHING
    config = asked.toolConfig if isinstance(asked.toolConfig, dict) else {}
    run = [tool for tool in (*_dicts(asked.tools), *_dicts(config.get("tools"))) if _is_run(tool)]
    advisors = [tool for tool in run if _type(tool).startswith("advisor")]
    drawing = [tool for tool in run if _type(tool) == "image_generation"]
    return Beyond(
        instead=_names(asked.models),
        also=_names(asked.fallbacks),
        advisors=tuple((name, _told(tool)) for tool in advisors for name in _names([tool])),
        draws=next((name for tool in drawing for name in _names([tool])), _DRAWING) if drawing else None,
        uses=_uses(asked, run),
        runs_code=any(_type(tool).startswith(_CODE) for tool in run),
    )


def _uses(asked: _Request, run: list[dict[str, Any]]) -> int:
    """As often as the request lets all tools be used together, or each of them; once where it does not say."""
    whole = _count(asked.max_tool_calls)
    each = sum(map(_told, run)) if whole is None else whole if run else 0
    others = sum(bool(one) for one in (asked.plugins, asked.mcp_servers)) + (asked.web_search_options is not None)
    return min(each + others * _UNTOLD + _searches(asked.search_parameters), _MOST_USES)


def _searches(told: Any) -> int:
    if not isinstance(told, dict) or told.get("mode") == "off":
        return 0
    most = _count(told.get("max_search_results"))
    return _SOURCES if most is None else most


def _is_run(tool: dict[str, Any]) -> bool:
    return _type(tool).startswith(_TYPES) or not _MEMBERS.isdisjoint(tool)


def _type(tool: dict[str, Any]) -> str:
    told = tool.get("type")
    return told if isinstance(told, str) else ""


def _told(tool: dict[str, Any]) -> int:
    most = _count(tool.get("max_uses"))
    return _UNTOLD if most is None else most


def _count(value: Any) -> int | None:
    return min(value, _MOST_USES) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _names(value: Any) -> tuple[str, ...]:
    """Models of a list, each by its name or as an object that has one."""
    listed = value if isinstance(value, list) else []
    named = [one.get("model") if isinstance(one, dict) else one for one in listed]
    return tuple(name for name in named if isinstance(name, str) and name)
