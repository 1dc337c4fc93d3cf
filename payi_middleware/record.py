"""The payloads of spool records: what of a call is kept, how it is encoded, and the event that comes of it.

On the application's path a record is a plain tuple: of an ordinary answer what was read of it, behind what was written as the
call began; else in the order of `CallEvent`'s fields. The thread that drains the spool makes the `CallEvent`.
"""

from __future__ import annotations

import functools
import itertools
import os
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from .events import Attribution, CallEvent, Inbound, format_id
from .providers.base import Reading
from .spool import ENDED, TO_PRICE, VOID

if TYPE_CHECKING:
    from .costing import Costed

__all__ = [
    "Answered",
    "Begun",
    "answered",
    "encode",
    "ended",
    "event_answered",
    "event_of",
    "new_id",
    "unfinished",
    "void",
]


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """A call that was sent: behind `BEGUN` and the call's id."""

    application: str
    origin: str
    started_ns: int
    provider: str
    category: str
    requested_resource: str | None
    endpoint: str
    streamed: bool
    attempt: int
    call_group: bytes
    attribution: Attribution
    inbound: Inbound
    instance: bytes | None = None
    """The id of the use case's instance, where the attribution leaves it out."""


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """A call that was answered, and what the answer tells: behind `ANSWERED` and the call's id."""

    begun: Begun
    duration_ns: int
    first_byte_ns: int | None
    http_status: int
    streamed: bool
    reading: Reading


encode = msgspec.msgpack.Encoder().encode


_T = TypeVar("_T")


@functools.cache
def _decode(kind: type[_T]) -> Callable[[memoryview], _T]:
    """Made at first use, on the draining thread: it takes longer than the rest of this file."""
    return msgspec.msgpack.Decoder(kind).decode


class _Ids:
    """UUIDv7: milliseconds, 42 bits drawn once a process, and a counter in place of the other random bits."""

    def __init__(self) -> None:
        drawn = int.from_bytes(os.urandom(6), "big")
        self.high = 0x7 << 12 | drawn & 0xFFF
        self.low = itertools.count(0b10 << 62 | (drawn >> 12 & 0x3FFFFFFF) << 32 | int.from_bytes(os.urandom(3), "big"))


ids = _Ids()
halves = struct.Struct(">QQ").pack


def new_id(now_ns: int) -> bytes:
    """An id for what begins at `now_ns`, 16 bytes, ordered by time."""
    return halves(now_ns // 1_000_000 << 16 | ids.high, next(ids.low))


def _after_fork() -> None:
    global ids
    ids = _Ids()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def ended(call_id: bytes, fields: tuple[Any, ...] | CallEvent, *, to_price: bool = False) -> bytes:
    """The record of a call that ended; `fields` in the order of `CallEvent`."""
    return (TO_PRICE if to_price else ENDED) + call_id + encode(fields)


def void(call_id: bytes) -> bytes:
    """The record that takes a begun call back."""
    return VOID + call_id


def event_of(payload: bytes) -> tuple[CallEvent, bool]:
    """The event of a record of the kinds `ENDED` and `TO_PRICE`, and whether it is still to be priced.

    Raises:
        msgspec.MsgspecError: Another version wrote the record.
    """
    return _decode(CallEvent)(memoryview(payload)[17:]), payload[:1] == TO_PRICE


def answered(payload: bytes) -> Answered:
    """What a record of the kind `ANSWERED` tells.

    Raises:
        msgspec.MsgspecError: Another version wrote the record.
    """
    answer: Answered = _decode(Answered)(memoryview(payload)[17:])
    _whole(answer.begun)
    return answer


def event_answered(event_id: bytes, answer: Answered, costed: Costed, price_version: str) -> CallEvent:
    """The event of such a record, priced."""
    facts, reading = answer.begun, answer.reading
    cost, source, unpriced, reason = costed
    return CallEvent(
        event_id=event_id,
        application=facts.application,
        origin=facts.origin,
        started_ns=facts.started_ns,
        duration_ns=answer.duration_ns,
        first_byte_ns=answer.first_byte_ns,
        provider=facts.provider,
        category=facts.category,
        resource=reading.model,
        requested_resource=facts.requested_resource,
        endpoint=facts.endpoint,
        service_tier=reading.service_tier,
        http_status=answer.http_status,
        outcome="ok",
        error_type=None,
        streamed=answer.streamed,
        attempt=facts.attempt,
        call_group=facts.call_group,
        attribution=facts.attribution,
        inbound=facts.inbound,
        units=reading.units or {},
        cost=cost,
        cost_source=source,
        unpriced=unpriced,
        reason=reason,
        price_version=price_version,
        provider_response_id=reading.response_id,
        terms=reading.terms,
        parts=reading.parts,
    )


def _whole(facts: Begun) -> Attribution:
    """The attribution with the id of its instance."""
    if facts.instance is not None:  # it was decoded just now, and nobody else has it
        msgspec.structs.force_setattr(facts.attribution, "use_case_id", format_id(facts.instance))
    return facts.attribution


def unfinished(payload: bytes) -> CallEvent:
    """The event of a call whose process ended before it did."""
    facts = _decode(Begun)(memoryview(payload)[17:])
    return CallEvent(
        event_id=payload[1:17],
        application=facts.application,
        origin=facts.origin,
        started_ns=facts.started_ns,
        duration_ns=0,
        first_byte_ns=None,
        provider=facts.provider,
        category=facts.category,
        resource=None,
        requested_resource=facts.requested_resource,
        endpoint=facts.endpoint,
        service_tier=None,
        http_status=None,
        outcome="unknown",
        error_type=None,
        streamed=facts.streamed,
        attempt=facts.attempt,
        call_group=facts.call_group,
        attribution=_whole(facts),
        inbound=facts.inbound,
        units={},
        cost=None,
        cost_source="none",
        unpriced=(),
        reason="the process ended while the call was in flight",
        price_version=None,
        provider_response_id=None,
    )
