"""Past an event at which a server breaks: if it takes another one, those that it breaks at are set aside.

That it takes another is what tells such an event from a server that is broken itself. Several such events may follow one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from ..events import CallEvent
from ..store.deliveries import Batch, Rejected
from .remote_errors import Unreachable

__all__ = ["BREAKS", "past"]

BREAKS = 500
"""What is answered by a server that breaks at an event, rather than being away or busy."""

Send: TypeAlias = Callable[[list[CallEvent]], list[Rejected]]


def past(batches: Sequence[Batch], send: Send, error: Unreachable) -> list[tuple[Batch, list[Rejected]]]:
    """What was handed over or is set aside, of each batch as much as was looked at.

    Args:
        batches: In their order; at the first event of the first the server broke.
        send: Hands over.
        error: How it broke.

    Raises:
        Unreachable: Nothing gets through, so nothing is known to be to blame.
    """
    events = [event for batch in batches for event in batch.events]
    for at in range(1, len(events)):
        if (through := _told(events[at], send)) is not None:
            break
    else:
        raise error
    # Once more, now that it is known to work: it may have come back between.
    told = [_told(event, send) for event in events[:at]]
    found = [[Rejected(0, error.status, None, str(error))] if one is None else one for one in told]
    return list(_by_batch(batches, [*found, through]))


def _told(event: CallEvent, send: Send) -> list[Rejected] | None:
    """What the server says of one event; None if it breaks at it."""
    try:
        return send([event])
    except Unreachable as error:
        if error.status != BREAKS:
            raise
        return None


def _by_batch(batches: Sequence[Batch], found: list[list[Rejected]]) -> Iterator[tuple[Batch, list[Rejected]]]:
    for batch in batches:
        mine, found = found[: len(batch.events)], found[len(batch.events) :]
        if mine:
            yield batch.first(len(mine)), [one._replace(at=at) for at, some in enumerate(mine) for one in some]
