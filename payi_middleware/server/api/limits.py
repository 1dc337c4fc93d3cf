"""Limits: made, read, changed, reset. What is charged to them comes with events (`settling`)."""

from __future__ import annotations

import datetime
import time
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row, select

from ...events import format_id
from ...record import new_id
from ..errors import Answer, ApiError, not_found
from ..moments import ns_of, told
from ..paging import Paging, page
from ..rows import Name, Properties, merged, money, new_request_id, ticks_of
from ..serving import Manager, Reader, Reading, Writing
from ..tables import limit_history, limits

__all__ = ["LimitConfig", "limit_columns", "router"]

router = APIRouter(prefix="/api/v1/limits", tags=["limits"])

_MOST_USD = Decimal(100_000_000)
_STATES = ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")
_TOTALS = ("input_ticks", "output_ticks", *_STATES)

_Max: TypeAlias = Annotated[
    Decimal,
    # The bounds are for the document alone: what is outside them has a code of its own.
    Field(allow_inf_nan=False, json_schema_extra={"exclusiveMinimum": 0, "maximum": int(_MOST_USD)}),
]


class LimitConfig(BaseModel):
    """What a limit and the limit of a use case's instances have in common."""

    model_config = ConfigDict(extra="forbid")

    max: _Max
    limit_type: Literal["block", "allow"] = "allow"
    threshold: float | None = Field(None, ge=0.75, le=0.99)
    properties: Properties | None = None


class NewLimit(LimitConfig):
    """A limit to be made."""

    limit_name: Name
    limit_id: Name | None = None


class ChangedLimit(BaseModel):
    """What of a limit may change."""

    model_config = ConfigDict(extra="forbid")

    limit_name: Name | None = None
    max: _Max | None = None


class NewProperties(BaseModel):
    """Properties to be laid over those there are."""

    model_config = ConfigDict(extra="forbid")

    properties: Properties


@router.post("")
async def create(body: NewLimit, caller: Manager, writer: Writing) -> Answer:
    """Make a limit. The same id with the same maximum and threshold is the same limit."""
    columns = limit_columns(body)

    def action(sql: Connection) -> Row[Any]:
        limit_id = body.limit_id or format_id(new_id(time.time_ns()))
        known = _row(sql, caller.application, limit_id)
        if known is not None:
            if (known.max_ticks, known.threshold) == (columns["max_ticks"], body.threshold):
                return known
            raise ApiError(
                400, f"limit_id: {limit_id!r} exists with another max or threshold", "create_limit_validation_failed"
            )
        _refuse_name(sql, caller.application, body.limit_name)
        now = time.time_ns()
        sql.execute(
            limits.insert().values(
                application=caller.application,
                limit_id=limit_id,
                limit_name=body.limit_name,
                created_ns=now,
                updated_ns=now,
                **columns,
            )
        )
        return _found(sql, caller.application, limit_id)

    return Answer(_response(await writer.run(action)))


@router.get("")
def listing(caller: Reader, sql: Reading, asked: Annotated[Paging, Depends()], limit_name: str | None = None) -> Answer:
    """The limits, page by page."""
    query = select(limits).where(limits.c.application == caller.application)
    if limit_name is not None:
        query = query.where(limits.c.limit_name == limit_name)
    return Answer(page(sql, query, limits.c.id, asked, _limit))


@router.get("/{limit_id:segment}")
def retrieve(limit_id: str, caller: Reader, sql: Reading) -> Answer:
    """One limit with its totals."""
    return Answer(_response(_found(sql, caller.application, limit_id)))


@router.put("/{limit_id:segment}")
async def update(limit_id: str, body: ChangedLimit, caller: Manager, writer: Writing) -> Answer:
    """Change the name or the maximum, which cannot go below what is spent."""

    def action(sql: Connection) -> Row[Any]:
        row = _found(sql, caller.application, limit_id)
        values: dict[str, Any] = {"updated_ns": time.time_ns()}
        if body.limit_name is not None and body.limit_name != row.limit_name:
            _refuse_name(sql, caller.application, body.limit_name)
            values["limit_name"] = body.limit_name
        if body.max is not None:
            values["max_ticks"] = max_ticks(body.max)
            if values["max_ticks"] < row.input_ticks + row.output_ticks:
                raise ApiError(400, "max: below what is spent already", "invalid_max_limit_update")
        sql.execute(limits.update().where(limits.c.id == row.id).values(values))
        return _found(sql, caller.application, limit_id)

    return Answer(_response(await writer.run(action)))


@router.delete("/{limit_id:segment}")
async def delete(limit_id: str, caller: Manager, writer: Writing) -> Answer:
    """Delete a limit; its history stays."""

    def action(sql: Connection) -> None:
        sql.execute(limits.delete().where(limits.c.id == _found(sql, caller.application, limit_id).id))

    await writer.run(action)
    return Answer({"request_id": new_request_id(), "message": "deleted"})


@router.post("/{limit_id:segment}/reset")
async def reset(
    limit_id: str,
    caller: Manager,
    writer: Writing,
    reset_date: Annotated[datetime.datetime | None, Query(alias="resetDate")] = None,
) -> Answer:
    """Start a limit anew; what it had come to is kept and told. A date given is the time that is noted."""

    def action(sql: Connection) -> dict[str, Any]:
        row = _found(sql, caller.application, limit_id)
        at = time.time_ns() if reset_date is None else ns_of(reset_date)
        if not 0 <= at < 1 << 62:
            raise ApiError(400, "resetDate: out of range", "update_limit_validation_failed")
        kept = {name: row._mapping[name] for name in ("limit_id", "limit_name", "limit_type", "max_ticks", *_TOTALS)}
        sql.execute(limit_history.insert().values(application=caller.application, reset_ns=at, **kept))
        zeros = dict.fromkeys(_TOTALS, 0)
        sql.execute(limits.update().where(limits.c.id == row.id).values(updated_ns=time.time_ns(), **zeros))
        return {
            "limit_id": row.limit_id,
            "limit_name": row.limit_name,
            "limit_type": row.limit_type,
            "max": money(row.max_ticks),
            "limit_reset_timestamp": told(at),
            "limit_tags": [],
            "totals": _totals(row),
        }

    history = await writer.run(action)
    return Answer({"request_id": new_request_id(), "message": None, "limit_history": history})


@router.put("/{limit_id:segment}/properties")
async def update_properties(limit_id: str, body: NewProperties, caller: Manager, writer: Writing) -> Answer:
    """Lay properties over those there are; null clears one. Pay-i answers with an array."""

    def action(sql: Connection) -> Row[Any]:
        row = _found(sql, caller.application, limit_id)
        values = {"properties": merged(row.properties, body.properties), "updated_ns": time.time_ns()}
        sql.execute(limits.update().where(limits.c.id == row.id).values(values))
        return _found(sql, caller.application, limit_id)

    return Answer([_response(await writer.run(action))])


create.malformed = "create_limit_validation_failed"  # type: ignore[attr-defined]
update.malformed = "update_limit_validation_failed"  # type: ignore[attr-defined]


def max_ticks(most: Decimal) -> int:
    """The maximum of a limit.

    Raises:
        ApiError: It is no amount that can be reached.
    """
    if not 0 < most <= _MOST_USD or not (ticks := ticks_of(most)):
        raise ApiError(400, f"max: not above 0 and at most {_MOST_USD} USD", "invalid_max_limit")
    return ticks


def limit_columns(body: LimitConfig) -> dict[str, Any]:
    """The columns that a limit gets of its configuration."""
    return {
        "max_ticks": max_ticks(body.max),
        "limit_type": body.limit_type,
        "threshold": body.threshold,
        "properties": merged({}, body.properties or {}),
    }


def _row(sql: Connection, application: int, limit_id: str) -> Row[Any] | None:
    query = select(limits).where(limits.c.application == application, limits.c.limit_id == limit_id)
    return sql.execute(query).one_or_none()


def _found(sql: Connection, application: int, limit_id: str) -> Row[Any]:
    row = _row(sql, application, limit_id)
    if row is None:
        raise not_found("limit", limit_id, "limit_not_found")
    return row


def _refuse_name(sql: Connection, application: int, name: str) -> None:
    query = select(limits.c.id).where(limits.c.application == application, limits.c.limit_name == name)
    if sql.execute(query.limit(1)).first() is not None:
        raise ApiError(400, f"limit_name: {name!r} is another limit's", "limit_name_already_exist")


def _response(row: Row[Any]) -> dict[str, Any]:
    return {"request_id": new_request_id(), "message": None, "limit": _limit(row)}


def _limit(row: Row[Any]) -> dict[str, Any]:
    return {
        "limit_id": row.limit_id,
        "limit_name": row.limit_name,
        "limit_type": row.limit_type,
        "max": money(row.max_ticks),
        "threshold": row.threshold,
        "limit_creation_timestamp": told(row.created_ns),
        "limit_update_timestamp": told(row.updated_ns),
        "properties": row.properties,
        "totals": _totals(row),
    }


def _totals(row: Row[Any]) -> dict[str, Any]:
    spent = row.input_ticks + row.output_ticks
    counts = {state: row._mapping[state] for state in _STATES}
    return {
        "cost": {
            "input": {"base": money(row.input_ticks)},
            "output": {"base": money(row.output_ticks)},
            "total": {"base": money(spent), "overrun_base": money(max(0, spent - row.max_ticks))},
        },
        "requests": {**counts, "total": sum(counts.values())},
    }
