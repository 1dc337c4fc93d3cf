"""The texts of converse and invoke, for counting tokens where a stream broke off before its usage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from .. import _eventstream
from .._json import parse
from ..base import Texts
from ..media import listed
from .invoke import chunks

__all__ = ["converse_texts", "invoke_texts"]

# Members that hold words, in the requests and the answers of all makers on Bedrock.
_TEXT: Final = frozenset(
    {
        "completion",
        "content",
        "generation",
        "inputText",
        "outputText",
        "prompt",
        "reasoning",
        "reasoning_content",
        "system",
    }
    | {"partial_json", "text", "texts", "thinking"}
)
_JSON: Final = frozenset({"input", "json", "parameters"})
_MEDIA: Final = {"audio": "audio", "document": "file", "image": "image", "image_url": "image", "video": "video"}
_PROMPT: Final = ("system", "messages", "prompt", "inputText", "texts")
_DEEPEST: Final = 32


class _Found:
    """What was found by walking."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.media: Counter[str] = Counter()

    def walk(self, value: Any, name: str, depth: int = 0) -> None:
        """Gathers the words of a value that stands under a name."""
        if isinstance(value, str):
            if name in _TEXT:
                self.texts.append(value)
        elif depth > _DEEPEST:
            return
        elif isinstance(value, list):
            for member in value:
                self.walk(member, name, depth + 1)
        elif isinstance(value, dict):
            for key, member in value.items():
                self._member(key, member, depth)

    def _member(self, key: str, member: Any, depth: int) -> None:
        if key in _MEDIA:
            self.media[_MEDIA[key]] += 1
        elif key in _JSON and isinstance(member, dict):
            self.texts.append(json.dumps(member, default=str))
        elif key in _JSON and isinstance(member, str):  # a piece of a tool's arguments
            self.texts.append(member)
        elif key != "source":
            self.walk(member, key, depth + 1)


def _prompt(request: bytes) -> tuple[_Found, int]:
    """The prompt, the definitions of tools as their JSON, and the number of messages."""
    found = _Found()
    body = parse(request)
    if not isinstance(body, dict):
        return found, 0
    for name in _PROMPT:
        found.walk(body.get(name), name)
    for name in ("toolConfig", "tools"):
        if body.get(name):
            found.texts.append(json.dumps(body[name], default=str))
    messages = body.get("messages")
    return found, len(messages) if isinstance(messages, list) else 1


def _texts(request: bytes, answers: Iterator[Any]) -> Texts:
    """Deltas of an answer are joined before they are counted: a word may be split in two."""
    prompt, messages = _prompt(request)
    answer = _Found()
    for value in answers:
        answer.walk(value, "")
    joined = ["".join(answer.texts)] if answer.texts else []
    return Texts(prompt.texts, joined, messages, 0, listed(prompt.media + answer.media))


def converse_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Converse: the deltas of a stream, or the message of a body."""
    if not _eventstream.looks_like_messages(answer):
        return _texts(request, iter([parse(answer)]))
    messages = _eventstream.Stream.of(answer).messages
    return _texts(request, (parse(message.payload) for message in messages if message.kind.startswith("content")))


def invoke_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Invoke: the chunks of a stream, or the body, in the maker's own shape."""
    if not _eventstream.looks_like_messages(answer):
        return _texts(request, iter([parse(answer)]))
    return _texts(request, map(parse, chunks(_eventstream.Stream.of(answer).messages)))
