"""The spellings under which a model may stand in a catalogue, and when a match is not to be believed."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["goes_on", "has_one_output", "is_another", "is_for_audio", "is_tuned", "spellings"]

_DATE = re.compile(r"[-@]20\d{2}-?\d{2}-?\d{2}$")
_PRECISION = re.compile(r"-(?:fp8|fp4|nvfp4|mxfp4|bf16|int8|int4|awq|gptq)$", re.IGNORECASE)
_NUMBER = re.compile(r"\d+$")
# Bedrock: an inference profile before the maker, a version behind the model (`us.MAKER.MODEL-v1:0`).
_AT_BEDROCK = re.compile(
    r"(?:(us-gov|apac|global|[a-z]{2})\.)?([a-z][a-z0-9-]+\.[a-z][a-z0-9.-]*?)(-v1)?((?::\d+\w*)*)"
)
_DEARER = re.compile(r"anthropic\.|moonshotai\.|openai\.|xai\.|zai\.|amazon\.nova-2")  # in a region than globally
_PARTS = re.compile(r"[^a-z0-9]+")

# Words that make another model, with another price, out of a name that begins or continues like a listed one.
_TELLING = frozenset(
    {"8b", "audio", "cyber", "embedding", "fast", "image", "live", "lite"}
    | {"mini", "nano", "pro", "realtime", "search", "transcribe", "tts"}
)
_AUDIO = frozenset({"audio", "live", "realtime", "speech", "transcribe", "tts", "voxtral", "whisper"})


def spellings(model: str) -> Iterator[str]:
    """The name as given, without its path (`models/NAME`, `publishers/VENDOR/models/NAME`), and without its date.

    Also without the precision of its weights, which hosts of open models leave out of their lists. Bedrock's also without the
    profile, where that is as good as none, and without the version.
    """
    yield model
    yield from _at_bedrock(model)
    bare = model.rpartition("models/")[2]
    if bare != model:
        yield bare
    undated = _DATE.sub("", bare)
    if undated != bare:
        yield undated
    unpacked = _PRECISION.sub("", undated)
    if unpacked != undated:
        yield unpacked


def _at_bedrock(model: str) -> Iterator[str]:
    """A profile of some regions has the rate of each of them; the global one may be cheaper, so it stays in the name."""
    found = _AT_BEDROCK.fullmatch(model)
    if found is None:
        return
    profile, bare, first, build = found.groups("")
    stays = f"{profile}." if profile == "global" and _DEARER.match(bare) else ""
    for name in (f"{stays}{bare}{first}{build}", f"{stays}{bare}{first}", f"{stays}{bare}"):
        if name != model:
            yield name


def is_tuned(model: str) -> bool:
    """Whether the name is a fine-tune's (OpenAI `ft:BASE:ORG:NAME:ID`, Azure `BASE.ft-ID`, Gemini `tunedModels/ID`)."""
    name = model.lower()
    return name.startswith(("ft:", "tunedmodels/")) or ".ft-" in name


def has_one_output(model: str) -> bool:
    """Whether the model makes nothing but speech, or nothing but images: its one output rate is meant for that."""
    return "tts" in model or "gpt-image" in model


def is_for_audio(model: str) -> bool:
    """Whether the model is made to hear or to speak, so that audio is what its price is about."""
    return not _AUDIO.isdisjoint(_PARTS.split(model.lower()))


def is_another(model: str, known: str) -> bool:
    """Whether `model` carries a telling word that `known`, all the text by which it was matched, does not.

    Catalogues match by prefix, so that `gemini-9-flash-lite` would be billed as `gemini-9-flash`.
    """
    telling = _TELLING.intersection(_PARTS.split(model.lower()))
    return not telling.issubset(_PARTS.split(known.lower()))


def goes_on(model: str, known: str) -> bool:
    """Whether the number with which `known` ends goes on in `model`: `claude-9-10` is no `claude-9-1`.

    A number with a leading zero is a build of the same model: `gemini-9-001` is `gemini-9-0`.
    """
    end = model.lower().find(known.lower()) + len(known)
    number = _NUMBER.search(known)
    return number is not None and number[0][0] != "0" and model[end : end + 1].isdigit()
