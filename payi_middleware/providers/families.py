"""How the families of models count: a row each, for estimates.

OpenAI's encodings are public. Other makers' are not, but their counts keep close to a multiple of `o200k_base`, closer
than to any number of bytes: over recorded answers of plain text the multiple is off by 3 to 6 % (median), bytes by 14 to
21 %. What a maker puts around messages and tools is a few tokens each, or hundreds for the first tool. All figures are
medians over recorded calls of 2023 to 2026 whose answers told their usage, except where a row names a page.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

__all__ = ["Family", "cached_from", "family_of"]


class Family(NamedTuple):
    """How a family of models counts texts. Percentages are of the encoding's own count."""

    name: str
    encoding: str = "o200k_base"
    percent: int = 100
    """Tokens of this family for 100 of the encoding."""
    bytes10: int = 40
    """Tenths of a byte of UTF-8 for a token, where the encoding is not loaded."""
    reply: int = 3
    """Tokens around the whole prompt."""
    message: int = 4
    """Tokens around a message, its role among them."""
    tools: int = 0
    """Tokens for there being tools at all."""
    tool: int = 0
    """Tokens around each tool."""
    tool_percent: int = 100
    """Tokens of a tool for 100 of its JSON; 0 where OpenAI's rule for functions holds (see `framing`)."""
    call: int = 8
    """Tokens around a call of a tool in an answer."""
    chat_tools: int = 0
    """The same as `tools`, at chat completions alone."""
    signature: int = 0
    """Characters for a token of earlier thoughts that a prompt hands back, where they are billed."""
    schema: int = 0
    """Tokens for the answer having a schema, besides those of the schema."""
    error: int = 33
    """Per cent by which such a count was off, in the median; 0 where the encoding is the model's own."""
    hides: bool = False
    """Whether models of the family reason without showing it."""


_OTHER: Final = Family("other")

_FAMILIES: Final = (
    (r"gpt-oss", Family("gpt-oss", reply=64, tools=75, tool_percent=50, error=13)),
    (
        # Of functions: OpenAI's cookbook, "How to count tokens with tiktoken", section 7.
        r"(?:^|[/:.])(?:gpt-4(?:-|$)|gpt-4-|gpt-3)",
        Family("GPT-4", encoding="cl100k_base", tool_percent=0, error=0),
    ),
    (r"(?:^|[/:])(?:text-embedding-(?!00)|babbage|davinci)", Family("cl100k", encoding="cl100k_base", error=0)),
    (r"(?:^|[/:.])(?:gpt-4|chatgpt)", Family("GPT-4o", tool_percent=0, error=0)),
    (
        r"(?:^|[/:.])(?:gpt-|o\d(?:-|$)|codex|computer-use)",
        Family("GPT-5", reply=2, tools=4, tool_percent=0, call=12, chat_tools=80, error=9, hides=True),
    ),
    (
        r"claude(?:-[a-z]+)?-(?:4[-.][789](?!\d)|[5-9]|\d\d)(?!\d)|claude-(?:mythos|fable)",
        Family(
            "Claude 4.7",
            percent=140,
            bytes10=30,
            reply=6,
            message=3,
            tools=230,
            tool=75,
            tool_percent=120,
            call=40,
            error=9,
        ),
    ),
    (
        r"claude(?:-[a-z]+)?-4[-.][56](?!\d)",
        Family(
            "Claude 4.5",
            percent=112,
            bytes10=38,
            tools=430,
            tool=70,
            tool_percent=105,
            call=33,
            schema=170,
            error=8,
        ),
    ),
    (
        r"claude-(?:[123](?:[-.]|$)|instant|v)",
        Family("Claude 3", percent=117, bytes10=38, tools=320, tool=40, tool_percent=50, call=33, error=8),
    ),
    (r"claude", Family("Claude 4", percent=112, bytes10=38, tools=320, tool=40, tool_percent=50, call=33, error=8)),
    (
        r"gemini-(?:[3-9]|\d\d)",
        Family("Gemini 3", percent=103, bytes10=42, reply=0, message=0, call=6, signature=5, error=6, hides=True),
    ),
    (
        r"gemini-(?:1|2\.0)",
        Family("Gemini 2.0", percent=104, bytes10=42, reply=0, message=0, tool_percent=45, call=0, error=10),
    ),
    (
        r"gemini|gemma",
        Family(
            "Gemini 2.5", percent=104, bytes10=42, reply=0, message=0, tool_percent=85, call=5, error=12, hides=True
        ),
    ),
    (
        r"mi[sx]tral|codestral|devstral|magistral|pixtral|voxtral",
        Family("Mistral", percent=105, bytes10=44, reply=4, message=0, tool=10, tool_percent=140, call=4, error=6),
    ),
    (r"llama-4", Family("Llama 4", bytes10=44, reply=5, message=5, tools=640, call=30, error=10)),
    (
        r"llama-3\.",
        Family("Llama 3", bytes10=44, reply=30, message=5, tools=60, error=10),
    ),  # a template with the date
    (r"llama", Family("Llama", bytes10=44, reply=5, message=5, error=10)),
    (r"deepseek", Family("DeepSeek", bytes10=43, reply=1, tools=290, tool=50, tool_percent=50, call=20, error=6)),
    (r"grok", Family("Grok", bytes10=43, error=6)),
    (r"glm", Family("GLM", bytes10=43, reply=1, error=6)),
)


@cache
def _families() -> tuple[tuple[re.Pattern[str], Family], ...]:
    """Compiled when a model is first asked about, which takes milliseconds."""
    return tuple((re.compile(names), family) for names, family in _FAMILIES)


def family_of(model: str | None) -> Family:
    """The family by which a model counts. Models that nobody here knows count as GPT-4o does, with a stated error."""
    name = (model or "").lower().replace("gpt-35", "gpt-3.5")
    for names, family in _families():
        if names.search(name):
            return family
    return _OTHER


_UNASKED: Final = {"Claude": 0, "GPT-4": 1024, "GPT-4o": 1024, "GPT-5": 1024, "Gemini": 1024, "cl100k": 1024}
"""Sources: the makers' guides "Prompt caching" (OpenAI, Anthropic) and "Context caching" (Google, DeepSeek: 64)."""
_LEAST_RECORDED: Final = 64


def cached_from(model: str | None) -> int:
    """Tokens from which a prompt may be served from a cache that nobody asked for; 0 where a request has to ask for it."""
    return _UNASKED.get(family_of(model).name.partition(" ")[0], _LEAST_RECORDED)
