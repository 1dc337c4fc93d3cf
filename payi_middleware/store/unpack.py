"""A row of `events` as the `CallEvent` that it was made of (`pack.py`)."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ..events import Attribution, CallEvent, Cost, Inbound, Line
from .interned import Names, Shape
from .kinds import outcome_of, source_of
from .rest import NOTHING_RARE, hexadecimal, opened, uuid_text

__all__ = ["unpacked"]


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
    rest, shape, wide = opened(row.rest), names.shape(row.shape), names.wide(row.wide)
    rare = rest.rare or NOTHING_RARE
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
            use_case_id=uuid_text(rest.use_case_id),
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
            uuid_text(rest.request_id),
            hexadecimal(rest.trace_id),
            hexadecimal(rest.span_id),
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
