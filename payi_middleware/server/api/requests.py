"""Requests that were ingested: their results and properties, by our id or by the provider's."""

from __future__ import annotations

import time
import uuid
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool

from ...events import CallEvent, format_id
from ...manual.items import LIMIT_TAGS
from ...once import event_id
from ..errors import Answer, ApiError, not_found
from ..keys import Caller
from ..results import result_of
from ..rows import MOST_PROPERTIES, merged
from ..serving import Owner, Reading, Sender, Writing, serving
from ..tables import request_properties
from .limits import NewProperties

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/requests", tags=["requests"])


@router.get("/provider/{category:segment}/{provider_response_id:segment}/result")
def result_by_provider(
    category: str, provider_response_id: str, request: Request, caller: Owner, sql: Reading
) -> Answer:
    """The result of a request by what its provider calls it."""
    return _result(_of_provider(request, caller, category, provider_response_id), sql)


@router.put("/provider/{category:segment}/{provider_response_id:segment}/properties")
async def properties_by_provider(
    category: str,
    provider_response_id: str,
    body: NewProperties,
    request: Request,
    caller: Sender,
    writer: Writing,
) -> Answer:
    """Lay properties over those of a request by what its provider calls it; null clears one."""
    event = await run_in_threadpool(_of_provider, request, caller, category, provider_response_id)
    return await _properties(event, body, writer)


@router.get("/{request_id:segment}/result")
def result(request_id: str, request: Request, caller: Owner, sql: Reading) -> Answer:
    """The result of a request by our id."""
    return _result(_of_id(request, caller, request_id), sql)


@router.put("/{request_id:segment}/properties")
async def properties(request_id: str, body: NewProperties, request: Request, caller: Sender, writer: Writing) -> Answer:
    """Lay properties over those of a request by our id; null clears one."""
    event = await run_in_threadpool(_of_id, request, caller, request_id)
    return await _properties(event, body, writer)


def _of_provider(request: Request, caller: Caller, category: str, provider_response_id: str) -> CallEvent:
    made = event_id(f"{caller.name}\n{category}", provider_response_id)
    return _event(request, caller, made, provider_response_id)


def _of_id(request: Request, caller: Caller, request_id: str) -> CallEvent:
    try:
        number = uuid.UUID(request_id).bytes
    except ValueError:
        raise not_found("request", request_id, "request_not_found") from None
    return _event(request, caller, number, request_id)


def _event(request: Request, caller: Caller, number: bytes, shown: str) -> CallEvent:
    event = serving(request).events.find(number)
    if event is None or event.application != caller.name:
        raise not_found("request", shown, "request_not_found")
    return event


def _result(event: CallEvent, sql: Connection) -> Answer:
    told = result_of(event)
    tags = event.attribution.limit_tags
    properties = merged(event.attribution.request_properties, _known(sql, event.event_id))
    told["properties"] = {LIMIT_TAGS: ",".join(tags)} | properties if tags else properties
    return Answer({"xproxy_result": told})


async def _properties(event: CallEvent, body: NewProperties, writer: Writing) -> Answer:
    """Keep properties beside their event, which stays as it was told."""

    def action(sql: Connection) -> None:
        known = _known(sql, event.event_id)
        # A cleared key stays as null: it also clears what the event itself tells.
        properties = {**known, **body.properties}
        merged(event.attribution.request_properties, properties)
        if len(properties) > 2 * MOST_PROPERTIES:
            raise ApiError(400, f"properties: more than {2 * MOST_PROPERTIES} were told or cleared")
        row = {"properties": properties, "updated_ns": time.time_ns()}
        which = request_properties.c.event_id == event.event_id
        if not sql.execute(request_properties.update().where(which).values(row)).rowcount:
            sql.execute(request_properties.insert().values(event_id=event.event_id, **row))

    await writer.run(action)
    return Answer({"request_id": format_id(event.event_id)})


def _known(sql: Connection, number: bytes) -> dict[str, Any]:
    query = select(request_properties.c.properties).where(request_properties.c.event_id == number)
    return sql.execute(query).scalar() or {}
