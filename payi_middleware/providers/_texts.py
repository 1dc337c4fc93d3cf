"""The texts of an exchange, for counting tokens where the provider told no usage.

The shapes differ only in the names of members, so one walk serves all: it gathers the strings under names that hold
text, and passes by what is no text (base64 images, URLs, ids). Nothing of it outlives the counting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from . import _sse
from ._json import parse
from .base import Texts

__all__ = ["Texter", "anthropic_texts", "chat_texts", "gemini_texts", "input_texts", "responses_texts"]

Texter: TypeAlias = Callable[[bytes, bytes, bool], Texts]

_TEXT: Final = frozenset(
    {"arguments", "content", "delta", "input", "instructions", "output", "partial_json", "prompt", "query", "reasoning"}
    | {"reasoning_content", "refusal", "summary_text", "system", "text", "thinking", "name"}
)
_PASS: Final = frozenset(
    {"data", "encrypted_content", "file_data", "image_url", "inlineData", "inline_data", "input_audio", "source", "url"}
)
_DEEPEST: Final = 64


def _strings(value: Any, name: str = "text", depth: int = 0) -> Iterator[str]:
    """The strings under names that hold text, in their order."""
    if isinstance(value, str):
        if name in _TEXT:
            yield value
    elif depth > _DEEPEST:
        return
    elif isinstance(value, list):
        for member in value:
            yield from _strings(member, name, depth + 1)
    elif isinstance(value, dict):
        for key, member in value.items():
            if key == "args":  # Gemini's arguments are an object, not a string
                yield json.dumps(member, default=str)
            elif key not in _PASS:
                yield from _strings(member, key, depth + 1)


def _prompt(request: bytes, members: tuple[str, ...], listed: str) -> tuple[list[str], int]:
    """The prompt's texts, tools as their JSON, and the number of messages."""
    body = parse(request)
    if not isinstance(body, dict):
        return [], 0
    texts = [text for name in members for text in _strings(body.get(name))]
    if body.get("tools"):
        texts.append(json.dumps(body["tools"], default=str))
    messages = body.get(listed)
    return texts, len(messages) if isinstance(messages, list) else 1


def _values(answer: bytes, streamed: bool) -> list[Any]:
    """The answer's JSON values: every event of a stream, or the body."""
    if streamed and not answer[:64].lstrip().startswith((b"{", b"[")):
        return [parse(payload) for payload in _sse.events(answer)]
    value = parse(answer)
    return value if isinstance(value, list) else [value]


def _joined(answer: bytes, streamed: bool, *path: str) -> list[str]:
    """The answer as one text: deltas must be joined before tokens are counted."""
    found: list[str] = []
    for value in _values(answer, streamed):
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        found.extend(_strings(value))
    return ["".join(found)] if found else []


def chat_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Chat and legacy completions."""
    prompt, messages = _prompt(request, ("messages", "prompt", "functions"), "messages")
    return Texts(prompt, _joined(answer, streamed, "choices"), messages)


def input_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Embeddings: what is embedded, and no answer."""
    prompt, _ = _prompt(request, ("input",), "input")
    return Texts(prompt, [], 0)


def responses_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Responses: the deltas of a stream, since its last event may be what is missing."""
    prompt, messages = _prompt(request, ("instructions", "input"), "input")
    return Texts(prompt, _joined(answer, streamed, "delta" if streamed else "output"), messages)


def anthropic_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Anthropic messages."""
    prompt, messages = _prompt(request, ("system", "messages"), "messages")
    return Texts(prompt, _joined(answer, streamed, "delta" if streamed else "content"), messages)


def gemini_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Gemini: contents and candidates, also of embeddings."""
    members = ("systemInstruction", "system_instruction", "contents", "content", "requests")
    prompt, messages = _prompt(request, members, "contents")
    return Texts(prompt, _joined(answer, streamed, "candidates"), messages)
