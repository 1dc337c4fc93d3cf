"""What a request costs besides its words: what a maker puts around messages and tools.

Functions of OpenAI's models are counted by the rule of OpenAI's cookbook ("How to count tokens with tiktoken", section
7): of each function its name and description, of each of its parameters the name, type and description, and so many
tokens around them. Over recorded calls that is off by 2 to 6 %, their JSON by 40 to 60 %. Other makers' tools are counted
as their JSON, by the share that `providers.families` tells.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from ..providers.base import Texts
from ..providers.families import Family
from ..providers.functions import functions

__all__ = ["framing"]

Count = Callable[[str], int]
"""The tokens of a text, by the family's encoding."""

_FUNCTION: Final = 7
_FUNCTION_OLDER: Final = 10  # by cl100k_base
_WITHOUT_PARAMETERS: Final = -3  # the rule does not speak of them; recorded
_PROPERTIES: Final = 3
_PROPERTY: Final = 3
_FIRST_OF_ENUM: Final = -3
_OF_ENUM: Final = 3
_AFTER_ALL: Final = 12

_SCHEMA_PERCENT: Final = 55
"""Tokens of the schema of an answer for 100 of its JSON, as recorded."""
_DEEPEST: Final = 16


def framing(texts: Texts, family: Family, count: Count) -> int:
    """The tokens of a prompt besides its words."""
    tokens = texts.ids + texts.called * family.call
    if family.signature:
        tokens += texts.signed // family.signature
    if texts.messages:
        tokens += texts.messages * family.message + family.reply
    if texts.tools:
        tokens += family.tools + (family.chat_tools if texts.is_chat else 0) + _tools(texts, family, count)
    if texts.schema is not None:
        tokens += family.schema + count(_json(texts.schema)) * _SCHEMA_PERCENT // 100
    return tokens


def _tools(texts: Texts, family: Family, count: Count) -> int:
    found = list(functions(texts.tools))
    tokens = sum(count(_json(tool)) for tool in texts.tools if next(functions([tool]), None) is None)
    if family.tool_percent == 0:
        return tokens + (_by_the_cookbook(found, family, count) if found else 0)
    return tokens + sum(family.tool + count(_json(function)) * family.tool_percent // 100 for function in found)


def _by_the_cookbook(found: list[dict[str, Any]], family: Family, count: Count) -> int:
    tokens = _AFTER_ALL
    for function in found:
        tokens += _FUNCTION_OLDER if family.encoding == "cl100k_base" else _FUNCTION
        tokens += count(f"{function.get('name')}:{_sentence(function.get('description'))}")
        tokens += _parameters(function.get("parameters"), count, 0) or _WITHOUT_PARAMETERS
    return tokens


def _parameters(schema: Any, count: Count, depth: int) -> int:
    """The properties of an object, and of the objects in it, which the rule does not speak of."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not properties or depth > _DEEPEST:
        return 0
    tokens = _PROPERTIES
    for name, value in properties.items():
        if not isinstance(value, dict):
            continue
        choices = value.get("enum")
        tokens += _PROPERTY + count(f"{name}:{value.get('type')}:{_sentence(value.get('description'))}")
        if isinstance(choices, list):
            tokens += _FIRST_OF_ENUM + sum(_OF_ENUM + count(str(choice)) for choice in choices)
        tokens += _parameters(value, count, depth + 1) + _parameters(value.get("items"), count, depth + 1)
    return tokens


def _sentence(text: Any) -> str:
    return text.rstrip(".") if isinstance(text, str) else ""


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)
