"""What the ledger is still to be told of events that are in the store.

The store comes first: an event and what it counts to its limits are committed together, and only then is the ledger asked. Who is
told that an event is stored can rely on it, and who is told that it is not may send it again without its being counted twice.
The ledger counts an event once however often it is told, and answers the same states again, so a crash at any point is mended
by telling it once more: before the ledger was asked nothing is counted yet, after it nothing is counted anew.
The other way round an event that the ledger has counted, and that the store then refuses, could never be uncounted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select

from ..limits.ledger import SETTLED_DAYS, Settle, Settled
from ..store.write import Batch
from .moments import DAY_NS
from .tables import unsettled

__all__ = ["drop_old", "put", "some", "told"]

_AT_ONCE = 500
_KEPT_NS = (SETTLED_DAYS - 1) * DAY_NS

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Settle).decode


# Plain statements, as each event goes through both of them.
_PUT = "INSERT INTO server_unsettled (event_id, step, put_ns) VALUES (?, ?, ?)"
_DROP = "DELETE FROM server_unsettled WHERE event_id = ?"
_OLD = "SELECT event_id FROM server_unsettled WHERE put_ns < ? ORDER BY put_ns LIMIT ?"


def put(batch: Batch, steps: Sequence[Settle]) -> None:
    """Keep steps, in the transaction that stores their events."""
    if steps:
        now = time.time_ns()
        batch.connection.executemany(_PUT, [(step.event_id, _encode(step), now) for step in steps])


def some(sql: Connection) -> list[Settle]:
    """The next of those that are kept."""
    rows = sql.execute(select(unsettled.c.step).order_by(unsettled.c.put_ns).limit(_AT_ONCE)).scalars()
    return [_decode(step) for step in rows]


def told(batch: Batch, steps: Sequence[Settle], answers: Sequence[Settled]) -> None:
    """The ledger has answered: the states go to the events, and nothing is left to be told. Within one transaction."""
    batch.states({step.event_id: answer.states for step, answer in zip(steps, answers, strict=True) if step.counts})
    batch.connection.executemany(_DROP, [(step.event_id,) for step in steps])


def drop_old(batch: Batch) -> int:
    """Give up steps so old that the ledger may not know any more whether it counted them, some of them; how many.

    Their events name no ledger from then on, as none has counted them: so the audit counts them anew.
    """
    old = batch.connection.execute(_OLD, (time.time_ns() - _KEPT_NS, _AT_ONCE)).fetchall()
    batch.uncounted([event_id for (event_id,) in old])
    batch.connection.executemany(_DROP, old)
    return len(old)
