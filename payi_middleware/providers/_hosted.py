"""The hosted tools of OpenAI's Responses: what their calls cost besides the tokens of the response.

    web search        `tool_usage.web_search.num_requests`, else the items that searched (opening a page is free)
    image tool        the tokens of its own model, in `tool_usage.image_gen`, which `usage` does not contain
    file search       each call
    code, shell       the container in which they run, once for each container

Sources: OpenAI's API reference of the response object; the pricing page's section on built-in tools, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from ..events import Part, Units, Unpriced
from ._by_modality import ModalUsage, told_by_modality
from ._drawn import COUNTED_BY_TABLE, drawn_tokens
from ._json import Calls, Count, Name, arrays, fill, last_object
from .base import First

__all__ = [
    "CONTAINER",
    "MEMORY_TERMS",
    "Found",
    "Item",
    "SvgUsage",
    "ToolUsage",
    "first_container",
    "hosted",
    "svg_part",
]

CONTAINER: Final = "container"
"""Under which model the rates of containers stand."""

MEMORY_TERMS: Final = {"4g": ("memory:4g",), "16g": ("memory:16g",), "64g": ("memory:64g",)}
"""A container's memory -> the terms of its rate; the smallest, 1 GB, has none."""

_NO_CONTAINER: Final = "the answer does not name the container in which it ran"
_OTHER_MODEL: Final = "tokens of the image tool's own model, which the answer does not name"
_INPUT_NOT_TOLD: Final = "what went into the image tool's own model is not told"
_OPENAI_S: Final = re.compile(r"gpt-|o\d")
_FIRST_MODEL: Final = "gpt-image-1"
"""OpenAI's image tool where the answer repeats it without a model: so it was in 2025, when there was no other."""
_NO_TOKENS: Final = "neither the tokens of the picture nor its size and quality are told"
_BLOCK: Final = 8000
_BLOCK_ADDED: Final = f"search content is billed as {_BLOCK} input tokens a call, which usage does not tell"

COSTS: Final = frozenset(
    {"code_interpreter_call", "file_search_call", "image_generation_call", "shell_call", "web_search_call"}
)
"""The items that may cost more than their tokens."""
_TOOLS: Final = ("code_interpreter", "file_search", "image_generation", "shell", "web_search")
_NO_TOOLS: Final = re.compile(rb'"tools"\s*:\s*\[\s*\]')
_PREVIEW: Final = re.compile(rb'"type"\s*:\s*"web_search_preview')
_REASONS: Final = re.compile(r"(?:^|/)(?:o\d|gpt-(?:[5-9]|\d\d)(?!\S*chat))")
_IN_BLOCKS: Final = re.compile(r"(?:^|/)gpt-4(?:o|\.1)-mini")


class _Environment(msgspec.Struct, gc=False):
    container_id: Name | None = None


class _Action(msgspec.Struct, gc=False):
    type: Any = None


class SvgUsage(msgspec.Struct, gc=False):
    """The tokens of the model that writes a vector graphic, apart from the picture's."""

    model: Name | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class Item(msgspec.Struct, gc=False):
    """An item of a response's output, as far as it may cost."""

    type: Name | None = None
    action: _Action | Name | None = None  # of a picture it is a word
    container_id: Name | None = None
    environment: _Environment | None = None
    size: Name | None = None
    quality: Name | None = None
    svg_usage: SvgUsage | None = None


class _WebSearch(msgspec.Struct, gc=False):
    num_requests: Calls | None = None


class _ImageTool(msgspec.Struct, gc=False):
    total_tokens: Count | None = None


class ToolUsage(msgspec.Struct, gc=False):
    """What the provider itself counts. The image tool's details are read only where it was used."""

    web_search: _WebSearch | None = None
    image_gen: _ImageTool | None = None


class Found(NamedTuple):
    """What the tools of a response cost."""

    parts: tuple[Part, ...] = ()
    """Of other models than the one that answered."""
    firsts: tuple[First, ...] = ()
    terms: tuple[str, ...] = ()
    unpriced: tuple[Unpriced, ...] = ()
    reason: str | None = None
    estimated: bool = False


NOTHING: Final = Found()
"""What the tools of most responses cost."""


def hosted(items: Sequence[Item], told: ToolUsage | None, units: Units, model: str | None, raw: bytes) -> Found:
    """What the tools of a response cost. Puts into `units` what is priced by the model that answered.

    Args:
        items: The output of the response.
        told: The provider's own counts.
        units: Of the response; a count that is there already is not counted again.
        model: Which answered.
        raw: The answer, searched for what is rarely needed.
    """
    called = [item for item in items if item.type in COSTS]
    searches = _searches(called, told)
    pictured = told is not None and told.image_gen is not None and told.image_gen.total_tokens
    if not called and not searches and not pictured:
        return NOTHING
    terms, reason = _web_search(searches, units, model, raw) if searches else ((), None)
    files = sum(item.type == "file_search_call" for item in called)
    if files:
        units.setdefault("file_search_request", (0, files))
    found = Found((), (), terms, (), reason)
    pictures = [item for item in called if item.type == "image_generation_call"]
    if pictures or pictured:
        found = _pictures(found, pictures, bool(pictured), model, raw)
    places = [item for item in called if item.type in ("code_interpreter_call", "shell_call")]
    if not places or "code_execution_request" in units:  # a host with a fee for each call has told them
        return found
    return _containers(found, places, raw)


def _searches(items: Sequence[Item], told: ToolUsage | None) -> int:
    """What the provider counts as billable; else the searches among the items."""
    if told is not None and told.web_search is not None and told.web_search.num_requests is not None:
        return told.web_search.num_requests
    return sum(
        item.type == "web_search_call"
        and (not isinstance(item.action, _Action) or item.action.type in (None, "search"))
        for item in items
    )


def _web_search(searches: int, units: Units, model: str | None, raw: bytes) -> tuple[tuple[str, ...], str | None]:
    """Puts searches into `units`; gives the terms of their rate, and what is to be said.

    The preview tool costs more on models that do not reason, and its content nothing. With the later tool the content is
    input like any other, but for two small models: theirs is a block of 8,000 tokens.
    """
    if "web_search_request" in units:
        return (), None
    units["web_search_request"] = (0, searches)
    if _PREVIEW.search(raw) is not None:
        return ((), None) if _REASONS.search(model or "") else (("search:preview",), None)
    if _IN_BLOCKS.search(model or "") is None or sum(taken for taken, _ in units.values()) >= _BLOCK * searches:
        return (), None
    taken, made = units.get("text", (0, 0))
    units["text"] = (taken + _BLOCK * searches, made)
    return (), _BLOCK_ADDED


def may_have_called(tail: bytes, head: bytes, told: ToolUsage | None) -> bool:
    """Whether an answer whose items were not seen may hold calls that cost something and that nobody counted."""
    # A schema may have a member of that name too, and an MCP server lists its own: those are no tools of the response.
    offered = [tools for data in (tail, head) for tools in arrays(data, b'"tools"') if _is_offer(tools)]
    if not offered:
        return _NO_TOOLS.search(tail) is None and _NO_TOOLS.search(head) is None
    counted = ("image_generation", "web_search") if told is not None else ()
    kinds = [tool["type"] for tools in offered for tool in tools if isinstance(tool.get("type"), str)]
    return any(kind.startswith(_TOOLS) and not kind.startswith(counted) for kind in kinds)


def _is_offer(tools: list[Any]) -> bool:
    return all(isinstance(tool, dict) for tool in tools) and any("type" in tool for tool in tools)


def _offered(raw: bytes, kind: str) -> dict[str, Any]:
    """The definition of a tool, as the answer repeats it."""
    for tools in arrays(raw, b'"tools"'):
        for tool in tools:
            if isinstance(tool, dict) and tool.get("type") == kind:
                return tool
    return {}


def _pictures(found: Found, items: Sequence[Item], told: bool, asked: str | None, raw: bytes) -> Found:
    """The image tool's own model: its tokens as told, else what came out of it by size and quality."""
    offered = _offered(raw, "image_generation")
    model = offered.get("model", _FIRST_MODEL if offered and _OPENAI_S.match(asked or "") else None)
    model = model if isinstance(model, str) and model else None
    parts = tuple(svg_part(item.svg_usage) for item in items if item.svg_usage is not None)
    if told:
        usage, wrong = fill(last_object(raw, b'"image_gen"') or {}, ModalUsage)
        units, odd = told_by_modality(usage, "image")
        found = found._replace(reason=_both(found.reason, wrong or odd))
    else:
        units, found = _drawn(found, items, model)
    if units is None:
        left_out = Unpriced("generated_image", max(len(items), 1), _NO_TOKENS)
    elif model is None:
        left_out = Unpriced("image_generation_token", sum(map(sum, units.values())), _OTHER_MODEL)
    else:
        return found._replace(parts=(*parts, Part(model, units)))
    return found._replace(parts=parts, unpriced=(*found.unpriced, left_out))


def _drawn(found: Found, items: Sequence[Item], model: str | None) -> tuple[Units | None, Found]:
    """The tokens of pictures by size and quality: exact where both are told, and without what went into them."""
    counts = [drawn_tokens(model, item.size, item.quality) for item in items]
    tokens = sum(count or 0 for count in counts)
    if None in counts or not tokens:
        return None, found
    left_out = Unpriced("image_generation_call", len(items), _INPUT_NOT_TOLD)
    guessed = any(told in (None, "auto") for item in items for told in (item.size, item.quality))
    reason = _both(found.reason, COUNTED_BY_TABLE)
    return {"image": (0, tokens)}, found._replace(
        unpriced=(*found.unpriced, left_out), reason=reason, estimated=guessed
    )


def svg_part(usage: SvgUsage) -> Part:
    """The part of a model that wrote a vector graphic."""
    reasoning = min(usage.reasoning_tokens or 0, usage.output_tokens or 0)
    units: Units = {"text": (usage.input_tokens or 0, (usage.output_tokens or 0) - reasoning)}
    if reasoning:
        units["reasoning"] = (0, reasoning)
    return Part(usage.model or "svg", units)


def _containers(found: Found, items: Sequence[Item], raw: bytes) -> Found:
    """Each container once; one that the request names was charged when it was made."""
    firsts: dict[str, First] = {}
    unnamed = 0
    for kind, tool in (("code_interpreter_call", "code_interpreter"), ("shell_call", "shell")):
        ids = [id for item in items if item.type == kind for id in _ran_in(item)]
        if not any(item.type == kind for item in items):
            continue
        place = _place(_offered(raw, tool))
        if isinstance(place, str):
            continue
        memory = place.get("memory_limit")
        firsts |= {id: first_container(id, memory) for id in ids}
        missing = sum(item.type == kind for item in items) - len(ids)
        # A shell without a container runs at the application's own.
        unnamed += missing if kind == "code_interpreter_call" or place.get("type") == "container_auto" else 0
    unpriced = (Unpriced("container_session_request", unnamed, _NO_CONTAINER),) if unnamed else ()
    return found._replace(firsts=tuple(firsts.values()), unpriced=found.unpriced + unpriced)


def _ran_in(item: Item) -> Iterator[str]:
    id = item.container_id or (item.environment.container_id if item.environment is not None else None)
    if id:
        yield id


def _place(tool: dict[str, Any]) -> str | dict[str, Any]:
    """Where a tool runs: the id of a container that was there before, or what kind is made for it."""
    place = tool.get("container") or tool.get("environment")
    if isinstance(place, dict):
        id = place.get("container_id")
        return id if isinstance(id, str) and id else place
    return place if isinstance(place, str) else {}


def first_container(id: str, memory: object) -> First:
    """The charge of a container, by its memory (`4g`)."""
    terms = MEMORY_TERMS.get(memory, ()) if isinstance(memory, str) else ()
    return First(id, Part(CONTAINER, {"container_session_request": (0, 1)}, None, terms))


def _both(one: str | None, other: str | None) -> str | None:
    return f"{one}; {other}" if one and other else one or other
