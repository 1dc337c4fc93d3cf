"""A `CallEvent` as a row of `events`, from which `unpack.py` makes it again, without loss."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from ..events import CallEvent
from ..pricing.units import is_tokens
from .connection import Connection
from .histogram import letter
from .interned import Interned, Shape, Wide
from .kinds import kind_of
from .periods import HOUR_NS
from .rest import packed

__all__ = ["COLUMNS", "Packer", "check", "request_key"]

COLUMNS = (
    "event_id, hour, started_ns, duration_ns, first_byte_ns, latency, first_byte, "
    "wide, user, account, route, tags, failure, kind, input_tokens, output_tokens, cost_ticks, shape, request_key, rest"
)

_LARGEST = 1 << 50
"""The most tokens or ticks of one call (112,000 USD); a larger number is nonsense and would spoil every sum."""

_ENCODER = msgspec.msgpack.Encoder()


class Packer:
    """Makes rows, within a transaction that writes: new texts get their numbers as they come."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._texts: Interned[str] = Interned(connection, "texts", (), lambda text: (text,))
        self._wide: Interned[Wide] = Interned(connection, "wide", Wide.__struct_fields__, _wide_row)
        self._shapes: Interned[Shape] = Interned(connection, "shapes", (), _shape_row)
        self._tags: dict[tuple[str, ...], int] = {}

    def forget(self) -> None:
        """Forget all numbers, after a rollback."""
        for interned in (self._texts, self._wide, self._shapes):
            interned.forget()
        self._tags.clear()

    def unknown(self, events: Sequence[CallEvent]) -> set[str]:
        """The texts of events whose numbers are not known here."""
        found: set[str | None] = set()
        for event in events:
            who = event.attribution
            found |= {who.user_id, who.account_name, event.inbound.http_route}
            if who.request_tags and who.request_tags not in self._tags:
                found |= {_tags_text(who.request_tags), *who.request_tags}
            if event.outcome != "ok" or event.attempt > 1:
                found.add(_failure(event))
        return {text for text in found if text is not None and not self._texts.knows(text)}

    def learn(self, numbers: dict[str, int]) -> None:
        """Remember numbers of texts."""
        self._texts.learn(numbers)

    def row(self, event: CallEvent) -> tuple[Any, ...]:
        """The event's row, in the order of `COLUMNS`.

        Raises:
            OverflowError: A number of the event cannot be true.
            UnicodeEncodeError: A text of the event is no text.
        """
        who, where, kind = event.attribution, event.inbound, kind_of(event)
        text = self._texts.id
        tokens_in, tokens_out = _tokens(event)
        ticks = _ticks_if_true(event, tokens_in + tokens_out)
        first, request = event.first_byte_ns, where.http_request_id
        return (
            event.event_id,
            event.started_ns // HOUR_NS,
            event.started_ns,
            event.duration_ns,
            first,
            letter(event.duration_ns),
            None if first is None else letter(first),
            self._wide.id(_wide(event)),
            0 if who.user_id is None else text(who.user_id),
            0 if who.account_name is None else text(who.account_name),
            0 if where.http_route is None else text(where.http_route),
            self._tag_set(who.request_tags) if who.request_tags else 0,
            text(_failure(event)) if event.outcome != "ok" or event.attempt > 1 else 0,
            kind,
            tokens_in,
            tokens_out,
            ticks,
            self._shapes.id(_shape(event)),
            None if request is None else request_key(request),
            packed(event),
        )

    def _tag_set(self, tags: tuple[str, ...]) -> int:
        known = self._tags.get(tags)
        if known is None:
            known = self._texts.id(_tags_text(tags))
            members = [(known, self._texts.id(tag)) for tag in tags]
            self._connection.executemany("INSERT INTO tags (tags, tag) VALUES (?, ?) ON CONFLICT DO NOTHING", members)
            if len(self._tags) < 65_536:
                self._tags[tags] = known
        return known


def _tags_text(tags: tuple[str, ...]) -> str:
    return msgspec.json.encode(tags).decode()


def request_key(request_id: str) -> int:
    """A small number by which a request's events are found; others may share it."""
    return zlib.crc32(request_id.encode())


def check(event: CallEvent) -> None:
    """Whether a row can be made of the event, before it is in a batch with others.

    Raises:
        OverflowError: A number of the event cannot be true.
    """
    # All units are at least those that are tokens, so most events need no look at which are.
    try:
        _ticks_if_true(event, sum(map(sum, event.units.values())))
    except OverflowError:
        _ticks_if_true(event, sum(_tokens(event)))


def _ticks_if_true(event: CallEvent, tokens: int) -> int:
    ticks = event.cost.total_ticks if event.cost else 0
    if tokens + abs(ticks) > _LARGEST or event.duration_ns > _LARGEST << 8:
        raise OverflowError("a number of this event cannot be true")
    return ticks


def _tokens(event: CallEvent) -> tuple[int, int]:
    into = out = 0
    for unit, (taken, made) in event.units.items():
        if is_tokens(unit):
            into += taken
            out += made
    return into, out


def _wide(event: CallEvent) -> Wide:
    who = event.attribution
    return Wide(
        event.application,
        who.use_case_name,
        who.use_case_version,
        who.use_case_step,
        event.provider,
        event.category,
        event.resource,
    )


def _wide_row(wide: Wide) -> tuple[Any, ...]:
    return (_ENCODER.encode(wide), *msgspec.structs.astuple(wide))


def _failure(event: CallEvent) -> str:
    return msgspec.json.encode(
        (event.outcome, event.http_status, event.error_type, event.provider, event.resource or event.requested_resource)
    ).decode()


def _shape(event: CallEvent) -> Shape:
    lines = event.cost.lines if event.cost else ()
    return Shape(
        event.origin,
        event.requested_resource,
        event.endpoint,
        event.service_tier,
        event.http_status,
        event.error_type,
        event.streamed,
        event.attempt,
        event.inbound.http_method,
        event.price_version,
        tuple(event.units),
        tuple([(line.unit, line.side, line.rate, line.per, line.source, line.valid_from) for line in lines]),
        event.ledger,
    )


def _shape_row(shape: Shape) -> tuple[Any, ...]:
    """Without a ledger as it was before there were ledgers: else every shape of an older store would be made again."""
    return (_ENCODER.encode(shape if shape.ledger is not None else msgspec.structs.astuple(shape)[:-1]),)
