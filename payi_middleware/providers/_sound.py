"""How long a sound is, where nobody tells it: by its format, or by the words that are spoken in it.

Sources: OpenAI's text to speech guide (formats; `pcm` is 24 kHz, 16 bit, mono); RIFF and MPEG audio headers.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["AUDIO_IN", "AUDIO_OUT", "last_timestamp", "seconds_of_sound", "seconds_of_text"]

AUDIO_IN: Final = 10
"""Tokens of a second that is heard (one each 100 ms). Source: OpenAI's guide to realtime costs."""
AUDIO_OUT: Final = 20
"""Tokens of a second that is spoken (one each 50 ms). Source: as above."""

_PCM: Final = 48_000  # bytes a second
_CHARACTERS: Final = 15  # spoken in a second: 150 English words a minute

# Kilobits a second of MPEG audio, layer 3, by the index in a frame's header: version 1, versions 2 and 2.5.
_KBITS_1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)

_TIMESTAMP: Final = re.compile(rb"-->\s*(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,](\d{3})")


def seconds_of_text(characters: int) -> float:
    """How long it takes to say a text."""
    return characters / _CHARACTERS


def seconds_of_sound(head: bytes, size: int, format: str) -> float | None:
    """How long a sound is, or None where its format does not tell.

    Args:
        head: Its first bytes.
        size: Bytes of all of it.
        format: As it was asked for: `pcm` has no header.
    """
    if format == "pcm":
        return size / _PCM
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        rate = int.from_bytes(head[28:32], "little")
        return max(size - 44, 0) / rate if rate else None
    at = _tag(head)
    if head[at : at + 1] != b"\xff" or len(head) < at + 4 or head[at + 1] & 0xE6 != 0xE2:
        return None
    table, index = (_KBITS_1 if head[at + 1] & 0x18 == 0x18 else _KBITS_2), head[at + 2] >> 4
    rate = table[index] * 125 if index < len(table) else 0
    return max(size - at, 0) / rate if rate else None


def _tag(head: bytes) -> int:
    """Where the first frame of an mp3 begins: behind its tag, whose size is written in seven bits a byte."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + 10


def last_timestamp(subtitles: bytes) -> float | None:
    """When the last line of subtitles (srt, vtt) ends, in seconds."""
    found = _TIMESTAMP.findall(subtitles)
    if not found:
        return None
    hours, minutes, seconds, thousandths = (int(group or 0) for group in found[-1])
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
