"""The texts of converse and invoke, for counting tokens where a stream broke off before its usage.

Converse is put into Anthropic's shape, and what makers of text models name their prompts and answers into that of OpenAI's
legacy completions; the texters of these shapes do the rest. Claude and the OpenAI-shaped need nothing but to be unpacked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from .. import _eventstream
from .._json import parse
from .._texts import anthropic_texts, chat_texts
from ..base import Texts
from .invoke import chunks

__all__ = ["converse_texts", "invoke_texts"]

_MEDIA: Final = {"audio": "input_audio", "document": "document", "image": "image", "video": "video_url"}
"""A block of converse -> the type by which it is known elsewhere."""

_PROMPTS: Final = ("prompt", "inputText", "texts", "inputs")
_ANSWERS: Final = frozenset({"completion", "generation", "outputText", "text"})
_DEEPEST: Final = 16


def converse_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Converse: the deltas of a stream, or the message of a body."""
    value = parse(request)
    asked = _dumped(_asked(value)) if isinstance(value, dict) else b""
    if not _eventstream.looks_like_messages(answer):
        return anthropic_texts(asked, _dumped({"content": _content(_message(parse(answer)))}), False)
    messages = _eventstream.Stream.of(answer).messages
    return anthropic_texts(asked, _events(_delta(parse(message.payload)) for message in messages), True)


def invoke_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Invoke: the chunks of a stream, or the body, each in its maker's shape."""
    value = parse(request)
    parts = [answer]
    if is_stream := _eventstream.looks_like_messages(answer):
        parts = chunks(_eventstream.Stream.of(answer).messages)
    if not isinstance(value, dict) or "messages" not in value:
        return _plain_texts(value, map(parse, parts))
    values = [parse(part) for part in parts]
    if "anthropic_version" in value:
        return anthropic_texts(request, _events(values) if is_stream else answer, is_stream)
    if any(isinstance(told, dict) and ("choices" in told or "id" in told) for told in values):
        return chat_texts(request, _events(values) if is_stream else answer, is_stream)
    asked = _dumped(_asked(value))
    if is_stream:  # Nova's events have their type for a name
        return anthropic_texts(asked, _events(_delta(inner) for told in values for inner in _inner(told)), True)
    return anthropic_texts(asked, _dumped({"content": _content(_message(values[0]))}), False)


def _plain_texts(request: Any, answers: Iterable[Any]) -> Texts:
    """A prompt and its continuation, by whichever name."""
    asked = request if isinstance(request, dict) else {}
    prompts = [asked[name] for name in _PROMPTS if name in asked]
    words = "".join(word for answer in answers for word in _words(answer, "", 0))
    return chat_texts(_dumped({"prompt": prompts}), _dumped({"choices": [{"text": words}]}), False)


def _words(value: Any, name: str, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        if name in _ANSWERS:
            yield value
    elif isinstance(value, list) and depth < _DEEPEST:
        for member in value:
            yield from _words(member, name, depth + 1)
    elif isinstance(value, dict) and depth < _DEEPEST:
        for key, member in value.items():
            yield from _words(member, key, depth + 1)


def _asked(request: dict[str, Any]) -> dict[str, Any]:
    """A request of converse as one of Anthropic's."""
    messages = [
        {"role": message.get("role"), "content": _content(message)}
        for message in _list(request.get("messages"))
        if isinstance(message, dict)
    ]
    config = request.get("toolConfig")
    specs = [tool.get("toolSpec") for tool in _list(_member(config, "tools")) if isinstance(tool, dict)]
    tools = [
        {
            "name": spec.get("name"),
            "description": spec.get("description"),
            "input_schema": _member(spec.get("inputSchema"), "json"),
        }
        for spec in specs
        if isinstance(spec, dict)
    ]
    return {"system": request.get("system"), "messages": messages, "tools": tools}


def _content(message: Any) -> list[Any]:
    return [_block(block) for block in _list(_member(message, "content")) if isinstance(block, dict)]


def _block(block: dict[str, Any]) -> dict[str, Any]:
    """A block of converse as one of Anthropic's; what has no words is empty."""
    for name, kind in _MEDIA.items():
        if name in block:
            data = _member(_member(block[name], "source"), "bytes")
            mime = f"{name}/{_member(block[name], 'format')}"
            return {"type": kind, "source": {"type": "base64", "media_type": mime, "data": data}}
    if isinstance(used := block.get("toolUse"), dict):
        return {"type": "tool_use", "name": used.get("name"), "input": used.get("input")}
    if isinstance(result := block.get("toolResult"), dict):
        return {"type": "tool_result", "content": _content(result)}
    if "json" in block:
        return {"type": "text", "text": json.dumps(block["json"], default=str)}
    if "reasoningContent" in block:
        return {"type": "thinking", "thinking": _member(_member(block["reasoningContent"], "reasoningText"), "text")}
    return {"type": "text", "text": block.get("text")}


def _delta(event: Any) -> dict[str, Any]:
    """An event of converse-stream as one of Anthropic's."""
    delta = _member(event, "delta")
    if not isinstance(delta, dict):
        begun = _member(_member(event, "start"), "toolUse")
        return (
            {"content_block": {"type": "tool_use", "name": begun.get("name"), "input": {}}}
            if isinstance(begun, dict)
            else {}
        )
    if "toolUse" in delta:
        return {"delta": {"partial_json": _member(delta["toolUse"], "input")}}
    if "reasoningContent" in delta:
        return {"delta": {"thinking": _member(delta["reasoningContent"], "text")}}
    return {"delta": {"text": delta.get("text")}}


def _inner(event: Any) -> list[Any]:
    return list(event.values()) if isinstance(event, dict) else []


def _message(body: Any) -> Any:
    return _member(_member(body, "output"), "message")


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dumped(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


def _events(values: Iterable[Any]) -> bytes:
    return b"".join(b"data: " + _dumped(value) + b"\n\n" for value in values)
