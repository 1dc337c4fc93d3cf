"""Taking in what dead processes left in a spool folder: their ended calls, and those that were in flight as `unknown`.

One process at a time does so for a folder, holding a lock, and it takes all that an owner left together, so that a call whose
begin and end stand in two segments is seen whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from . import health, record
from .events import CallEvent
from .pending import finished
from .pricing import Prices
from .settings import Settings
from .spool import AGAIN, BEGUN, HEADER, VOID, Segment, adopt, sweep

try:
    import fcntl as _fcntl
except ImportError:
    _fcntl = None  # type: ignore[assignment]

fcntl: Any = _fcntl

__all__ = ["orphans", "take_in"]

BATCH = 2_000
LOCK = "intake.lock"

Write = Callable[[Sequence[CallEvent]], None]


def take_in(settings: Settings) -> int:
    """Write what dead processes left into the settings' store; returns the number of events.

    Raises:
        StoreError: The store cannot be used; everything is left where it is.
    """
    from .sinks.store import StoreSink

    if not any_left(settings.spool_path):
        return 0
    sink = StoreSink(settings)
    try:
        return orphans(settings.spool_path, Prices(), lambda events: sink.write(events, {}))
    finally:
        sink.close()


def any_left(folder: Path | None) -> bool:
    """Whether a folder has spool files at all, of living processes or dead ones."""
    return folder is not None and os.path.isdir(folder) and any(folder.glob("*.spool*"))


def orphans(folder: Path | None, prices: Prices, write: Write) -> int:
    """Hand what dead processes left in a folder to `write`, then delete it; returns the number of events."""
    if folder is None or fcntl is None or not any_left(folder):
        return 0
    taken = 0
    with _alone(folder) as alone:
        if alone:
            sweep(folder)
            for segments in adopt(folder):
                taken += _taken_in(segments, prices, write)
    return taken


def _taken_in(segments: list[Segment], prices: Prices, write: Write) -> int:
    """What one owner left."""
    try:
        taken = _deliver(segments, prices, write)
    except BaseException:
        for segment in segments:
            segment.close()
        raise
    for segment in segments:
        segment.remove()
    return taken


def _deliver(segments: list[Segment], prices: Prices, write: Write) -> int:
    """Everything that was not delivered yet, in batches; calls without an end last."""
    taken = 0
    in_flight: dict[bytes, bytes] = {}
    over: set[bytes] = set()
    batch: list[bytes] = []
    for segment in segments:
        delivered = segment.delivered
        for offset, payload in segment.records(HEADER.size, segment.size):
            kind, call = payload[:1], payload[1:17]
            if kind in (BEGUN, AGAIN):
                if call not in over:
                    in_flight[call] = payload
                continue
            in_flight.pop(call, None)
            over.add(call)
            if kind != VOID and offset > delivered:
                batch.append(payload)
            if len(batch) >= BATCH:
                taken += _written(finished(batch, prices), write)
                batch.clear()
    taken += _written(finished(batch, prices), write)
    unknown = list(in_flight.values())
    for start in range(0, len(unknown), BATCH):
        taken += _written(_unfinished(unknown[start : start + BATCH]), write)
    return taken


def _unfinished(payloads: list[bytes]) -> list[CallEvent]:
    events: list[CallEvent] = []
    for payload in payloads:
        try:
            events.append(record.unfinished(payload))
        except msgspec.MsgspecError:
            health.note("record_unreadable", "a record of the spool cannot be read; it is left out", exc_info=True)
    return events


def _written(events: list[CallEvent], write: Write) -> int:
    if events:
        write(events)
    return len(events)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether we are the one process that takes in now."""
    try:
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        yield False
        return
    try:
        yield True
    finally:
        os.close(fd)
