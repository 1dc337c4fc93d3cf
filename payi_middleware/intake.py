"""Taking in what dead processes left in a spool folder: their ended calls, and those that were in flight as `unknown`.

One process at a time does so for a folder, holding a lock. A folder that is not its store's own (`PAYI_SPOOL_DIR`) may be shared
by several stores: there the names of files say whose they are, and each store takes its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from . import health, record
from .alone import alone
from .counting.estimates import Estimates
from .events import CallEvent
from .label import label_of
from .leftovers import adopt, any_left, sweep
from .limits.limits import Limits
from .limits.owed import Owed
from .pending import finished
from .pricing import Prices, owners
from .segment import AGAIN, BEGUN, HEADER, VOID, Segment, fcntl
from .settings import Settings
from .updates import Updates

__all__ = ["orphans", "take_in"]

BATCH = 200
LOCK = "intake.lock"

Write = Callable[[Sequence[CallEvent]], None]


def take_in(settings: Settings) -> int:
    """Write what dead processes left into the settings' store; returns the number of events.

    Raises:
        StoreError: The store cannot be used; everything is left where it is.
        OSError: The spool's folder cannot.
        SettingsError: The owner's prices cannot be read.
    """
    from .sinks.store import StoreSink

    if settings.in_memory:  # a store in memory would take them with it
        return 0
    prices = Prices(owners(settings.prices), fetched=Updates(settings.files_path, 0).snapshot)
    sink, label = StoreSink(settings), label_of(settings)
    unlimited, owed = msgspec.structs.replace(settings, limits=()), Owed.of(settings, label)
    limits = Limits(unlimited, prices, Estimates(), owed=owed, tells=False)

    def write(events: Sequence[CallEvent]) -> None:
        sink.write(limits.settled(events), {})
        limits.stored(events)

    try:
        count = orphans(settings.spool_path, label, prices, write)
        if count:
            limits.catch_up()
        return count
    finally:
        sink.close()
        limits.close(settings.flush_timeout)


def orphans(folder: Path | None, label: str, prices: Prices, write: Write) -> int:
    """Hand what dead processes left in a folder under a label to `write`, then delete it; returns the number of events.

    Raises:
        OSError: The folder cannot be looked at; and what `write` raises.
    """
    if folder is None or fcntl is None or not any_left(folder, label):
        return 0
    taken = 0
    with _alone(folder) as mine:
        if mine:
            sweep(folder)
            for segments in adopt(folder, label):
                _held.extend(segments)
                taken += _taken_in(segments, prices, write)
    return taken


_held: list[Segment] = []
"""What this process has open for its intake, which a child that is forked meanwhile must not keep locked."""


def _after_fork() -> None:
    while _held:
        _held.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _taken_in(segments: list[Segment], prices: Prices, write: Write) -> int:
    """What one owner left."""
    try:
        taken = _deliver(segments, prices, write)
    except BaseException:
        for segment in segments:
            segment.close()
        raise
    else:
        for segment in segments:
            segment.remove()
        return taken
    finally:
        for segment in segments:
            _held.remove(segment)


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
    with ExitStack() as held:
        try:
            mine = held.enter_context(alone(folder / LOCK))
        except OSError as error:
            health.note(
                "intake",
                "what dead processes left in %s cannot be taken in (%s): give this user the right to read %s",
                folder,
                error,
                folder / LOCK,
            )
            mine = False
        yield mine
