"""A `CallEvent` as a row of `events`, from which `unpack.py` makes it again, without loss."""

from __future__ import annotations

import zlib
from bisect import bisect_right as bisect
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ..events import CallEvent
from ..pricing.units import is_tokens
from .connection import Connection
from .histogram import FIRSTS, LETTERS
from .interned import Interned, Shape, Wide
from .kinds import NOBODY, PARTLY, kind_of
from .periods import HOUR_NS
from .rest import packed
from .schema import MONTH, WIDE

__all__ = ["COLUMNS", "Packer", "check", "request_key", "shapes_of"]

COLUMNS = (
    "event_id, hour, started_ns, duration_ns, first_byte_ns, latency, first_byte, "
    "wide, user, account, route, tags, failure, kind, input_tokens, output_tokens, cost_ticks, shape, request_key, rest"
)

_LARGEST = 1 << 36
"""The most tokens of one event (69 thousand millions); a larger number is nonsense, and would spoil every sum.

So many ticks (6.90 USD) are looked at, too: fewer come to no sum's bound, however many events have them.
"""
_DEAREST = 1 << 50
"""The most ticks of one event (112,000 USD)."""
_FULL = 1 << 61
"""The most ticks of a store, whose sums have 63 bits: 230 million USD, behind which events that are looked at are refused."""
_LONGEST = 1 << 58
"""Nanoseconds of one call, at most."""
_UNTRUE = "a number of this event cannot be true"
_NO_ROOM = "all events of the store together cost more than could be true"
_MOST = 4096  # remembered combinations of what calls have in common

_ENCODER = msgspec.msgpack.Encoder()


class _Common(NamedTuple):
    """The numbers of what many events have in common."""

    wide: int
    route: int
    failure: int
    kind: int
    """Without what is each event's own: whether it is partly unpriced, and of a known user."""
    shape: int
    are_tokens: bool
    """Whether all units are tokens."""


class Packer:
    """Makes rows, within a transaction that writes: new texts get their numbers as they come."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._texts: Interned[str] = Interned(connection, "texts", (), lambda text: (text,))
        self._wide: Interned[Wide] = Interned(connection, "wide", Wide.__struct_fields__, _wide_row)
        self._shapes = shapes_of(connection)
        self._tags: dict[tuple[str, ...], int] = {}
        self._spent: int | None = None
        """Ticks of the store, as far as somebody had to know within this transaction."""
        self._common: dict[tuple[Any, ...], _Common] = {}

    def forget(self) -> None:
        """Forget all numbers, after a rollback."""
        for interned in (self._texts, self._wide, self._shapes):
            interned.forget()
        self._tags.clear()
        self._common.clear()

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

        All that most events need is done here, in one function: it is made for each. Bytes are told as `bytearray`, which
        `sqlite3` takes as it is; of `bytes` it asks in three places first how to adapt them.

        Raises:
            OverflowError: A number of the event cannot be true.
            UnicodeEncodeError: A text of the event is no text.
        """
        who, where, cost, texts = event.attribution, event.inbound, event.cost, self._texts.known
        counts: list[int] = []
        into = out = 0
        count = counts.append
        for taken, made in event.units.values():
            into += taken
            out += made
            count(taken)
            count(made)
        prices: list[Any] = []
        ticks, paid = 0, None
        if cost is not None:
            ticks, paid = cost.total_ticks, [cost.input_ticks, cost.output_ticks]
            for line in cost.lines:
                paid.append(line.quantity)
                prices += (line.unit, line.side, line.rate, line.per, line.source, line.valid_from)
        key = (
            event.application, event.origin, event.provider, event.category, event.resource, event.requested_resource,
            event.endpoint, event.service_tier, event.http_status, event.outcome, event.error_type, event.streamed,
            event.attempt, event.cost_source, event.price_version, event.ledger, where.http_method, where.http_route,
            who.use_case_name, who.use_case_version, who.use_case_step, len(counts), *event.units, *prices,
        )  # fmt: skip
        wide, route, failure, kind, shape, are_tokens = self._common.get(key) or self._found(key, event)
        if not are_tokens:
            into, out = _tokens(event)
        duration, first, request = event.duration_ns, event.first_byte_ns, where.http_request_id
        if into + out + abs(ticks) > _LARGEST or duration > _LONGEST:
            self._look(into + out, ticks, duration)
        if event.unpriced:
            kind |= PARTLY
        user, account, tags = who.user_id, who.account_name, who.request_tags
        if user is None:
            kind |= NOBODY
        started = event.started_ns
        return (
            bytearray(event.event_id),
            started // HOUR_NS,
            started,
            duration,
            first,
            LETTERS[bisect(FIRSTS, duration)],
            None if first is None else LETTERS[bisect(FIRSTS, first)],
            wide,
            0 if user is None else texts.get(user) or self._texts.id(user),
            0 if account is None else texts.get(account) or self._texts.id(account),
            route,
            0 if not tags else self._tags.get(tags) or self._tag_set(tags),
            failure,
            kind,
            into,
            out,
            ticks,
            shape,
            None if request is None else request_key(request),
            packed(event, counts, paid),
        )

    def begin(self) -> None:
        """Another transaction: others may have written since."""
        self._spent = None

    def _look(self, tokens: int, ticks: int, duration: int) -> None:
        """Look at what is large: no sum may overflow, since then nothing could be written any more.

        Raises:
            OverflowError: It cannot be true, or the sums cannot take it.
        """
        if tokens > _LARGEST or abs(ticks) > _DEAREST or duration > _LONGEST:
            raise OverflowError(_UNTRUE)
        if self._spent is None:
            self._spent = spent(self._connection)
        if self._spent + abs(ticks) > _FULL:
            raise OverflowError(_NO_ROOM)
        self._spent += abs(ticks)

    def _found(self, key: tuple[Any, ...], event: CallEvent) -> _Common:
        route, failed = event.inbound.http_route, event.outcome != "ok" or event.attempt > 1
        found = _Common(
            self._wide.id(_wide(event)),
            0 if route is None else self._texts.id(route),
            self._texts.id(_failure(event)) if failed else 0,
            kind_of(event) & ~(PARTLY | NOBODY),
            self._shapes.id(_shape(event)),
            all(map(is_tokens, event.units)),
        )
        if len(self._common) >= _MOST:
            self._common.clear()
        self._common[key] = found
        return found

    def _tag_set(self, tags: tuple[str, ...]) -> int:
        number = self._texts.id(_tags_text(tags))
        members = [(number, self._texts.id(tag)) for tag in tags]
        self._connection.executemany("INSERT INTO tags (tags, tag) VALUES (?, ?) ON CONFLICT DO NOTHING", members)
        if len(self._tags) < 65_536:
            self._tags[tags] = number
        return number


def _tags_text(tags: tuple[str, ...]) -> str:
    return msgspec.json.encode(tags).decode()


def shapes_of(connection: Connection) -> Interned[Shape]:
    """The numbers of shapes."""
    return Interned(connection, "shapes", (), _shape_row)


def request_key(request_id: str) -> int:
    """A small number by which a request's events are found; others may share it."""
    return zlib.crc32(request_id.encode())


def spent(connection: Connection) -> int:
    """Ticks of all events, removed ones included: what is in the sums, and what waits to be."""
    folded, waiting = connection.execute(_SPENT).fetchone()
    return int(folded + waiting) * 1024


_SPENT = f"""
SELECT (SELECT coalesce(sum(abs(cost_ticks) / 1024), 0) FROM rollup WHERE dim = {WIDE} AND grain = {MONTH}),
    (SELECT coalesce(sum(abs(cost_ticks) / 1024), 0) FROM events WHERE id > (SELECT event FROM folded))
"""  # noqa: S608 - names of ours alone
"""In units of 1,024 ticks, so that it cannot overflow itself."""


def check(event: CallEvent) -> None:
    """Whether a row can be made of the event, before it is in a batch with others.

    Raises:
        OverflowError: A number of the event cannot be true.
    """
    first, cost = event.first_byte_ns, event.cost
    if event.duration_ns > _LONGEST or (first is not None and first > _LONGEST):
        raise OverflowError(_UNTRUE)
    if cost is not None:
        # What is less than nothing would hide in a sum what is too much.
        dearest = max(abs(cost.total_ticks), abs(cost.input_ticks), abs(cost.output_ticks))
        if dearest > _DEAREST or cost.total_ticks < 0:
            raise OverflowError(_UNTRUE)
    # All units are at least those that are tokens, so most events need no look at which are.
    if sum(map(sum, event.units.values())) > _LARGEST and sum(_tokens(event)) > _LARGEST:
        raise OverflowError(_UNTRUE)


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
