"""What a request asks of the provider stand-in, and how many tokens its answer reports; pure, and easy to do by hand.

The rules:

* a text has one token for each four characters, rounded up (`tokens_of`);
* input = the sum over all texts of the request (system, messages, tool results) + 20 for each tool declared;
* output = 24 tokens of answer, or less where the request's maximum says so, + the reasoning tokens;
* reasoning = 0, or 16, 64, 256 for an effort of low, medium, high; a thinking budget counts as medium;
* Anthropic texts with `cache_control` are written to the cache in a conversation of one message, read in a longer one;
* with OpenAI's `prompt_cache_key`, all messages but the last come from the cache.

A marker `#name` or `#name=value` in any text overrides; a model whose name is one counts, too:

| marker | does |
| --- | --- |
| `#input=N` `#cached=N` `#written=N` | input tokens in all; those of them read from, written to the cache |
| `#output=N` `#reasoning=N` | tokens of the answer (a streamed one has a part for each); of reasoning |
| `#model=NAME` | the model that the answer names; else the one asked for |
| `#no-usage` | the answer tells no usage |
| `#gzip` `#split=N` | the body is compressed; it comes in pieces of N bytes, whatever the events |
| `#fail-STATUS` `#fail-STATUS-once` | answers that HTTP status; only the first time (`#fail-429-once=jane`: for jane) |
| `#slow=S` `#pause=S` | waits S seconds before the answer; between the parts of a stream |
| `#cut` `#malformed` | the connection breaks in the middle; the JSON is broken in the middle |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

__all__ = ["ANSWER_TOKENS", "TOOL_TOKENS", "Kind", "Question", "Tokens", "ask", "kind_of", "tokens_of", "usage_for"]

Kind: TypeAlias = Literal["chat", "responses", "embeddings", "messages", "gemini"]
"""Which of the providers' formats."""

ANSWER_TOKENS = 24
TOOL_TOKENS = 20
_MOST_TOKENS = 100_000  # keeps what one request can make us build to some 30 MB
_REASONING = {"low": 16, "medium": 64, "high": 256}

_MARKER = re.compile(r"#([a-z]+(?:-[a-z0-9]+)*)(?:=([^\s#,;]+))?")
_MODEL_MARKER = re.compile(r"(?:fail-\d{3}(?:-once)?|cut|malformed|gzip|no-usage)\Z")
_SUFFIXES: tuple[tuple[str, Kind], ...] = (
    ("/chat/completions", "chat"),
    ("/responses", "responses"),
    ("/embeddings", "embeddings"),
    ("/messages", "messages"),
    (":generateContent", "gemini"),
    (":streamGenerateContent", "gemini"),
)


class Tokens(NamedTuple):
    """What the answer reports, whatever the provider's own names and sums."""

    input: int
    """All of it, cached and written included."""
    cached: int
    """Read from the cache."""
    written: int
    """Written to the cache."""
    answer: int
    """Without reasoning."""
    reasoning: int

    @property
    def output(self) -> int:
        """Answer and reasoning."""
        return self.answer + self.reasoning


@dataclass(frozen=True, slots=True)
class Question:
    """A request, read."""

    kind: Kind
    model: str
    streamed: bool
    include_usage: bool
    tool: str | None
    """The tool that the answer calls: the first one declared, until a result came back."""
    inputs: int
    """How many inputs an embeddings request has."""
    dimensions: int
    azure: bool
    tokens: Tokens
    markers: Mapping[str, str]


def tokens_of(text: str) -> int:
    """One token for each four characters, rounded up."""
    return -(-len(text) // 4)


def usage_for(path: str, body: Mapping[str, Any]) -> Tokens:
    """The tokens that the stand-in reports for this request.

    Raises:
        ValueError: No provider has this path.
    """
    return ask(path, body).tokens


def kind_of(path: str) -> Kind | None:
    """The format that a path (without query) belongs to, by its end: compatible hosts differ in the beginning."""
    return next((kind for suffix, kind in _SUFFIXES if path.endswith(suffix)), None)


def ask(path: str, body: Mapping[str, Any]) -> Question:
    """Reads a request.

    Raises:
        ValueError: No provider has this path.
    """
    kind = kind_of(path)
    if kind is None:
        raise ValueError(f"no provider answers at {path!r}")
    turns = _turns(body)
    system = [body.get(name) for name in ("system", "instructions", "systemInstruction")]
    texts = list(_texts([*system, *turns]))
    model = _model(path, body)
    markers = {found[1]: found[2] or "" for text in texts if "#" in text for found in _MARKER.finditer(text)}
    if _MODEL_MARKER.match(model):
        markers[model] = ""
    tools = _tools(body.get("tools"))
    return Question(
        kind=kind,
        model=markers.get("model") or model,
        streamed=bool(body.get("stream")) or path.endswith(":streamGenerateContent"),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        tool=tools[0] if tools and not _is_tool_result(turns[-1:]) else None,
        inputs=len(turns) if kind == "embeddings" else 0,
        dimensions=min(int(body.get("dimensions") or 16), 4096),
        azure="/openai/deployments/" in path,
        tokens=_count(kind, body, turns, texts, len(tools), markers),
        markers=markers,
    )


def _turns(body: Mapping[str, Any]) -> list[Any]:
    """The conversation, or the inputs to embed, as a list."""
    for name in ("messages", "input", "contents"):
        value = body.get(name)
        if isinstance(value, list):
            return [value] if value and isinstance(value[0], int) else value
        if value is not None:
            return [value]
    return []


def _model(path: str, body: Mapping[str, Any]) -> str:
    if named := re.search(r"/(?:models|deployments)/([^/:]+)", path):
        return str(body.get("model") or named[1])
    return str(body.get("model") or "")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a message, a part, or a list of them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict):
        for name in ("text", "content", "parts", "output"):
            yield from _texts(value.get(name))


def _tools(declared: Any) -> list[str]:
    """The names of the functions declared, in each provider's way."""
    names: list[str] = []
    for tool in declared if isinstance(declared, list) else ():
        functions = tool.get("functionDeclarations") or [tool.get("function") or tool]
        names += [str(function["name"]) for function in functions if "name" in function]
    return names


def _is_tool_result(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_tool_result, value))
    if not isinstance(value, dict):
        return False
    if value.get("role") == "tool" or "functionResponse" in value:
        return True
    if value.get("type") in ("function_call_output", "tool_result"):
        return True
    return _is_tool_result(value.get("content")) or _is_tool_result(value.get("parts"))


def _count(
    kind: Kind,
    body: Mapping[str, Any],
    turns: Sequence[Any],
    texts: Sequence[str],
    tools: int,
    markers: Mapping[str, str],
) -> Tokens:
    def marked(name: str, otherwise: int) -> int:
        return min(int(markers[name]), _MOST_TOKENS) if markers.get(name, "").isdecimal() else otherwise

    ids = sum(len(turn) for turn in turns if isinstance(turn, list))  # embeddings may be asked for token ids
    total = marked("input", sum(map(tokens_of, texts)) + ids + TOOL_TOKENS * tools)
    if kind == "embeddings":
        return Tokens(total, 0, 0, 0, 0)
    cached, written = _cache(body, turns)
    cached = min(marked("cached", cached), total)
    written = min(marked("written", written), total - cached)
    answer = marked("output", min(ANSWER_TOKENS, _most(body)))
    return Tokens(total, cached, written, answer, marked("reasoning", _reasoning(body)))


def _cache(body: Mapping[str, Any], turns: Sequence[Any]) -> tuple[int, int]:
    """(read, written), by what the request marks for the cache."""
    if body.get("prompt_cache_key"):
        return sum(map(tokens_of, _texts(list(turns[:-1])))), 0
    marked = sum(map(tokens_of, _marked(body.get("system")))) + sum(map(tokens_of, _marked(list(turns))))
    return (marked, 0) if len(turns) > 1 else (0, marked)


def _marked(value: Any) -> Iterator[str]:
    """The texts that carry Anthropic's `cache_control`."""
    if isinstance(value, list):
        for part in value:
            yield from _marked(part)
    elif isinstance(value, dict):
        yield from _texts(value) if value.get("cache_control") else _marked(value.get("content"))


def _most(body: Mapping[str, Any]) -> int:
    """The most tokens of answer that the request allows."""
    config = body.get("generationConfig") or {}
    asked = [body.get(name) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens")]
    return min((int(n) for n in [*asked, config.get("maxOutputTokens")] if n), default=ANSWER_TOKENS)


def _reasoning(body: Mapping[str, Any]) -> int:
    effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    if effort:
        return _REASONING.get(str(effort), 0)
    budget = (body.get("thinking") or {}).get("budget_tokens")
    budget = budget or ((body.get("generationConfig") or {}).get("thinkingConfig") or {}).get("thinkingBudget")
    return _REASONING["medium"] if budget else 0
