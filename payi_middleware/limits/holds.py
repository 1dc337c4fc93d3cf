"""How much is held for a call before it is made: what it will take, as far as that can be known. Pure.

By default a hold is what the call likely takes: its input by length, its output as the request limits it, else as long as 95 of 100
recent answers were, else up to a ceiling. A strict limit must not be passed by a single tick, so there a hold is what the call can
take at most: no text has more tokens than bytes, and no answer is longer than its request or its model lets it be.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from .. import answer_bound
from ..events import Units
from ..providers import media
from .ledger import Amount

__all__ = ["Asking", "Sizes", "asked_of", "sized"]

MAX_READ: Final = 1 << 20
"""Bytes of a body that is looked at for its limits: it is done on the application's path, at 1 GB a second."""
_BYTES: Final = 4
"""Of a token, as texts are counted by length."""
_SMALL: Final = 4 << 10
"""Bytes of a body in which no picture is worth looking for."""
_BY_NAME: Final = (b'_id"', b'_url"', b'Uri"', b"cachedContent", b'conversation"', b"vector_store", b"prompt_cache")
"""Marks of an input that is named and not sent (an earlier answer, a file, a picture somewhere): its bytes tell nothing of it."""
_CACHE_WRITES: Final = (b"cache_control", b"cachePoint")
"""Marks of a prompt that may be written to a cache, which costs more than to read it."""
_OTHER_OUTPUT: Final = (b'odalities"', b'"image_generation"')
"""Marks of a request for an answer that may be more than text."""
_PICTURE: Final = 6_540
"""Tokens of a picture, at most: 6,240 of a large one in high quality, and three partial ones of 100 (OpenAI's page on image
generation)."""
_TOOLS_PROMPT: Final = 1_000
"""Tokens, at most, that makers write into a prompt with tools and bill: Anthropic 264 to 804, by its page on tool use."""
_DEAREST_INPUT: Final = ("text", "text_cache_write", "text_cache_write_1h")


class Asking(NamedTuple):
    """What a request says of its answer."""

    limit: int | None
    """Tokens of one answer, at most."""
    choices: int
    tier: str | None


class Sizes(NamedTuple):
    """What is held for a call."""

    amount: Amount
    output: int
    """Tokens of the answer that it was sized for."""
    is_bound: bool
    """Whether the answer cannot be longer."""


_UNTOLD: Final = msgspec.Raw(b"")


class _Told(msgspec.Struct):
    """The members of a request that say so; of all others nothing is kept."""

    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    max_tokens: Any = None
    maxOutputTokens: Any = None  # noqa: N815  # as makers spell them
    num_predict: Any = None
    maxTokens: Any = None  # noqa: N815
    max_tokens_to_sample: Any = None
    max_new_tokens: Any = None
    max_gen_len: Any = None
    maxTokenCount: Any = None  # noqa: N815
    n: Any = None
    candidateCount: Any = None  # noqa: N815
    candidate_count: Any = None
    best_of: Any = None
    prompt: msgspec.Raw = _UNTOLD
    generationConfig: Any = None  # noqa: N815
    generation_config: Any = None
    options: Any = None
    parameters: Any = None
    inferenceConfig: Any = None  # noqa: N815
    textGenerationConfig: Any = None  # noqa: N815
    service_tier: Any = None


_decode = msgspec.json.Decoder(_Told).decode
_decode_prompts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_others = attrgetter(*(name for name in _Told.__struct_fields__ if name != "max_tokens"))
_NO_OTHERS: Final = _others(_Told())
_NOTHING: Final = Asking(None, 1, None)


def asked_of(body: bytes | None) -> Asking:
    """What a request says of its answer. Never raises."""
    if not body or len(body) > MAX_READ:
        return _NOTHING
    try:
        told = _decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _NOTHING
    if told.max_tokens.__class__ is int and _others(told) == _NO_OTHERS:  # as most requests are
        return Asking(told.max_tokens if told.max_tokens >= 0 else None, 1, None)
    asked = {name: value for name in _Told.__struct_fields__ if (value := getattr(told, name)) is not None}
    found = answer_bound.limit(asked)
    return Asking(None if found is None else found[0], _choices(told, asked), answer_bound.tier(asked))


def _choices(told: _Told, asked: dict[str, Any]) -> int:
    """How many answers are paid for: of OpenAI's old completions `best_of`, of which `n` are shown, for each prompt of a list."""
    choices = answer_bound.choices(asked)
    if told.best_of.__class__ is int:
        choices = max(choices, told.best_of)
    prompt = bytes(told.prompt)
    if prompt[:1] != b"[":
        return choices
    prompts = _decode_prompts(prompt)
    is_one = not prompts or bytes(prompts[0])[:1].isdigit()  # its tokens
    return choices if is_one else choices * len(prompts)


def sized(
    body: bytes | None,
    asked: Asking,
    *,
    makes_text: bool,
    makes_images: bool = False,
    usual: int | None,
    window: int | None,
    ceiling: int,
    strict: bool,
    counted: Units | None,
    price: Callable[[Units], int | None],
) -> Sizes | None:
    """What to hold for a call; None if its price is not known.

    Args:
        body: The request's body; None if it is a stream that only the transport may read.
        asked: What it says of the answer.
        makes_text: Whether there is an answer to pay for: embeddings have none.
        makes_images: Whether the answer is pictures, whose tokens cost otherwise than those of text.
        usual: Tokens that 95 of 100 recent answers did not pass; None if too few are known.
        window: The tokens that the model takes and makes together; None if nobody tells.
        ceiling: Tokens of an answer, at most, where nothing else tells.
        strict: Whether the hold has to be a bound.
        counted: The input as a tokenizer counted it exactly; None if none did.
        price: The ticks of units; None if nobody knows.
    """
    if strict:
        taken = _most_input(body, window, counted)
        into = sum(sides[0] for sides in taken.values())
    else:
        into = _by_length(body)
        taken = {"text": (into, 0)}
    if strict and makes_images:
        ceiling = max(ceiling, _PICTURE)
    made, is_bound = _output(asked, into, usual, window, ceiling, strict) if makes_text else (0, True)
    ticks = price(_with(taken, "text", made))
    if strict and made and (makes_images or _may_make_more(body)):
        ticks = _dearest([ticks, *(price(_with(taken, unit, made)) for unit in ("audio", "image"))])
    if ticks is not None and strict and body is not None and any(mark in body for mark in _CACHE_WRITES):
        ticks = _dearest([ticks, *(price({unit: (into, 0), "text": (0, made)}) for unit in _DEAREST_INPUT[1:])])
    return None if ticks is None else Sizes(Amount(ticks, into + made), made, is_bound)


def _with(taken: Units, unit: str, made: int) -> Units:
    """The units of a call that makes so many tokens of one kind."""
    return {**taken, unit: (taken.get(unit, (0, 0))[0], made)}


def _dearest(priced: list[int | None]) -> int | None:
    """The most of what has a price."""
    return max((ticks for ticks in priced if ticks is not None), default=None)


def _may_make_more(body: bytes | None) -> bool:
    """Whether the answer may be sound or pictures, a token of which costs more than one of text."""
    return body is None or any(mark in body for mark in _OTHER_OUTPUT)


def _by_length(body: bytes | None) -> int:
    if body is None:
        return 0
    return -(-(len(body) if len(body) <= _SMALL else media.plain_size(body)) // _BYTES)


def _most_input(body: bytes | None, window: int | None, counted: Units | None) -> Units:
    if body is None or any(mark in body for mark in _BY_NAME):
        # Named and not sent: as much as the model can take.
        return {"text": (max(window or 0, len(body or b"")), 0)}
    if counted is not None:
        return counted
    return {"text": (len(body) + (_TOOLS_PROMPT if b'"tools"' in body else 0), 0)}


def _output(
    asked: Asking, into: int, usual: int | None, window: int | None, ceiling: int, strict: bool
) -> tuple[int, bool]:
    """(tokens of the answer, whether it cannot be longer)."""
    if asked.limit is not None:
        return asked.limit * asked.choices, True
    rest = None if window is None else max(window - into, 0)
    if strict:
        return (ceiling if rest is None else rest) * asked.choices, rest is not None
    if usual is not None:
        return usual, False
    return min(ceiling, ceiling if rest is None else rest) * asked.choices, False
