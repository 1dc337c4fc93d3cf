"""KPIs of a use case: what its instances are scored by."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row, select

from ..errors import Answer, ApiError, not_found
from ..moments import told
from ..paging import Paging, page
from ..rows import Name, Text, new_request_id
from ..serving import Manager, Reader, Reading, Writing
from ..tables import kpis, scores
from .use_cases import definition

__all__ = ["KpiType", "kpi", "router"]

router = APIRouter(prefix="/api/v1/use_cases/definitions/{use_case_name:segment}/kpis", tags=["use cases"])

KpiType: TypeAlias = Literal["boolean", "number", "percentage", "likert5", "likert7", "likert10"]

_Goal: TypeAlias = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class NewKpi(BaseModel):
    """A KPI to be defined; its name and type are fixed."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Text
    kpi_type: KpiType
    goal: _Goal


class ChangedKpi(BaseModel):
    """What of a KPI may change."""

    model_config = ConfigDict(extra="forbid")

    description: Text | None = None
    goal: _Goal | None = None


@router.post("")
async def create(use_case_name: str, body: NewKpi, caller: Manager, writer: Writing) -> Answer:
    """Define a KPI of a use case."""

    def action(sql: Connection) -> Row[Any]:
        definition(sql, caller.application, use_case_name)
        if _row(sql, caller.application, use_case_name, body.name) is not None:
            raise ApiError(400, f"name: {body.name!r} is defined already", "kpi_already_exists")
        sql.execute(
            kpis.insert().values(
                application=caller.application,
                use_case=use_case_name,
                created_ns=time.time_ns(),
                **body.model_dump(),
            )
        )
        return kpi(sql, caller.application, use_case_name, body.name)

    return Answer(_kpi(await writer.run(action)))


@router.get("")
def listing(
    use_case_name: str,
    caller: Reader,
    sql: Reading,
    asked: Annotated[Paging, Depends()],
    kpi_name: str | None = None,
) -> Answer:
    """The KPIs of a use case, page by page."""
    definition(sql, caller.application, use_case_name)
    query = select(kpis).where(kpis.c.application == caller.application, kpis.c.use_case == use_case_name)
    if kpi_name is not None:
        query = query.where(kpis.c.name == kpi_name)
    return Answer(page(sql, query, kpis.c.id, asked, _kpi))


@router.get("/{kpi_name:segment}")
def retrieve(use_case_name: str, kpi_name: str, caller: Reader, sql: Reading) -> Answer:
    """One KPI."""
    return Answer(_kpi(kpi(sql, caller.application, use_case_name, kpi_name)))


@router.put("/{kpi_name:segment}")
async def update(use_case_name: str, kpi_name: str, body: ChangedKpi, caller: Manager, writer: Writing) -> Answer:
    """Change the description or the goal."""

    def action(sql: Connection) -> Row[Any]:
        row = kpi(sql, caller.application, use_case_name, kpi_name)
        values = {name: value for name, value in body.model_dump().items() if value is not None}
        sql.execute(kpis.update().where(kpis.c.id == row.id).values(updated_ns=time.time_ns(), **values))
        return kpi(sql, caller.application, use_case_name, kpi_name)

    return Answer(_kpi(await writer.run(action)))


@router.delete("/{kpi_name:segment}")
async def delete(use_case_name: str, kpi_name: str, caller: Manager, writer: Writing) -> Answer:
    """Delete a KPI and its scores."""

    def action(sql: Connection) -> Row[Any]:
        row = kpi(sql, caller.application, use_case_name, kpi_name)
        which = (scores.c.application == caller.application, scores.c.use_case == use_case_name)
        sql.execute(scores.delete().where(*which, scores.c.kpi_name == kpi_name))
        sql.execute(kpis.delete().where(kpis.c.id == row.id))
        return row

    return Answer(_kpi(await writer.run(action)))


def kpi(sql: Connection, application: int, use_case_name: str, name: str) -> Row[Any]:
    """A KPI's row.

    Raises:
        ApiError: There is none.
    """
    row = _row(sql, application, use_case_name, name)
    if row is None:
        raise not_found("KPI", name, "kpi_not_found")
    return row


def _row(sql: Connection, application: int, use_case_name: str, name: str) -> Row[Any] | None:
    which = (kpis.c.application == application, kpis.c.use_case == use_case_name, kpis.c.name == name)
    return sql.execute(select(kpis).where(*which)).one_or_none()


def _kpi(row: Row[Any]) -> dict[str, Any]:
    return {
        "request_id": new_request_id(),
        "name": row.name,
        "kpi_name": row.name,  # the client's model of a listing, which it shares with scores, reads it by this name
        "description": row.description,
        "kpi_type": row.kpi_type,
        "goal": row.goal,
        "created_timestamp": told(row.created_ns),
        "updated_timestamp": told(row.updated_ns),
    }
