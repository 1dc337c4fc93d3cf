"""The payloads of spool records: what of a call is kept, how it is encoded, and the event that comes of it.

On the application's path a record is a plain tuple in the order of `CallEvent`'s fields, with attribution and inbound facts
encoded once a request; the thread that drains the spool decodes it to the `CallEvent`.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import msgspec

from .events import Attribution, CallEvent, Inbound
from .spool import BEGUN, ENDED, TO_PRICE, VOID

__all__ = ["Begun", "begun", "ended", "event_of", "new_id", "unfinished", "void"]


class Begun(msgspec.Struct, frozen=True, array_like=True):
    """A call that was sent."""

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


_encode = msgspec.msgpack.Encoder().encode
_decode_event = msgspec.msgpack.Decoder(CallEvent).decode
_decode_begun = msgspec.msgpack.Decoder(Begun).decode


class _Ids:
    """UUIDv7: milliseconds, 42 bits drawn once a process, and a counter in place of the other random bits."""

    def __init__(self) -> None:
        drawn = int.from_bytes(os.urandom(6), "big")
        self.fixed = 0x7 << 76 | (drawn & 0xFFF) << 64 | 0b10 << 62 | (drawn >> 12 & 0x3FFFFFFF) << 32
        self.count = itertools.count(int.from_bytes(os.urandom(3), "big"))


_ids = _Ids()


def new_id(now_ns: int) -> bytes:
    """An id for a call that begins at `now_ns`, 16 bytes, ordered by time."""
    ids = _ids
    return (now_ns // 1_000_000 << 80 | ids.fixed | next(ids.count) & 0xFFFFFFFF).to_bytes(16, "big")


def _after_fork() -> None:
    global _ids
    _ids = _Ids()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def begun(call_id: bytes, fields: tuple[Any, ...]) -> bytes:
    """The record of a call that was sent; `fields` in the order of `Begun`."""
    return BEGUN + call_id + _encode(fields)


def ended(call_id: bytes, fields: tuple[Any, ...] | CallEvent, *, to_price: bool = False) -> bytes:
    """The record of a call that ended; `fields` in the order of `CallEvent`."""
    return (TO_PRICE if to_price else ENDED) + call_id + _encode(fields)


def void(call_id: bytes) -> bytes:
    """The record that takes a begun call back."""
    return VOID + call_id


def event_of(payload: bytes) -> tuple[CallEvent, bool]:
    """The event of an ended record, and whether it is still to be priced.

    Raises:
        msgspec.MsgspecError: Another version wrote the record.
    """
    return _decode_event(memoryview(payload)[17:]), payload[:1] == TO_PRICE


def unfinished(payload: bytes) -> CallEvent:
    """The event of a call whose process ended before it did."""
    facts = _decode_begun(memoryview(payload)[17:])
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
        attribution=facts.attribution,
        inbound=facts.inbound,
        units={},
        cost=None,
        cost_source="none",
        unpriced=(),
        reason="the process ended while the call was in flight",
        price_version=None,
        provider_response_id=None,
    )
