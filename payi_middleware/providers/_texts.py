"""The texts of an exchange, for counting tokens where the provider told no usage.

The shapes differ only in the names of members, so one walk serves all: it gathers the strings under names that hold
text, lists what is no text (images, files), and passes by the rest (URLs, ids). Nothing of it outlives the counting.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from ..events import Unpriced
from . import _lines, _sse
from ._json import parse
from .attached import attached, encoded_text, named_detail
from .base import Attached, Texts
from .functions import functions
from .media import NOT_COUNTED, kind_of, listed

__all__ = [
    "Texter",
    "anthropic_texts",
    "chat_texts",
    "gemini_texts",
    "input_texts",
    "interaction_texts",
    "named_texts",
    "responses_texts",
]

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
_ARGUMENTS: Final = ("args", "arguments", "input")
_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details")
_DEEPEST: Final = 64


class _Walk:
    """What JSON values hold for counting."""

    def __init__(self, *, is_answer: bool = False) -> None:
        self.is_answer = is_answer
        self.passes = _PASS_IN_ANSWERS if is_answer else _PASS
        self.texts: list[str] = []
        self.ids = 0
        self.calls = 0
        """Of tools."""
        self.media: Counter[str] = Counter()
        self.signed = 0
        """Characters of sealed thoughts."""
        self.attached: list[Attached] = []
        self.detail: str | None = None
        """The resolution of images for the request as a whole (Gemini)."""

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
        if value.get("name") and not value.keys().isdisjoint(_ARGUMENTS):
            self.calls += 1
        if "functionCall" in value or "function_call" in value:
            self.signed += len(str(value.get("thoughtSignature") or ""))
        reasoning = next((name for name in _REASONING if value.get(name)), None)
        for key, member in value.items():
            if key in self.passes or (key in _REASONING and key != reasoning):
                continue
            if key in _OBJECTS and isinstance(member, dict):  # arguments and results of functions
                if member or not self.is_answer:
                    self.texts.append(json.dumps(member, default=str))
            else:
                self.walk(member, key, depth + 1)

    def _find_media(self, value: dict[str, Any], depth: int) -> None:
        for name in ("inlineData", "inline_data", "fileData", "file_data"):
            blob = value.get(name)
            if isinstance(blob, dict):
                self._attach(value, kind_of(blob.get("mimeType") or blob.get("mime_type")) or "file")
        kind = kind_of(value.get("type"))
        if kind is None:
            return
        source = value.get("source")
        if isinstance(source, dict) and source.get("type") in ("text", "content"):  # a document of Anthropic's
            self.walk(source.get("data") or source.get("content"), "text", depth + 1)
        else:
            self._attach(value, kind)

    def _attach(self, part: dict[str, Any], kind: str) -> None:
        """A text file's words, a picture's size, or that there was something."""
        if self.is_answer:
            self.media[kind] += 1
        elif kind == "file" and (words := encoded_text(part)) is not None:
            self.texts.append(words)
        elif (measured := attached(part, kind, self.detail)) is not None:
            self.attached.append(measured)
        else:
            self.media[kind] += 1


class _Prompt(NamedTuple):
    """What a request holds for counting."""

    found: _Walk
    messages: int = 0
    tools: tuple[Any, ...] = ()
    schema: Any = None
    unseen: tuple[Unpriced, ...] = ()


def _texts(prompt: _Prompt, answer: _Walk, is_chat: bool = False) -> Texts:
    """Deltas of an answer are joined before they are counted: a word may be split in two."""
    found = prompt.found
    joined = ["".join(answer.texts)] if answer.texts else []
    uncounted, attached = listed(found.media + answer.media) + prompt.unseen, tuple(found.attached)
    return Texts(
        found.texts,
        joined,
        prompt.messages,
        found.ids,
        uncounted,
        attached,
        prompt.tools,
        prompt.schema,
        answer.calls,
        found.calls,
        found.signed,
        is_chat,
    )


def _prompt(request: bytes, members: tuple[str, ...], listed: str) -> _Prompt:
    """The prompt: its words, the definitions of tools, the schema of the answer and the number of messages."""
    found = _Walk()
    body = parse(request)
    if not isinstance(body, dict):
        return _Prompt(found)
    found.detail = _resolution(body)
    if listed in members:
        body[listed] = _compacted(body.get(listed))
    for name in members:
        found.walk(body.get(name), name if name in _IDS else "text")
    tools = [tool for tool in (*_list(body.get("tools")), *_list(body.get("functions"))) if not _is_deferred(tool)]
    messages = body.get(listed)
    number = len(messages) if isinstance(messages, list) else int(bool(messages))
    return _Prompt(found, number, tuple(tools), _schema(body), _unseen(body, tools))


def _is_deferred(tool: Any) -> bool:
    """Whether a tool is found by search only, and so not in the prompt (OpenAI's and Anthropic's guides, "Tool search")."""
    return isinstance(tool, dict) and tool.get("defer_loading") is True


def _compacted(items: Any) -> Any:
    """The turns of a prompt from the last compaction on, which stands for all before it (the makers' guides, "Compaction")."""
    if not isinstance(items, list):
        return items
    for at in range(len(items) - 1, -1, -1):
        if _is_compaction(items[at]):
            return items[at:]
        blocks = _list(items[at].get("content")) if isinstance(items[at], dict) else []
        places = [n for n, block in enumerate(blocks) if _is_compaction(block)]
        if places:
            return [items[at] | {"content": blocks[places[-1] :]}, *items[at + 1 :]]
    return items


def _is_compaction(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") in _COMPACTIONS


def _unseen(body: dict[str, Any], tools: list[Any]) -> tuple[Unpriced, ...]:
    """What of the input is not in the request: earlier turns that the provider keeps, what its own tools bring in."""
    found: list[Unpriced] = []
    sealed = sum(_is_compaction(item) and bool(item.get("encrypted_content")) for item in _list(body.get("input")))
    if sealed:
        found.append(Unpriced("input", sealed, f"{NOT_COUNTED}: earlier turns that are sealed in a compaction"))
    if any(body.get(name) for name in _KEPT):
        found.append(Unpriced("input", 1, f"{NOT_COUNTED}: what the provider keeps of earlier calls"))
    hosted = sum(next(functions([tool]), None) is None for tool in tools)
    if hosted:
        found.append(Unpriced("hosted_tool", hosted, f"{NOT_COUNTED}: what hosted tools put into the prompt"))
    return tuple(found)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


_COMPACTIONS: Final = frozenset({"compaction", "compaction_summary"})
_KEPT: Final = ("cachedContent", "cached_content", "conversation", "previous_interaction_id", "previous_response_id")
_SCHEMAS: Final = (
    ("response_format", "json_schema", "schema"),  # chat completions
    ("text", "format", "schema"),  # responses
    ("output_config", "format", "schema"),  # Anthropic
    ("output_format", "schema"),
)
"""Where a request holds the schema of its answer. Gemini's is not billed: calls with and without count the same."""


def _schema(body: dict[str, Any]) -> Any:
    for path in _SCHEMAS:
        value: Any = body
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value:
            return value
    return None


def _resolution(body: dict[str, Any]) -> str | None:
    """The resolution at which Gemini is to look at all images of a request."""
    for name in ("generationConfig", "generation_config"):
        config = body.get(name)
        if isinstance(config, dict):
            return named_detail(config.get("mediaResolution") or config.get("media_resolution"))
    return None


def _values(answer: bytes, streamed: bool) -> list[Any]:
    """The answer's JSON values: every event of a stream, or the body."""
    if streamed and not answer[:64].lstrip().startswith((b"{", b"[")):
        return [parse(payload) for payload in _sse.events(answer)]
    value = parse(answer)
    if value is None:
        return list(_lines.objects(answer))
    return value if isinstance(value, list) else [value]


def _answer(answer: bytes, streamed: bool, *names: str) -> _Walk:
    found = _Walk(is_answer=True)
    for value in _values(answer, streamed):
        if isinstance(value, dict):
            for name in names:
                found.walk(value.get(name))
    return found


def chat_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Chat and legacy completions, whose prompt has no messages around it."""
    prompt = _prompt(request, ("messages", "prompt"), "messages")
    return _texts(prompt, _answer(answer, streamed, "choices"), is_chat=True)


def input_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Embeddings: what is embedded, and no answer."""
    return _texts(_prompt(request, ("input",), ""), _Walk())


def responses_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Responses: the deltas of a stream, since its last event may be what is missing, and what calls it began."""
    prompt = _prompt(request, ("instructions", "input"), "input")
    found = _answer(answer, streamed, "delta" if streamed else "output")
    for event in _values(answer, streamed) if streamed else ():
        if isinstance(event, dict) and event.get("type") == "response.output_item.added":
            found.walk(event.get("item"))
    return _texts(prompt, found)


def interaction_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Gemini's interactions: steps, or the deltas of a stream."""
    prompt = _prompt(request, ("system_instruction", "input"), "input")
    return _texts(prompt, _answer(answer, streamed, "delta" if streamed else "steps"))


def anthropic_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Anthropic messages; of a stream the deltas, and the beginnings of blocks, which name the tools that are called."""
    prompt = _prompt(request, ("system", "messages"), "messages")
    return _texts(prompt, _answer(answer, streamed, *(("content_block", "delta") if streamed else ("content",))))


def gemini_texts(request: bytes, answer: bytes, streamed: bool) -> Texts:
    """Gemini: contents and candidates, also of embeddings."""
    members = ("systemInstruction", "system_instruction", "contents", "content", "requests")
    return _texts(_prompt(request, members, "contents"), _answer(answer, streamed, "candidates"))


def named_texts(prompt: tuple[str, ...], answer: tuple[str, ...], listed: str = "messages") -> Texter:
    """For an API that names its texts otherwise.

    Args:
        prompt: The members of a request that hold text.
        answer: The members of an answer that do, or of each event or line of a stream.
        listed: The member of a request that lists messages.
    """

    def texts(request: bytes, body: bytes, streamed: bool) -> Texts:
        return _texts(_prompt(request, prompt, listed), _answer(body, streamed, *answer))

    return texts
