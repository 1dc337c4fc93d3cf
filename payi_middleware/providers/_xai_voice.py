"""xAI's voices: speech by the characters that are to be said, transcriptions by the length of the sound.

Neither has a model to choose; we name them as xAI's list of models does. Source: docs.x.ai/developers/models/text-to-speech and
docs.x.ai/developers/models/speech-to-text, looked at on 2026-11-26.
"""

from __future__ import annotations

from typing import Any, Final

from ..events import Units
from ._plain import Counts, plain, told
from ._spoken import spoken
from .base import Asked, Reading

__all__ = ["HEARD", "SPOKEN"]

_MOST_SECONDS: Final = 10**6


def _read_sound(value: dict[str, Any]) -> Reading:
    return Reading(reason="usage is missing")


def _read_transcript(value: dict[str, Any]) -> Reading:
    counts = Counts(value, "transcript")
    units: Units = {"audio_second": (counts.get("duration", _MOST_SECONDS), 0)}
    return told(units, counts)


SPOKEN: Final = plain("/v1/tts", _read_sound, asks=lambda body: Asked("grok-tts"), refine=spoken("text"))
HEARD: Final = plain("/v1/stt", _read_transcript, keys=("duration",), asks=lambda body: Asked("grok-stt"))
