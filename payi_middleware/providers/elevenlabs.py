"""ElevenLabs: speech, billed by the characters that are to be said.

Source: elevenlabs.io/docs/api-reference/text-to-speech, looked at on 2026-11-25.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ._json import parse
from ._paths import by_path
from ._plain import name_of, plain
from ._spoken import spoken
from .base import Asked, Reading, Route
from .other import OTHER

__all__ = ["find_route"]

_DEFAULT: Final = "eleven_multilingual_v2"
_PAID: Final = re.compile(r"/v1/(?:speech-to-speech|speech-to-text|sound-generation|music|text-to-dialogue|dubbing)\b")


def _ask(body: bytes) -> Asked:
    asked = parse(body)
    return Asked(name_of(asked, "model_id") or _DEFAULT) if isinstance(asked, dict) else Asked()


def _read(value: dict[str, Any]) -> Reading:
    return Reading(reason="usage is missing")


def _otherwise(method: str, path: str) -> Route | None:
    return Route(OTHER) if method == "POST" and _PAID.search(path) else None


find_route: Final = by_path(
    {
        r"v1/text-to-speech/[^/]+(?:/stream)?(?:/with-timestamps)?": plain(
            "/v1/text-to-speech/{voice_id}", _read, asks=_ask, refine=spoken("text")
        )
    },
    _otherwise,
)
