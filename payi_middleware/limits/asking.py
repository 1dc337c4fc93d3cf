"""What a request says of how much it will take, in each maker's words. Pure."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from .. import answer_bound
from .outline import MAX_READ

__all__ = ["Asking", "asked_of"]


class Asking(NamedTuple):
    """What a request says of its answer."""

    limit: int | None
    """Tokens of one answer, at most."""
    choices: int
    tier: str | None
    """The service tier that is asked for, `default` included; None if the provider is to choose."""


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
    serviceTier: Any = None  # noqa: N815
    speed: Any = None


_decode = msgspec.json.Decoder(_Told).decode
_decode_prompts = msgspec.json.Decoder(list[msgspec.Raw]).decode
_others = attrgetter(*(name for name in _Told.__struct_fields__ if name != "max_tokens"))
_NO_OTHERS: Final = _others(_Told())
_NOTHING: Final = Asking(None, 1, None)


def asked_of(body: bytes | None) -> Asking:
    """What a request says of its answer; nothing of one that is too long to be read. Never raises."""
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
    if isinstance(told.n, str) and told.n.isascii() and told.n.isdigit() and len(told.n) < 10:  # of a form
        choices = max(choices, int(told.n))
    if told.best_of.__class__ is int:
        choices = max(choices, told.best_of)
    prompt = bytes(told.prompt)
    if prompt[:1] != b"[":
        return choices
    prompts = _decode_prompts(prompt)
    is_one = not prompts or bytes(prompts[0])[:1].isdigit()  # its tokens
    return choices if is_one else choices * len(prompts)
