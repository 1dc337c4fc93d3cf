"""What a call takes at most, for strict limits: no text has more tokens than bytes, no answer is longer than its request or its
model lets it be, and where a price depends on what only the answer tells, the dearest holds. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ..events import Units
from .asking import Asking
from .beyond import Beyond

__all__ = ["PICTURE", "most_input", "most_output", "most_ticks", "most_tokens"]

_BY_NAME: Final = (
    b'"audio_',
    b'"pmpt_',
    b"cached_content",
    b'_id"',
    b'_url"',
    b'Uri"',
    b"cachedContent",
    b'conversation"',
    b"vector_store",
    b"prompt_cache",
)
"""Marks of an input that is named and not sent (an earlier answer, a file, a picture somewhere): its bytes tell nothing of it."""
_IN_PAGES: Final = (b"application/pdf", b'"file_data"', b'"document"', b"video/", b'"video"')
"""Marks of what is sent and read as pictures, any number of which may be in few bytes."""
_PICTURES: Final = re.compile(rb'image/[a-z]|"image"\s*:\s*\{|"type"\s*:\s*"url"')
"""Each is a picture that is sent: a data URL, a media type, Bedrock's member."""
_SEEN: Final = 48_200
"""Tokens of one that goes in, at most, whatever its bytes: 2,833 and 5,667 for each of eight tiles at GPT-4o mini (OpenAI's page
on images and vision)."""
_CACHE_WRITES: Final = (b"cache_control", b"cachePoint", b"prompt_cache")
"""Marks of a prompt that may be written to a cache, which costs more than to read it."""
_OTHER_OUTPUT: Final = (b'odalities"', b'"image_generation"')
"""Marks of a request for an answer that may be more than text."""
PICTURE: Final = 6_540
"""Tokens of a picture that is made, at most: 6,240 of a large one in high quality, and three partial ones of 100 (OpenAI's page on
image generation)."""
_LARGEST: Final = 2_000_000
"""Tokens of a window that nobody tells, as of `gemini-2.5-pro`: of all that are known only one is larger (10,000,000)."""
_TOOLS_PROMPT: Final = 1_000
"""Tokens, at most, that makers write into a prompt with tools and bill: Anthropic 264 to 804, by its page on tool use."""
_WRITTEN: Final = ("text_cache_write", "text_cache_write_1h", "text_cache_write_12h")
_FROM: Final = "text"


def most_input(
    body: bytes | None, seen: bytes | None, window: int | None, counted: Units | None, beyond: Beyond
) -> Units:
    """The input: as counted, else a token a byte; the model's whole window where something is named and not sent.

    Tools that the provider runs send the prompt again, with what they found.

    Args:
        body: The request's; None if it is not known.
        seen: Its outline, if it is long; else the same.
        window: The tokens that the model takes; None if nobody tells.
        counted: As a tokenizer counted it exactly; None if none did.
        beyond: What the provider does besides.
    """
    if beyond.uses:
        return {_FROM: (max(window or 0, _by_bytes(body, seen, window)) * (1 + beyond.uses), 0)}
    if counted is not None and not _names_more(seen):
        return counted
    return {_FROM: (_by_bytes(body, seen, window), 0)}


def _names_more(seen: bytes | None) -> bool:
    return seen is None or any(mark in seen for mark in _BY_NAME)


def _by_bytes(body: bytes | None, seen: bytes | None, window: int | None) -> int:
    size, whole = len(body or b""), max(window or _LARGEST, len(body or b""))
    if seen is None or _names_more(seen) or any(mark in seen for mark in _IN_PAGES):
        return whole
    tokens = size + (_TOOLS_PROMPT if b'"tools"' in seen else 0)
    pictures = sum(1 for _ in _PICTURES.finditer(seen))
    return tokens if not pictures else min(tokens + pictures * _SEEN, whole if window else 1 << 62)


def most_output(asked: Asking, into: int, window: int | None, ceiling: int) -> tuple[int, bool]:
    """(tokens of the answer, whether it cannot be longer): as the request limits it, else the rest of the model's window."""
    if asked.limit is not None:
        return asked.limit * asked.choices, True
    if window is None:
        return ceiling * asked.choices, False
    return max(window - into, 0) * asked.choices, True


def most_tokens(into: int, made: int, ceiling: int, beyond: Beyond) -> int:
    """Of all models that may answer, advise or draw."""
    drawn = into + PICTURE * max(beyond.uses, 1) if beyond.draws else 0
    advised = sum(times for _, times in beyond.advisors) * (into + max(made, ceiling))
    return (into + made) * (1 + len(beyond.also)) + advised + drawn


def most_ticks(
    seen: bytes | None,
    taken: Units,
    made: int,
    price: Callable[[Units], int | None],
    *,
    makes_images: bool,
    may_write: bool,
) -> int | None:
    """What that costs: with the prompt written to a cache, or sound where it is named and not sent, and the answer made of sound or
    pictures, if they may be.

    Args:
        seen: The request's body, or its outline; None if it is not known.
        taken: The input.
        made: Tokens of the answer.
        price: The ticks of units; None if nobody knows.
        makes_images: Whether the answer is pictures.
        may_write: Whether the provider writes prompts to a cache without being asked to.
    """
    outputs = [_FROM]
    if made and (makes_images or seen is None or any(mark in seen for mark in _OTHER_OUTPUT)):
        outputs += ["audio", "image"]
    written = _WRITTEN if seen is None or any(mark in seen for mark in _CACHE_WRITES) else _WRITTEN[: int(may_write)]
    heard = ("audio",) if _names_more(seen) else ()  # what is sent has far more bytes than tokens
    into = sum(sides[0] for sides in taken.values())
    inputs = [taken, *({unit: (into, 0)} for unit in (*written, *heard))]
    priced = [price(_with(units, unit, made)) for units in inputs for unit in outputs]
    return max((ticks for ticks in priced if ticks is not None), default=None)


def _with(taken: Units, unit: str, made: int) -> Units:
    """The units of a call that makes so many tokens of one kind."""
    return {**taken, unit: (taken.get(unit, (0, 0))[0], made)}
