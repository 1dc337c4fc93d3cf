"""The column `rest` of `events`: what no report groups or sums, packed, and what is done to it without the row.

Ids that are UUIDs or hexadecimal take the bytes they stand for, half of their text or less.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..events import CallEvent, Part, Unpriced

__all__ = [
    "NOTHING_RARE",
    "Rest",
    "hexadecimal",
    "opened",
    "packed",
    "packings",
    "tells_request",
    "uuid_text",
    "with_states",
    "without",
]


class Rare(msgspec.Struct, frozen=True, array_like=True):
    """What most events do not have."""

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


class Rest(msgspec.Struct, frozen=True, array_like=True):
    """What a column has."""

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
    rare: Rare | None = None


_TELLING_HEX = 16  # digits: ids of spans and traces have 16 and 32
_NONE = (None, None, None)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Rest).decode
NOTHING_RARE = Rare({}, {}, (), (), None, None, {}, (), None)


def packed(event: CallEvent, counts: list[int], cost: list[int] | None) -> bytearray:
    """The column of an event, whose units and cost are told as in `Rest`."""
    who, where, own = event.attribution, event.inbound, event.event_id
    group, instance, request = event.call_group, who.use_case_id, where.http_request_id
    trace, span = where.trace_id, where.span_id
    # The members of a `Rest`: as a tuple they are made and encoded in half the time.
    members = (
        counts,
        cost,
        None if group == own else group,
        None if instance is None else _uuid_or_text(instance),
        None if request is None else _uuid_or_text(request),
        None if trace is None else _hex_or_text(trace),
        None if span is None else _hex_or_text(span),
        event.provider_response_id,
        _rare(event),
    )
    return bytearray(_encode(members))


def opened(packed: bytes) -> Rest:
    """What a column has."""
    return _decode(packed)


def _rare(event: CallEvent) -> Rare | None:
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
    return Rare(
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


def _uuid_or_text(text: str) -> bytes | str:
    """16 bytes for a UUID in its usual spelling, which can be told back from them; else the text."""
    if len(text) != 36 or text[8:24:5] != "----":
        return text
    digits = text.replace("-", "")
    try:
        packed = bytes.fromhex(digits)
    except ValueError:
        return text
    return packed if len(digits) == 32 and packed.hex() == digits else text


def uuid_text(packed: bytes | str | None) -> str | None:
    """The text of a UUID, or what stands for it."""
    if not isinstance(packed, bytes):
        return packed
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _hex_or_text(text: str) -> bytes | str:
    try:
        packed = bytes.fromhex(text)
    except ValueError:
        return text
    return packed if packed.hex() == text else text


def hexadecimal(packed: bytes | str | None) -> str | None:
    """The text of hexadecimal digits, or what stands for it."""
    return packed.hex() if isinstance(packed, bytes) else packed


def packings(text: str, *, whole: bool) -> set[bytes]:
    """The bytes as which a text stands in a packed row; `whole`: with their length before, not within a longer text."""
    forms: set[Any] = {text, _uuid_or_text(text)}
    if len(text) >= _TELLING_HEX:
        forms.add(_hex_or_text(text))
    return {_encode(form) if whole or isinstance(form, bytes) else form.encode() for form in forms}


def tells_request(packed: bytes) -> bool:
    """Whether a row has a request's id."""
    return _decode(packed).request_id is not None


def with_states(packed: bytes, states: dict[str, str]) -> bytes:
    """What a row has packed, with the states of its limits."""
    rest = _decode(packed)
    rare = msgspec.structs.replace(rest.rare or NOTHING_RARE, limits=states)
    return _encode(msgspec.structs.replace(rest, rare=rare))


def without(packed: bytes, tells: Callable[[str], bool]) -> bytes | None:
    """What a row has packed without the texts that `tells` is true of; None if there are none of them."""
    rest = _decode(packed)
    rare = None if rest.rare is None else _rare_without(rest.rare, tells)
    kept = msgspec.structs.replace(
        rest,
        use_case_id=_unless(uuid_text(rest.use_case_id), rest.use_case_id, tells),
        request_id=_unless(uuid_text(rest.request_id), rest.request_id, tells),
        trace_id=_unless(hexadecimal(rest.trace_id), rest.trace_id, tells),
        span_id=_unless(hexadecimal(rest.span_id), rest.span_id, tells),
        response_id=_unless(rest.response_id, rest.response_id, tells),
        rare=rare,
    )
    return None if kept == rest else _encode(kept)


def _unless(text: str | None, packed: Any, tells: Callable[[str], bool]) -> Any:
    return None if text is not None and tells(text) else packed


def _rare_without(rare: Rare, tells: Callable[[str], bool]) -> Rare:
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
