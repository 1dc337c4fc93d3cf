"""Usage that a provider tells whenever it is asked, counted once: a background answer, a batch's results.

Such a call's event has an id made of what the provider calls it. The store keeps one event an id, over processes and
restarts; within a process what was told before is no event at all. What is a part of a call (a container in which code
runs) carries such an id too, by which a server that several processes send to counts it once.
"""

from __future__ import annotations

import hashlib

import msgspec

from .events import Part
from .providers.base import Reading, summed

__all__ = ["Told", "event_id", "with_firsts"]

_MOST = 4096


def event_id(provider: str, once: str) -> bytes:
    """The 16 bytes of the event of a provider's id: a UUID of version 8, the same wherever it is made."""
    digest = bytearray(hashlib.sha256(f"{provider}\n{once}".encode("utf-8", "replace")).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return bytes(digest)


class Told:
    """What this process was told already, the latest few thousand; needs no lock, as each step is a single one."""

    def __init__(self) -> None:
        self._ids: dict[bytes, object] = {}

    def is_new(self, event: bytes) -> bool:
        """Whether this is the first time that it is told."""
        mine = object()
        if self._ids.setdefault(event, mine) is not mine:
            return False
        if len(self._ids) > _MOST:
            try:
                self._ids.pop(next(iter(self._ids)), None)
            except RuntimeError:
                pass  # another thread told something between the two: the next one makes room
        return True


def with_firsts(reading: Reading, provider: str, told: Told) -> Reading:
    """The reading with what is charged once and was not told before, as parts of its own."""
    firsts = [(event_id(provider, first.id), first.part) for first in reading.firsts]
    new = [msgspec.structs.replace(part, once=id.hex()) for id, part in firsts if told.is_new(id)]
    if not new:
        return reading
    parts = reading.parts
    if not parts and reading.units:
        parts = (Part(None, reading.units, reading.service_tier),)  # terms of the reading hold for all
    parts += tuple(new)
    return reading._replace(parts=parts, units=summed(parts))
