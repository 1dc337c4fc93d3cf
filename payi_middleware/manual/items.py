"""What Pay-i's clients send to be ingested, and what of it is kept.

Texts of requests and answers, their headers and function calls are taken and dropped at once; of a failure the type is
kept and never its description or stack.
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias, TypeGuard

import msgspec
from msgspec import Meta

from .. import health
from ..events import Attribution, Units
from ..exceptions import EventError
from ..once import event_id
from ..record import new_id
from ..values import ns_of
from .arguments import AHEAD_NS, OLDEST_NS

__all__ = ["LIMIT_TAGS", "BulkItem", "Draft", "Item", "draft_of", "is_use_case"]

_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Properties: TypeAlias = dict[str, str | None]

_MOST = {"units": 64, "properties": 64, "tags": 32, "limits": 32}
_LONGEST, _LONGEST_VALUE = 256, 1024
LIMIT_TAGS = "system.limit_tags"
"""A request's property that holds its limit tags, by commas or spaces: Pay-i's schema has no place of their own for them."""
_DROPPED = frozenset(("system.stack_trace", "system.failure.description"))

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Sides(msgspec.Struct, forbid_unknown_fields=True):
    """What went in and came out; a side that is not told is none."""

    input: _Count | None = None
    output: _Count | None = None


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: str | None = None


class _FunctionCall(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: str | None = None


class Item(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a single ingest; who it is for stands in headers."""

    category: Annotated[str, Meta(min_length=1)]
    units: dict[str, Sides | _Count]
    resource: str | None = None
    event_timestamp: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | None = None
    end_to_end_latency_ms: _Count | None = None
    time_to_first_token_ms: _Count | None = None
    time_to_first_completion_token_ms: _Count | None = None
    http_status_code: _Count | None = None
    properties: _Properties | None = None
    use_case_properties: _Properties | None = None
    provider_uri: str | None = None
    provider_response_id: str | None = None
    provider_request_json: str | None = None
    provider_request_reasoning_json: str | None = None
    provider_response_json: str | list[str] | None = None
    provider_request_headers: list[_Header] | None = None
    provider_response_headers: list[_Header] | None = None
    provider_response_function_calls: list[_FunctionCall] | None = None


class BulkItem(Item, kw_only=True, forbid_unknown_fields=True):
    """One of a bulk, which tells for whom it is itself."""

    limit_ids: list[str] | None = None
    request_tags: list[str] | None = None
    user_id: str | None = None
    account_name: str | None = None
    use_case_name: str | None = None
    use_case_id: str | None = None
    use_case_step: str | None = None
    use_case_version: _Count | None = None
    scope: str | None = None


class Draft(msgspec.Struct, frozen=True):
    """An event that is not priced yet."""

    event_id: bytes
    application: str
    started_ns: int
    category: str
    resource: str | None
    units: Units
    who: Attribution
    http_status: int | None
    error_type: str | None
    duration_ns: int
    first_byte_ns: int | None
    response_id: str | None


def draft_of(item: Item, told: Mapping[str, Any], application: str) -> Draft:
    """What is kept of an item.

    Args:
        item: As decoded.
        told: Who it is for, by the names of `BulkItem`.
        application: Whose it is.

    Raises:
        EventError: Something in it cannot be.
    """
    now = time.time_ns()
    started = now if item.event_timestamp is None else _moment(item.event_timestamp, now)
    category, resource = _required("category", item.category), _text("resource", item.resource)
    response_id = _text("provider_response_id", item.provider_response_id)
    properties = _properties("properties", item.properties)
    limit_tags = _tags(properties.pop(LIMIT_TAGS, "").replace(",", " ").split(), LIMIT_TAGS)
    status, error = _failure(item.http_status_code, properties.pop("system.failure", None))
    first = item.time_to_first_token_ms
    return Draft(
        event_id=event_id(f"{application}\n{category}", response_id) if response_id else new_id(now),
        application=application,
        started_ns=started,
        category=category,
        resource=resource,
        units=_units(item.units),
        who=_attribution(told, properties, _properties("use_case_properties", item.use_case_properties), limit_tags),
        http_status=status,
        error_type=error,
        duration_ns=(item.end_to_end_latency_ms or 0) * 1_000_000,
        first_byte_ns=None if first is None else first * 1_000_000,
        response_id=response_id,
    )


def is_use_case(name: str | None) -> TypeGuard[str]:
    """Whether this can be the name of a use case."""
    return name is not None and _NAME.fullmatch(name) is not None


def _moment(told: str, now: int) -> int:
    """An ISO 8601 time or day; without a zone it is UTC."""
    try:
        ns = ns_of(datetime.datetime.fromisoformat(told))
    except (ValueError, OverflowError):
        raise EventError("event_timestamp: not a time of ISO 8601") from None
    if ns > now + AHEAD_NS:
        raise EventError("event_timestamp: more than 5 minutes in the future", "invalid_ingest_event_timestamp")
    if ns < OLDEST_NS:
        raise EventError("event_timestamp: before the year 2000", "invalid_ingest_event_timestamp")
    return ns


def _units(told: Mapping[str, Sides | int]) -> Units:
    """Counts by unit. One that is a bare number went in."""
    if len(told) > _MOST["units"]:
        raise EventError(f"units: more than {_MOST['units']}")
    units: Units = {}
    for name, sides in told.items():
        _required("units", name)
        if isinstance(sides, int):
            units[name] = sides, 0
        else:
            units[name] = sides.input or 0, sides.output or 0
    return units


def _failure(status: int | None, failure: str | None) -> tuple[int | None, str | None]:
    """(status, type of the error). Pay-i's instrumentation tells 299 where there was no answer with a status."""
    if failure is not None or status == 299:
        return (None if status == 299 else status), (failure or "unknown")[:_LONGEST]
    if status is not None and status >= 400:
        return status, f"http_{status}"
    return status, None


def _attribution(
    told: Mapping[str, Any], properties: dict[str, str], use_case: dict[str, str], limit_tags: tuple[str, ...]
) -> Attribution:
    name = told.get("use_case_name") or None
    if name is not None and not is_use_case(name):
        raise EventError("use_case_name: not 1 to 64 of A-Z a-z 0-9 . _ -", "invalid_use_case_name")
    user = _text("user_id", told.get("user_id"), "invalid_user_id")
    limits = _limit_ids(told.get("limit_ids") or ())
    if name is None and (told.get("use_case_id") or told.get("use_case_step")):
        raise EventError("use_case_id and use_case_step take a use_case_name", "required_field_missing")
    return Attribution(
        user_id=user,
        account_name=_text("account_name", told.get("account_name")),
        request_tags=_tags(told.get("request_tags") or ()),
        request_properties=properties,
        use_case_name=name,
        use_case_id=_text("use_case_id", told.get("use_case_id")),
        use_case_version=told.get("use_case_version"),
        use_case_step=_text("use_case_step", told.get("use_case_step")),
        use_case_properties=use_case,
        limit_ids=limits,
        limit_tags=limit_tags,
        resource_scope=_text("scope", told.get("scope")),
    )


def _required(name: str, value: str) -> str:
    text = _text(name, value)
    if text is None:
        raise EventError(f"{name}: empty", "required_field_missing")
    return text


def _text(name: str, value: str | None, code: str | None = None) -> str | None:
    """A short line of text; None if it is empty."""
    if not value:
        return None
    if len(value) <= _LONGEST and value.isprintable() and value[0] != " " and value[-1] != " ":
        return value
    text = value.strip()
    if len(text) > _LONGEST:
        raise EventError(f"{name}: longer than {_LONGEST} characters", code)
    if _CONTROL.search(text):
        raise EventError(f"{name}: control characters", code)
    return text or None


def _tags(tags: Sequence[str], name: str = "request_tags") -> tuple[str, ...]:
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise EventError(f"{name}: {health.shown(tag)} is not 1 to 64 of A-Z a-z 0-9 _ -", "invalid_tags")
    kept = tuple(dict.fromkeys(tags))
    if len(kept) > _MOST["tags"]:
        raise EventError(f"{name}: more than {_MOST['tags']}", "invalid_tags")
    return kept


def _limit_ids(ids: Sequence[str]) -> tuple[str, ...]:
    kept = [text for one in ids if (text := _text("limit_ids", one, "invalid_limit_id"))]
    if len(set(kept)) != len(kept):
        raise EventError("limit_ids: one is named twice", "duplicate_limit_id")
    if len(kept) > _MOST["limits"]:
        raise EventError(f"limit_ids: more than {_MOST['limits']}", "invalid_limit_ids")
    return tuple(kept)


def _properties(name: str, told: _Properties | None) -> dict[str, str]:
    if not told:
        return {}
    kept: dict[str, str] = {}
    for key, value in told.items():
        if value is None or key in _DROPPED:
            continue
        if _CONTROL.search(key) or not 0 < len(key) <= _LONGEST:
            raise EventError(f"{name}: a key is empty, has control characters or more than {_LONGEST} characters")
        if len(value) > _LONGEST_VALUE:
            raise EventError(f"{name}: the value of {health.shown(key)} has more than {_LONGEST_VALUE} characters")
        kept[key] = _CONTROL.sub(" ", value)
    if len(kept) > _MOST["properties"]:
        raise EventError(f"{name}: more than {_MOST['properties']}")
    return kept
