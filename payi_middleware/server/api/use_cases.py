"""Use case definitions, their versions, and the limit that each new instance gets. Events make a definition that is new."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, StrictBool
from sqlalchemy import Connection, Row, select

from ...manual.items import is_use_case
from .. import instance_limits
from ..errors import Answer, ApiError, not_found
from ..keys import Caller
from ..known import UseCase
from ..limit_bodies import LimitConfig, limit_columns
from ..paging import Paging, page
from ..rows import Name, Text, money, new_request_id
from ..serving import Manager, Reader, Reading, Writing
from ..tables import instances, kpis, scores, use_cases
from ..writer import Writer

__all__ = ["definition", "router", "use_case"]

router = APIRouter(prefix="/api/v1/use_cases/definitions", tags=["use cases"])


class NewDefinition(BaseModel):
    """A use case to be defined."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Text
    limit_config: LimitConfig | None = None
    logging_enabled: StrictBool | None = None


class ChangedDefinition(BaseModel):
    """What of a definition may change."""

    model_config = ConfigDict(extra="forbid")

    description: Text | None = None
    logging_enabled: StrictBool | None = None


@router.post("")
async def create(body: NewDefinition, caller: Manager, writer: Writing) -> Answer:
    """Define a use case."""
    if not is_use_case(body.name):
        raise ApiError(400, "name: not 1 to 64 of A-Z a-z 0-9 . _ -", "invalid_use_case_name")
    config = None if body.limit_config is None else limit_columns(body.limit_config)

    def action(sql: Connection) -> Row[Any]:
        if _row(sql, caller.application, body.name) is not None:
            raise ApiError(400, f"name: {body.name!r} is defined already", "use_case_already_exists")
        sql.execute(
            use_cases.insert().values(
                application=caller.application,
                name=body.name,
                description=body.description,
                type_version=1,
                limit_config=config,
                logging_enabled=body.logging_enabled,
            )
        )
        _configure(writer, caller, body.name, config)
        return definition(sql, caller.application, body.name)

    return Answer(_definition(await writer.run(action)))


@router.get("")
def listing(
    caller: Reader, sql: Reading, asked: Annotated[Paging, Depends()], use_case_name: str | None = None
) -> Answer:
    """The definitions, page by page."""
    query = select(use_cases).where(use_cases.c.application == caller.application)
    if use_case_name is not None:
        query = query.where(use_cases.c.name == use_case_name)
    return Answer(page(sql, query, use_cases.c.id, asked, _definition))


@router.get("/{use_case_name:segment}")
def retrieve(use_case_name: str, caller: Reader, sql: Reading) -> Answer:
    """One definition."""
    return Answer(_definition(definition(sql, caller.application, use_case_name)))


@router.put("/{use_case_name:segment}")
async def update(use_case_name: str, body: ChangedDefinition, caller: Manager, writer: Writing) -> Answer:
    """Change the description, or whether texts are logged; we never log them."""
    values = {name: value for name, value in body.model_dump().items() if value is not None}
    return await _changed(caller, use_case_name, writer, lambda sql, row: values)


@router.delete("/{use_case_name:segment}")
async def delete(use_case_name: str, caller: Manager, writer: Writing) -> Answer:
    """Delete a definition with its KPIs and instances and their limit; its events stay, and another would define it anew."""

    def action(sql: Connection) -> Row[Any]:
        row = definition(sql, caller.application, use_case_name)
        for table in (scores, kpis, instances):
            mine = table.c.application == caller.application
            sql.execute(table.delete().where(mine, table.c.use_case == use_case_name))
        sql.execute(use_cases.delete().where(use_cases.c.id == row.id))
        writer.known.defined.end(caller.name, use_case_name, None)
        return row

    return Answer(_definition(await writer.run(action)))


@router.post("/{use_case_name:segment}/increment_version")
async def increment_version(use_case_name: str, caller: Manager, writer: Writing) -> Answer:
    """Begin the next version: new instances belong to it."""

    def next_version(sql: Connection, row: Row[Any]) -> dict[str, Any]:
        if row.type_version >= 2**31 - 1:
            raise ApiError(400, "the version is the highest there is")
        return {"type_version": row.type_version + 1}

    return await _changed(caller, use_case_name, writer, next_version)


@router.post("/{use_case_name:segment}/limit_config")
async def create_limit_config(use_case_name: str, body: LimitConfig, caller: Manager, writer: Writing) -> Answer:
    """Give each instance a limit of its own; what is configured already is changed, of instances that run too."""
    config = limit_columns(body)

    def change(sql: Connection, row: Row[Any]) -> dict[str, Any]:
        _configure(writer, caller, use_case_name, config)
        return {"limit_config": config}

    return await _changed(caller, use_case_name, writer, change)


@router.delete("/{use_case_name:segment}/limit_config")
async def delete_limit_config(use_case_name: str, caller: Manager, writer: Writing) -> Answer:
    """Give new instances no limit; those that have one keep it."""

    def change(sql: Connection, row: Row[Any]) -> dict[str, Any]:
        if row.limit_config is not None:
            only = partial(instance_limits.keys, sql, caller.application, use_case_name)
            writer.known.defined.end(caller.name, use_case_name, only)
        return {"limit_config": None}

    return await _changed(caller, use_case_name, writer, change)


def definition(sql: Connection, application: int, name: str) -> Row[Any]:
    """A definition's row.

    Raises:
        ApiError: There is none.
    """
    row = _row(sql, application, name)
    if row is None:
        raise not_found("use case", name, "use_case_not_found")
    return row


def use_case(row: Row[Any]) -> UseCase:
    """A row as events need it."""
    return UseCase(row.type_version, row.limit_config)


def _row(sql: Connection, application: int, name: str) -> Row[Any] | None:
    query = select(use_cases).where(use_cases.c.application == application, use_cases.c.name == name)
    return sql.execute(query).one_or_none()


def _configure(writer: Writer, caller: Caller, name: str, config: dict[str, Any] | None) -> None:
    """Have the ledger know what limit instances get. In the writer's thread."""
    if config is not None:
        writer.known.defined.configure(caller.name, name, config, anew=True)


_Change: TypeAlias = Callable[[Connection, Row[Any]], dict[str, Any]]


async def _changed(caller: Caller, name: str, writer: Writer, change: _Change) -> Answer:
    """A definition with what `change` makes of its row."""

    def action(sql: Connection) -> Row[Any]:
        row = definition(sql, caller.application, name)
        values = change(sql, row)
        if values:
            sql.execute(use_cases.update().where(use_cases.c.id == row.id).values(**values))
        return definition(sql, caller.application, name)

    return Answer(_definition(await writer.run(action)))


def _definition(row: Row[Any]) -> dict[str, Any]:
    config = row.limit_config
    if config is not None:
        config = {
            "max": money(config["max_ticks"]),
            "limit_type": config["limit_type"],
            "threshold": config["threshold"],
            "properties": config["properties"],
        }
    return {
        "request_id": new_request_id(),
        "name": row.name,
        "description": row.description,
        "type_version": row.type_version,
        "limit_config": config,
        "logging_enabled": row.logging_enabled,
    }
