"""The texts of an exchange, for counting tokens where the provider told no usage.

The shapes differ only in the names of members, so one walk serves all: it gathers the strings under names that hold
text, lists what is no text (images, files), and passes by the rest (URLs, ids). Nothing of it outlives the counting.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from . import _sse
from ._json import parse
from .base import Texts
from .media import kind_of, listed

__all__ = ["Texter", "anthropic_texts", "chat_texts", "gemini_texts", "input_texts", "responses_texts"]

Texter: TypeAlias = Callable[[bytes, bytes, bool], Texts]

_TEXT: Final = frozenset(
    {"arguments", "content", "delta", "input", "instructions", "output", "partial_json", "prompt", "query", "reasoning"}
    | {"reasoning_content", "refusal", "summary_text", "system", "text", "thinking", "name"}
)
# What is no text, or nobody's words.
_PASS: Final = frozenset(
    {"annotations", "citationMetadata", "data", "encrypted_content", "executed_tools", "fileData", "file_data"}
    | {"groundingMetadata", "image_url", "inlineData", "inline_data", "input_audio", "results", "source", "url"}
)
# What the provider's tools put into an answer: no output of the model, though it is input of the next call.
_PASS_IN_ANSWERS: Final = _PASS | {"codeExecutionResult", "response", "toolResponse"}
_IDS: Final = frozenset({"input", "prompt"})
_OBJECTS: Final = frozenset({"args", "input", "response"})
_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details")
_DEEPEST: Final = 64


class _Walk:
    """What JSON values hold for counting."""

    def __init__(self, *, is_answer: bool = False) -> None:
        self.is_answer = is_answer
        self.passes = _PASS_IN_ANSWERS if is_answer else _PASS
        self.texts: list[str] = []
        self.ids = 0
        self.media: Counter[str] = Counter()

    def walk(self, value: Any, name: str = "text", depth: int = 0) -> None:
        """Gathers a value that stands under a name."""
        if isinstance(value, str):
            if name in _TEXT:
                self.texts.append(value)
        elif isinstance(value, int):
            self.ids += name in _IDS and value is not True and value is not False
        elif depth > _DEEPEST:
            return
        elif isinstance(value, list):
            for member in value:
                self.walk(member, name, depth + 1)
        elif isinstance(value, dict):
            self._walk_object(value, depth)

    def _walk_object(self, value: dict[str, Any], depth: int) -> None:
        if self.is_answer and str(value.get("type")).endswith("tool_result"):
            return
        self._find_media(value, depth)
        reasoning = next((name for name in _REASONING if value.get(name)), None)
        for key, member in value.items():
            if key in self.passes or (key in _REASONING and key != reasoning):
                continue
            if key in _OBJECTS and isinstance(member, dict):  # arguments and results of functions
                self.texts.append(json.dumps(member, default=str))
            else:
                self.walk(member, key, depth + 1)

    def _find_media(self, value: dict[str, Any], depth: int) -> None:
        for name in ("inlineData", "inline_data", "fileData", "file_data"):
            blob = value.get(name)
            if isinstance(blob, dict):
                self.media[kind_of(blob.get("mimeType") or blob.get("mime_type")) or "file"] += 1
        kind = kind_of(value.get("type"))
        if kind is None:
            return
        source = value.get("source")
        if isinstance(source, dict) and source.get("type") in ("text", "content"):  # a document of Anthropic's
            self.walk(source.get("data") or source.get("content"), "text", depth + 1)
        else:
            self.media[kind] += 1


def _texts(prompt: _Walk, answer: _Walk, messages: int) -> Texts:
    """Deltas of an answer are joined before they are counted: a word may be split in two."""
    joined = ["".join(answer.texts)] if answer.texts else []
    return Texts(prompt.texts, joined, messages, prompt.ids, listed(prompt.media + answer.media))


def _prompt(request: bytes, members: tuple[str, ...], listed: str) -> tuple[_Walk, int]:
    """The prompt, tools as their JSON, and the number of messages."""
    found = _Walk()
    body = parse(request)
    if not isinstance(body, dict):
        return found, 0
    for name in members:
        found.walk(body.get(name), name if name in _IDS else "text")
    for name in ("tools", "functions"):
        if body.get(name):
            found.texts.append(json.dumps(body[name], default=str))
    messages = body.get(listed)
    return found, len(messages) if isinstance(messages, list) else 1


def _values(answer: bytes, streamed: bool) -> list[Any]:
    """The answer's JSON values: every event of a stream, or the body."""
    if streamed and not answer[:64].lstrip().startswith((b"{", b"[")):
        return [parse(payload) for payload in _sse.events(answer)]
    value = parse(answer)
    return value if isinstance(value, list) else [value]


def _answer(answer: bytes, streamed: bool, name: str) -> _Walk:
    found = _Walk(is_answer=True)
    for value in _values(answer, streamed):
        found.walk(value.get(name) if isinstance(value, dict) else None)
    return found


def chat_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Chat and legacy completions."""
    prompt, messages = _prompt(request, ("messages", "prompt"), "messages")
    return _texts(prompt, _answer(answer, streamed, "choices"), messages)


def input_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Embeddings: what is embedded, and no answer."""
    prompt, _ = _prompt(request, ("input",), "input")
    return _texts(prompt, _Walk(), 0)


def responses_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Responses: the deltas of a stream, since its last event may be what is missing."""
    prompt, messages = _prompt(request, ("instructions", "input"), "input")
    return _texts(prompt, _answer(answer, streamed, "delta" if streamed else "output"), messages)


def anthropic_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Anthropic messages."""
    prompt, messages = _prompt(request, ("system", "messages"), "messages")
    return _texts(prompt, _answer(answer, streamed, "delta" if streamed else "content"), messages)


def gemini_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Gemini: contents and candidates, also of embeddings."""
    members = ("systemInstruction", "system_instruction", "contents", "content", "requests")
    prompt, messages = _prompt(request, members, "contents")
    return _texts(prompt, _answer(answer, streamed, "candidates"), messages)
