"""The spellings under which a model may stand in a catalogue, and when a match is not to be believed."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["has_one_output", "is_another", "is_tuned", "spellings"]

_DATE = re.compile(r"[-@]20\d{2}-?\d{2}-?\d{2}$")
_PARTS = re.compile(r"[^a-z0-9]+")

# Words that make another model, with another price, out of a name that begins or continues like a listed one.
_TELLING = frozenset(
    {"8b", "audio", "embedding", "fast", "image", "live", "lite"}
    | {"mini", "nano", "pro", "realtime", "search", "transcribe", "tts"}
)


def spellings(model: str) -> Iterator[str]:
    """The name as given, without its path (`models/NAME`, `publishers/VENDOR/models/NAME`), and without its date."""
    yield model
    bare = model.rpartition("models/")[2]
    if bare != model:
        yield bare
    undated = _DATE.sub("", bare)
    if undated != bare:
        yield undated


def is_tuned(model: str) -> bool:
    """Whether the name is a fine-tune's (OpenAI `ft:BASE:ORG:NAME:ID`, Azure `BASE.ft-ID`, Gemini `tunedModels/ID`)."""
    name = model.lower()
    return name.startswith(("ft:", "tunedmodels/")) or ".ft-" in name


def has_one_output(model: str) -> bool:
    """Whether the model makes nothing but speech, or nothing but images: its one output rate is meant for that."""
    return "tts" in model or "gpt-image" in model


def is_another(model: str, known: str) -> bool:
    """Whether `model` carries a telling word that `known`, all the text by which it was matched, does not.

    Catalogues match by prefix, so that `gemini-9-flash-lite` would be billed as `gemini-9-flash`.
    """
    telling = _TELLING.intersection(_PARTS.split(model.lower()))
    return not telling.issubset(_PARTS.split(known.lower()))
