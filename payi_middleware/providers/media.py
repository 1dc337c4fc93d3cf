"""What of an exchange is no text: images, sounds and files, which no tokenizer counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from ..events import Unpriced

__all__ = ["BY_LENGTH", "NOT_COUNTED", "kind_of", "listed", "parts", "plain_size"]

BY_LENGTH: Final = "counted by length"
"""How texts were counted that no tokenizer has seen yet; a reason ends with it until one has."""

NOT_COUNTED: Final = "not counted"
"""The reason of what an estimate leaves out."""

_KINDS: Final = {
    "audio_url": "audio",
    "computer_screenshot": "image",
    "container_upload": "file",
    "document": "file",
    "document_url": "file",
    "file": "file",
    "image": "image",
    "image_file": "image",
    "image_url": "image",
    "input_audio": "audio",
    "input_file": "file",
    "input_image": "image",
    "video_url": "video",
}
"""The `type` of a part of a message -> what it is (OpenAI, Anthropic, Mistral)."""

_MEDIA: Final = frozenset({"audio", "image", "video"})
_PARTS: Final = re.compile(
    rb'"type"\s*:\s*"(%s)"|"mime_?[tT]ype"\s*:\s*"([a-z]+)/' % "|".join(sorted(_KINDS, reverse=True)).encode()
)

_STEP: Final = 1 << 10
_LONGEST_HOP: Final = 1 << 20
_ENCODED: Final = re.compile(rb"[A-Za-z0-9+/=_-]{64}|(?:[A-Za-z0-9+/=_-]|\\[nr/]){64}")  # in one line, or in several
_LOOKED_AT: Final = 1 << 20  # bytes: this runs on the application's path


def kind_of(type_or_mime: object) -> str | None:
    """What a part of a message is by its `type` or MIME type; None for text."""
    if not isinstance(type_or_mime, str):
        return None
    top, slash, _ = type_or_mime.partition("/")
    return (top if top in _MEDIA else "file") if slash else _KINDS.get(type_or_mime)


def listed(counts: Mapping[str, int]) -> tuple[Unpriced, ...]:
    """Numbers of parts by kind, as what is not counted."""
    return tuple(Unpriced(kind, n, NOT_COUNTED) for kind, n in sorted(counts.items()))


def parts(request: bytes) -> tuple[Unpriced, ...]:
    """The parts of a request's body that are no text, told by a quick look."""
    found: Counter[str] = Counter()
    texts = 0
    for start, end in _texts(request):
        texts += 1
        piece = request[start : min(end, start + _LOOKED_AT)]
        found.update(kind for match in _PARTS.finditer(piece) if (kind := _kind(match)) is not None)
    hidden = texts - 1 - sum(found.values())  # between two texts there is something encoded
    if hidden > 0:
        found["file"] += hidden
    return listed(found)


def _kind(match: re.Match[bytes]) -> str | None:
    return kind_of(match[1].decode() if match[1] else match[2].decode() + "/")


def plain_size(data: bytes) -> int:
    """The bytes of a body without what is encoded in base64."""
    return sum(end - start for start, end in _texts(data))


def _texts(data: bytes) -> Iterator[tuple[int, int]]:
    """The stretches between base64 of a kilobyte and more, found by samples: a body can be 20 MB of it."""
    last = 0
    at = 0
    while at < len(data):
        if _ENCODED.match(data, at) is None:
            at += _STEP
            continue
        lowest = max(at - _STEP, last)
        start = max(data.rfind(b'"', lowest, at) + 1, lowest)
        yield last, start
        hop, end = _STEP, -1
        while end < 0 and _ENCODED.match(data, at) is not None:
            end = data.find(b'"', at, at + hop)
            at += hop
            hop = min(hop * 2, _LONGEST_HOP)
        last = at = end if end >= 0 else min(at, len(data))
    yield last, len(data)
