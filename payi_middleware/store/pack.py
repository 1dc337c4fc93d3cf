"""A `CallEvent` as a row of `events`, and back, without loss."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from ..events import Attribution, CallEvent, Cost, Inbound, Line, Part, Unpriced
from ..pricing.units import is_tokens
from .connection import Connection
from .histogram import letter
from .interned import Interned, Names, Shape, Wide
from .kinds import kind_of, outcome_of, source_of
from .periods import HOUR_NS

__all__ = [
    "COLUMNS",
    "Packer",
    "check",
    "packings",
    "request_key",
    "tells_request",
    "unpacked",
    "with_states",
    "without",
]

COLUMNS = (
    "event_id, hour, started_ns, duration_ns, first_byte_ns, latency, first_byte, "
    "wide, user, account, route, tags, failure, kind, input_tokens, output_tokens, cost_ticks, shape, request_key, rest"
)

_LARGEST = 1 << 50
"""The most tokens or ticks of one call (112,000 USD); a larger number is nonsense and would spoil every sum."""

_ENCODER = msgspec.msgpack.Encoder()


class _Rare(msgspec.Struct, frozen=True, array_like=True):
    request_properties: dict[str, str]
    use_case_properties: dict[str, str]
    limit_ids: tuple[str, ...]
    limit_tags: tuple[str, ...]
    price_as: str | None
    resource_scope: str | None
    limits: dict[str, str]
    unpriced: tuple[Unpriced, ...]
    reason: str | None
    terms: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


class _Rest(msgspec.Struct, frozen=True, array_like=True):
    units: list[int]
    cost: list[int] | None
    """Input ticks, output ticks, then the quantity of each line."""
    call_group: bytes | None
    """None where it is the event itself."""
    # Bytes where the text is a UUID or hexadecimal, else the text; the decoder's types cannot say so.
    use_case_id: Any
    request_id: Any
    trace_id: Any
    span_id: Any
    response_id: str | None
    rare: _Rare | None = None


_TELLING_HEX = 16  # digits: ids of spans and traces have 16 and 32
_NONE = (None, None, None)
_NOTHING_RARE = _Rare({}, {}, (), (), None, None, {}, (), None)
_DECODER = msgspec.msgpack.Decoder(_Rest)


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
            _ENCODER.encode(_rest(event)),
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


def _rest(event: CallEvent) -> tuple[Any, ...]:
    """The members of a `_Rest`; as a tuple they are made and encoded in half the time."""
    who, where, cost = event.attribution, event.inbound, event.cost
    counts: list[int] = []
    for sides in event.units.values():
        counts += sides
    return (
        counts,
        None if cost is None else [cost.input_ticks, cost.output_ticks, *[line.quantity for line in cost.lines]],
        None if event.call_group == event.event_id else event.call_group,
        _uuid_or_text(who.use_case_id),
        _uuid_or_text(where.http_request_id),
        _hex_or_text(where.trace_id),
        _hex_or_text(where.span_id),
        event.provider_response_id,
        _rare(event),
    )


def _rare(event: CallEvent) -> _Rare | None:
    who = event.attribution
    if not (
        event.reason
        or event.unpriced
        or event.limits
        or event.terms
        or event.parts
        or who.request_properties
        or who.use_case_properties
        or who.limit_ids
        or who.limit_tags
        or (who.price_as, who.resource_scope, event.reason) != _NONE
    ):
        return None
    return _Rare(
        who.request_properties,
        who.use_case_properties,
        who.limit_ids,
        who.limit_tags,
        who.price_as,
        who.resource_scope,
        event.limits,
        event.unpriced,
        event.reason,
        event.terms,
        event.parts,
    )


def _uuid_or_text(text: str | None) -> bytes | str | None:
    """16 bytes for a UUID in its usual spelling, which can be told back from them; else the text."""
    if text is None or len(text) != 36 or text[8:24:5] != "----" or text != text.lower():
        return text
    try:
        packed = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return text
    return packed if len(packed) == 16 else text


def _uuid(packed: bytes | str | None) -> str | None:
    if not isinstance(packed, bytes):
        return packed
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _hex_or_text(text: str | None) -> bytes | str | None:
    if text is None:
        return None
    try:
        packed = bytes.fromhex(text)
    except ValueError:
        return text
    return packed if packed.hex() == text else text


def _hex(packed: bytes | str | None) -> str | None:
    return packed.hex() if isinstance(packed, bytes) else packed


def packings(text: str, *, whole: bool) -> set[bytes]:
    """The bytes as which a text stands in a packed row; `whole`: with their length before, not within a longer text."""
    forms: set[Any] = {text, _uuid_or_text(text)}
    if len(text) >= _TELLING_HEX:
        forms.add(_hex_or_text(text))
    return {_ENCODER.encode(form) if whole or isinstance(form, bytes) else form.encode() for form in forms}


def tells_request(packed: bytes) -> bool:
    """Whether a row has a request's id."""
    return _DECODER.decode(packed).request_id is not None


def with_states(packed: bytes, states: dict[str, str]) -> bytes:
    """What a row has packed, with the states of its limits."""
    rest = _DECODER.decode(packed)
    rare = msgspec.structs.replace(rest.rare or _NOTHING_RARE, limits=states)
    return _ENCODER.encode(msgspec.structs.replace(rest, rare=rare))


def without(packed: bytes, tells: Callable[[str], bool]) -> bytes | None:
    """What a row has packed without the texts that `tells` is true of; None if there are none of them."""
    rest = _DECODER.decode(packed)
    rare = None if rest.rare is None else _rare_without(rest.rare, tells)
    kept = msgspec.structs.replace(
        rest,
        use_case_id=_unless(_uuid(rest.use_case_id), rest.use_case_id, tells),
        request_id=_unless(_uuid(rest.request_id), rest.request_id, tells),
        trace_id=_unless(_hex(rest.trace_id), rest.trace_id, tells),
        span_id=_unless(_hex(rest.span_id), rest.span_id, tells),
        response_id=_unless(rest.response_id, rest.response_id, tells),
        rare=rare,
    )
    return None if kept == rest else _ENCODER.encode(kept)


def _unless(text: str | None, packed: Any, tells: Callable[[str], bool]) -> Any:
    return None if text is not None and tells(text) else packed


def _rare_without(rare: _Rare, tells: Callable[[str], bool]) -> _Rare:
    def of(mapping: dict[str, str]) -> dict[str, str]:
        return {key: value for key, value in mapping.items() if not tells(key) and not tells(value)}

    return msgspec.structs.replace(
        rare,
        request_properties=of(rare.request_properties),
        use_case_properties=of(rare.use_case_properties),
        limit_ids=tuple(name for name in rare.limit_ids if not tells(name)),
        limit_tags=tuple(name for name in rare.limit_tags if not tells(name)),
        limits=of(rare.limits),
    )


class _Row(NamedTuple):
    event_id: bytes
    hour: int
    started_ns: int
    duration_ns: int
    first_byte_ns: int | None
    latency: bytes
    first_byte: bytes | None
    wide: int
    user: int
    account: int
    route: int
    tags: int
    failure: int
    kind: int
    input_tokens: int
    output_tokens: int
    cost_ticks: int
    shape: int
    request_key: int | None
    rest: bytes


def unpacked(values: tuple[Any, ...], names: Names) -> CallEvent:
    """The event of a row in the order of `COLUMNS`."""
    row = _Row(*values)
    rest, shape, wide = _DECODER.decode(row.rest), names.shape(row.shape), names.wide(row.wide)
    rare = rest.rare or _NOTHING_RARE
    kind = row.kind
    tags = names.text(row.tags)
    return CallEvent(
        event_id=row.event_id,
        application=wide.application,
        origin=shape.origin,
        started_ns=row.started_ns,
        duration_ns=row.duration_ns,
        first_byte_ns=row.first_byte_ns,
        provider=wide.provider,
        category=wide.category,
        resource=wide.model,
        requested_resource=shape.requested_resource,
        endpoint=shape.endpoint,
        service_tier=shape.service_tier,
        http_status=shape.http_status,
        outcome=outcome_of(kind),
        error_type=shape.error_type,
        streamed=shape.streamed,
        attempt=shape.attempt,
        call_group=rest.call_group or row.event_id,
        attribution=Attribution(
            user_id=names.text(row.user),
            account_name=names.text(row.account),
            request_tags=msgspec.json.decode(tags, type=tuple[str, ...]) if tags else (),
            request_properties=rare.request_properties,
            use_case_name=wide.use_case,
            use_case_id=_uuid(rest.use_case_id),
            use_case_version=wide.use_case_version,
            use_case_step=wide.use_case_step,
            use_case_properties=rare.use_case_properties,
            limit_ids=rare.limit_ids,
            limit_tags=rare.limit_tags,
            price_as=rare.price_as,
            resource_scope=rare.resource_scope,
        ),
        inbound=Inbound(
            shape.http_method,
            names.text(row.route),
            _uuid(rest.request_id),
            _hex(rest.trace_id),
            _hex(rest.span_id),
        ),
        units=dict(zip(shape.units, zip(rest.units[::2], rest.units[1::2], strict=True), strict=True)),
        cost=None if rest.cost is None else _cost(row.cost_ticks, rest.cost, shape),
        cost_source=source_of(kind),
        unpriced=rare.unpriced,
        reason=rare.reason,
        price_version=shape.price_version,
        provider_response_id=rest.response_id,
        limits=rare.limits,
        terms=rare.terms,
        parts=rare.parts,
        ledger=shape.ledger,
    )


def _cost(total: int, packed: list[int], shape: Shape) -> Cost:
    lines = tuple(
        Line(unit, side, quantity, rate, per, source, since)  # type: ignore[arg-type]
        for quantity, (unit, side, rate, per, source, since) in zip(packed[2:], shape.lines, strict=True)
    )
    return Cost(packed[0], packed[1], total, lines)
