"""Instances of use cases: one run each, with its limit, properties and scores.

An instance that only events name has no row; whoever scores or describes it makes one.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row, select

from ...events import format_id
from ...record import new_id
from ..errors import Answer, ApiError, not_found
from ..instance_limits import told_of_row
from ..keys import Caller
from ..moments import told
from ..paging import Paging, page
from ..rows import merged, new_request_id
from ..serving import Owner, Reading, Sender, Writing
from ..tables import instances, kpis, scores
from ..writer import Writer
from .kpis import kpi
from .limits import NewProperties
from .use_cases import definition, use_case

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/use_cases/instances/{use_case_name:segment}", tags=["use cases"])

_HIGHEST = {"likert5": 5, "likert7": 7, "likert10": 10}


class NewScore(BaseModel):
    """A score; null takes it back."""

    model_config = ConfigDict(extra="forbid")

    score: Annotated[bool, Field(strict=True)] | Annotated[float, Field(allow_inf_nan=False, strict=True)] | None = None


@router.post("")
async def create(use_case_name: str, caller: Sender, writer: Writing) -> Answer:
    """Begin an instance."""
    use_case_id = format_id(new_id(time.time_ns()))
    return Answer(
        _instance(await writer.run(lambda sql: _instance_row(sql, writer, caller, use_case_name, use_case_id)))
    )


@router.get("/{use_case_id:segment}")
def retrieve(use_case_name: str, use_case_id: str, caller: Owner, sql: Reading) -> Answer:
    """One instance."""
    return Answer(_instance(_found(sql, caller.application, use_case_name, use_case_id)))


@router.delete("/{use_case_id:segment}")
async def delete(use_case_name: str, use_case_id: str, caller: Sender, writer: Writing) -> Answer:
    """Delete an instance with its scores; its events and its limit stay."""

    def action(sql: Connection) -> Row[Any]:
        row = _found(sql, caller.application, use_case_name, use_case_id)
        sql.execute(scores.delete().where(*_scores_of(caller.application, use_case_name, use_case_id)))
        sql.execute(instances.delete().where(instances.c.id == row.id))
        return row

    return Answer(_instance(await writer.run(action)))


@router.put("/{use_case_id:segment}/properties")
async def update_properties(
    use_case_name: str, use_case_id: str, body: NewProperties, caller: Sender, writer: Writing
) -> Answer:
    """Lay properties over those there are; null clears one."""

    def action(sql: Connection) -> Row[Any]:
        row = _instance_row(sql, writer, caller, use_case_name, use_case_id)
        properties = merged(row.properties, body.properties)
        sql.execute(instances.update().where(instances.c.id == row.id).values(properties=properties))
        return _found(sql, caller.application, use_case_name, use_case_id)

    return Answer(_instance(await writer.run(action)))


@router.get("/{use_case_id:segment}/kpis")
def list_scores(
    use_case_name: str,
    use_case_id: str,
    caller: Owner,
    sql: Reading,
    asked: Annotated[Paging, Depends()],
    kpi_name: str | None = None,
) -> Answer:
    """The scores of an instance, page by page; none for one that nobody has scored."""
    definition(sql, caller.application, use_case_name)
    query = (
        select(scores, kpis.c.kpi_type)
        .join(
            kpis,
            (kpis.c.application == scores.c.application)
            & (kpis.c.use_case == scores.c.use_case)
            & (kpis.c.name == scores.c.kpi_name),
        )
        .where(*_scores_of(caller.application, use_case_name, use_case_id))
    )
    if kpi_name is not None:
        query = query.where(scores.c.kpi_name == kpi_name)
    return Answer(page(sql, query, scores.c.id, asked, _score))


@router.put("/{use_case_id:segment}/kpis/{kpi_name:segment}")
async def score(
    use_case_name: str, use_case_id: str, kpi_name: str, body: NewScore, caller: Sender, writer: Writing
) -> Answer:
    """Score an instance by a KPI."""

    def action(sql: Connection) -> None:
        by = kpi(sql, caller.application, use_case_name, kpi_name)
        value = _value(body.score, by.kpi_type)
        _instance_row(sql, writer, caller, use_case_name, use_case_id)
        which = (*_scores_of(caller.application, use_case_name, use_case_id), scores.c.kpi_name == kpi_name)
        now = time.time_ns()
        if sql.execute(scores.update().where(*which).values(score=value, updated_ns=now)).rowcount:
            return
        sql.execute(
            scores.insert().values(
                application=caller.application,
                use_case=use_case_name,
                use_case_id=use_case_id,
                kpi_name=kpi_name,
                score=value,
                created_ns=now,
            )
        )

    await writer.run(action)
    return Answer({"request_id": new_request_id()})


def _value(score: bool | float | None, kpi_type: str) -> float | None:
    """A score as it is kept.

    Raises:
        ApiError: It is not one of its type.
    """
    if score is None:
        return None
    if kpi_type == "boolean":
        if score not in (0, 1):
            raise ApiError(400, "score: a boolean KPI takes true or false")
    elif isinstance(score, bool):
        raise ApiError(400, f"score: a KPI of type {kpi_type} takes a number")
    highest = _HIGHEST.get(kpi_type)
    if highest is not None and not (score == int(score) and 1 <= score <= highest):
        raise ApiError(400, f"score: a KPI of type {kpi_type} takes a whole number from 1 to {highest}")
    return float(score)


def _row(sql: Connection, application: int, name: str, use_case_id: str) -> Row[Any] | None:
    which = (
        instances.c.application == application,
        instances.c.use_case == name,
        instances.c.use_case_id == use_case_id,
    )
    return sql.execute(select(instances).where(*which)).one_or_none()


def _found(sql: Connection, application: int, name: str, use_case_id: str) -> Row[Any]:
    row = _row(sql, application, name, use_case_id)
    if row is None:
        definition(sql, application, name)
        raise not_found("instance", use_case_id, "use_case_instance_not_found")
    return row


def _instance_row(sql: Connection, writer: Writer, caller: Caller, name: str, use_case_id: str) -> Row[Any]:
    """The row of an instance, made if it has none. In the writer's thread."""
    application = caller.application
    row = _row(sql, application, name, use_case_id)
    if row is not None:
        return row
    if not use_case_id.isprintable() or len(use_case_id) > 256:
        raise ApiError(400, "use_case_id: not 1 to 256 printable characters")
    writer.known.make_instance(caller, name, use_case_id, use_case(definition(sql, application, name)))
    return _found(sql, application, name, use_case_id)


def _scores_of(application: int, name: str, use_case_id: str) -> tuple[Any, ...]:
    return scores.c.application == application, scores.c.use_case == name, scores.c.use_case_id == use_case_id


def _instance(row: Row[Any]) -> dict[str, Any]:
    return {
        "use_case_id": row.use_case_id,
        "use_case_name": row.use_case,
        "type_version": row.type_version,
        "limit_id": told_of_row(row.use_case, row.use_case_id, row.limit_id),
        "properties": row.properties,
    }


def _score(row: Row[Any]) -> dict[str, Any]:
    return {
        "kpi_name": row.kpi_name,
        "kpi_type": row.kpi_type,
        "score": row.score,
        "create_timestamp": told(row.created_ns),
        "update_timestamp": told(row.updated_ns),
    }
