"""How much is held for a call before it is made: what it will take, as far as that can be known. Pure.

By default a hold is what the call likely takes: its input by length, its output as the request limits it, else as long as 95 of 100
recent answers were, else up to a ceiling. A strict limit must not be passed by a single tick, so there a hold is what the call can
take at most, see `bounds`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from ..events import Units
from ..providers import media
from .asking import Asking
from .beyond import NOTHING, Beyond
from .bounds import PICTURE, most_input, most_output, most_ticks, most_tokens
from .ledger import Amount

__all__ = ["Sizes", "sized"]

_BYTES: Final = 4
"""Of a token, as texts are counted by length."""
_SMALL: Final = 4 << 10
"""Bytes of a body in which no picture is worth looking for."""


class Sizes(NamedTuple):
    """What is held for a call."""

    amount: Amount
    output: int
    """Tokens of the answer that it was sized for."""
    is_bound: bool
    """Whether the answer cannot be longer."""
    is_told: bool = True
    """Whether the request says how long, or there is no answer to pay for."""


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
    seen: bytes | None = None,
    beyond: Beyond = NOTHING,
    may_write: bool = False,
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
        seen: The body, or the outline of a long one; None if neither is known. Only a strict hold asks for it, as for what follows.
        beyond: What the request may take besides.
        may_write: Whether the provider writes prompts to a cache without being asked to.
    """
    if not strict:
        into = _by_length(body)
        made, is_bound = _output(asked, into, usual, window, ceiling) if makes_text else (0, True)
        tokens, ticks = into + made, price({"text": (into, made)})
    else:
        taken = most_input(body, seen, window, counted, beyond)
        into = sum(sides[0] for sides in taken.values())
        ceiling = max(ceiling, PICTURE) if makes_images else ceiling
        made, is_bound = most_output(asked, into, window, ceiling) if makes_text else (0, True)
        tokens = most_tokens(into, made, ceiling, beyond)
        ticks = most_ticks(seen, taken, made, price, makes_images=makes_images, may_write=may_write)
    is_told = asked.limit is not None or not makes_text
    return None if ticks is None else Sizes(Amount(ticks, tokens), made, is_bound, is_told)


def _by_length(body: bytes | None) -> int:
    if body is None:
        return 0
    return -(-(len(body) if len(body) <= _SMALL else media.plain_size(body)) // _BYTES)


def _output(asked: Asking, into: int, usual: int | None, window: int | None, ceiling: int) -> tuple[int, bool]:
    """(tokens of the answer, whether it cannot be longer)."""
    if asked.limit is not None:
        return asked.limit * asked.choices, True
    if usual is not None:
        return usual, False
    return min(ceiling, ceiling if window is None else max(window - into, 0)) * asked.choices, False
