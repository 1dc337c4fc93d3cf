"""What is attached to a message: its size, seconds or pages from its own first bytes, and the tokens that makes.

Only what came with the request can be measured; a link or the id of an uploaded file tells nothing. Runs on the draining
thread, with bounds on what is decoded.
"""

from __future__ import annotations

import binascii
import io
import re
import wave
from typing import Any, Final

from .base import Attached
from .image_tokens import image_tokens

__all__ = ["attached", "attached_tokens", "encoded_text", "named_detail"]

_HEADER: Final = 256 << 10
"""Characters that are decoded for a picture's or a sound's header: a photograph may carry as much before its size."""
_DOCUMENT: Final = 16 << 20
"""Characters of a document, at most: a longer one is not looked at."""
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"RIFF")
_LARGEST: Final = 1 << 16
"""Pixels of a side: what is beyond is malformed."""
_PAGE: Final = re.compile(rb"/Type\s*/Page(?![A-Za-z])")
_DATA: Final = ("data", "file_data", "url")
_URL_SAFE: Final = str.maketrans("-_", "+/")

_PAGE_TOKENS: Final = (("gemini-2", "text", 258), ("gemini-3", "vision", 560), ("gemini-4", "vision", 560))
"""Tokens of a page of a PDF, as Google's "Document understanding" and "Media resolution" pages tell, and how they are billed."""
_SOUND_TOKENS: Final = (
    ("gemini", 8, 250),  # 32 a second: Google, "Audio understanding"
    ("gpt-", 1, 100),  # one for 100 ms: OpenAI, "Managing costs" of the Realtime API
    ("voxtral", 375, 30_000),  # a window of 30 seconds, as recorded
)
"""(models, tokens, of so many milliseconds begun)."""


def attached(part: dict[str, Any], kind: str, detail: str | None = None) -> Attached | None:
    """What a part of a message carries with it; None where it cannot be measured.

    Args:
        part: The object that holds it, in any maker's shape.
        kind: What it is by its type or MIME type, as `media.kind_of` tells.
        detail: The resolution asked for by the request as a whole.
    """
    found = _data(part)
    if found is None:
        return None
    text, mime, near = found
    if kind == "image":
        return _picture(text, _detail(near) or detail)
    if kind == "audio":
        return _sound(text)
    return _pages(text) if "pdf" in mime or text.startswith("JVBERi") else None  # base64 of "%PDF-"


def attached_tokens(thing: Attached, model: str | None) -> tuple[str, int] | None:
    """(unit of the input, tokens) of what is attached, for a model; None where no formula is known."""
    name = (model or "").lower()
    if thing.kind == "image":
        count = image_tokens(name, thing.width, thing.height, thing.detail)
        return None if count is None else ("vision", count)
    if thing.kind == "audio":
        for models, tokens, window in _SOUND_TOKENS:
            if models in name:
                return "audio", -(-thing.milliseconds // window) * tokens
        return None
    for models, unit, tokens in _PAGE_TOKENS:
        if models in name:
            return unit, thing.pages * tokens
    return None


def encoded_text(part: dict[str, Any]) -> str | None:
    """The words of a text file that came encoded; None for anything else."""
    found = _data(part)
    if found is None or not found[1].startswith("text/") or len(found[0]) > _DOCUMENT:
        return None
    raw = _decoded(found[0], _DOCUMENT)
    return None if raw is None else raw.decode("utf-8", "replace")


def _data(part: dict[str, Any]) -> tuple[str, str, dict[str, Any]] | None:
    """(base64, MIME type, the object it stood in) of a part, wherever its maker puts it."""
    for name in ("image_url", "input_audio", "file", "source", "inlineData", "inline_data", "document_url"):
        inner = part.get(name)
        if isinstance(inner, dict):
            return _data_in(inner, {**part, **inner})
        if isinstance(inner, str):
            return _base64(inner, "", part)
    return _data_in(part, part)


def _data_in(holder: dict[str, Any], near: dict[str, Any]) -> tuple[str, str, dict[str, Any]] | None:
    mime = holder.get("mimeType") or holder.get("mime_type") or holder.get("media_type") or ""
    for name in _DATA:
        value = holder.get(name)
        if isinstance(value, str):
            return _base64(value, mime if isinstance(mime, str) else "", near)
    return None


def _base64(value: str, mime: str, near: dict[str, Any]) -> tuple[str, str, dict[str, Any]] | None:
    if value.startswith("data:"):
        head, _, value = value.partition(",")
        mime = head[5:].partition(";")[0]
    elif value[:8].lower().startswith(("http", "gs://", "s3://", "file")):
        return None
    return value, mime, near


def _detail(near: dict[str, Any]) -> str | None:
    """OpenAI's `detail`, or Gemini's resolution of a part; None where it is left to the provider."""
    asked = near.get("detail")
    resolution = near.get("mediaResolution") or near.get("media_resolution")
    if isinstance(resolution, dict):
        asked = resolution.get("level")
    return named_detail(asked)


def named_detail(asked: object) -> str | None:
    """A detail or resolution as `image_tokens` names it."""
    if not isinstance(asked, str):
        return None
    name = asked.lower().removeprefix("media_resolution_")
    return None if name in ("auto", "unspecified", "") else name


def _decoded(text: str, most: int) -> bytes | None:
    """The first bytes of base64, in one line or several, of either alphabet."""
    plain = "".join(text[:most].split()).translate(_URL_SAFE).rstrip("=")
    try:
        return binascii.a2b_base64(
            plain[: len(plain) // 4 * 4] if len(text) > most else plain + "=" * (-len(plain) % 4)
        )
    except (binascii.Error, ValueError):
        return None


def _picture(text: str, detail: str | None) -> Attached | None:
    raw = _decoded(text, _HEADER)
    if raw is None or not raw.startswith(_PICTURES):
        return None
    import imagesize  # not on the application's path

    width, height = imagesize.get(io.BytesIO(raw))
    if not (0 < width < _LARGEST and 0 < height < _LARGEST):
        return None
    return Attached("image", width, height, detail)


def _sound(text: str) -> Attached | None:
    """A WAV file's length by its header, or by its size where the header was written before the end was known."""
    raw = _decoded(text, _HEADER)
    if raw is None:
        return None
    try:
        with wave.open(io.BytesIO(raw)) as sound:
            rate, frame = sound.getframerate(), sound.getsampwidth() * sound.getnchannels()
            frames = min(sound.getnframes(), len(text) * 3 // 4 // frame)
            return Attached("audio", milliseconds=-(-frames * 1000 // rate))
    except Exception:  # of a malformed file the reader raises whatever comes
        return None


def _pages(text: str) -> Attached | None:
    """The pages of a PDF; one that compresses its objects shows none."""
    if len(text) > _DOCUMENT:
        return None
    pages = len(_PAGE.findall(_decoded(text, _DOCUMENT) or b""))
    return Attached("file", pages=pages) if pages else None
