"""Limits: made, read, changed, reset. They and what is counted are the ledger's; what is charged comes with events (`settling`)."""

from __future__ import annotations

import datetime
import threading
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from ...exceptions import LimitError
from ...limits.ledger import Account, Ledger, Totals
from ...limits.limit import Definition
from .. import instance_limits
from ..errors import Answer, ApiError, not_found
from ..instance_limits import Found
from ..keys import Caller
from ..limit_bodies import ChangedLimit, NewLimit, changed, made
from ..limit_json import account_json, history_json, limit_json
from ..moments import ns_of
from ..paging import Paging, listed
from ..rows import Properties, merged, new_request_id
from ..serving import Counting, Manager, Reader, Reading, Writing
from ..writer import Writer

__all__ = ["NewProperties", "router"]

router = APIRouter(prefix="/api/v1/limits", tags=["limits"])

_changing = threading.Lock()
"""Between looking at a limit and changing it, no other request of this process changes one."""


class NewProperties(BaseModel):
    """Properties to be laid over those there are."""

    model_config = ConfigDict(extra="forbid")

    properties: Properties


@router.post("")
def create(body: NewLimit, caller: Manager, ledger: Counting, writer: Writing) -> Answer:
    """Make a limit. The same id with the same maximum and threshold is the same limit."""
    definition = made(body, caller.name)
    with _changing:
        found = _known(ledger, caller, definition.limit_id)
        if found is None:
            new = _defined(ledger, definition, writer)
            found = Found(new, new)
        limit, told = definition.limit, found.told.limit
        if (told.most, told.threshold) != (limit.most, limit.threshold):
            raise ApiError(
                400,
                f"limit_id: {definition.limit_id!r} exists with another max or threshold",
                "create_limit_validation_failed",
            )
    return Answer(_response(ledger, found))


@router.get("")
def listing(
    caller: Reader, ledger: Counting, sql: Reading, asked: Annotated[Paging, Depends()], limit_name: str | None = None
) -> Answer:
    """The limits, page by page; of instances of use cases those that were begun last."""
    definitions = ledger.definitions(caller.name)
    every = [Found(one, one) for one in definitions.limits if not one.is_of_instances]
    every += instance_limits.latest(sql, caller.application, definitions)
    found = [one for one in every if limit_name in (None, one.told.limit.name)]
    return Answer(listed(found, _place, asked, lambda one: _limit(ledger, one)))


@router.get("/{limit_id:segment}")
def retrieve(limit_id: str, caller: Reader, ledger: Counting) -> Answer:
    """One limit with its totals."""
    return Answer(_response(ledger, _found(ledger, caller, limit_id)))


@router.get("/{limit_id:segment}/accounts")
def accounts(limit_id: str, caller: Reader, ledger: Counting, asked: Annotated[Paging, Depends()]) -> Answer:
    """The accounts of a limit that are running, page by page, dearest first.

    One whose spending moves it while pages are read may be told twice, or not at all.
    """
    found = _found(ledger, caller, limit_id)
    limit, running = found.told.limit, _running(ledger, found)
    place = lambda one: f"{one.spent + (1 << 63):020d}{one.key}"  # noqa: E731 - texts in the order of numbers
    return Answer(listed(running, place, asked, lambda one: account_json(limit, one)))


@router.put("/{limit_id:segment}")
def update(limit_id: str, body: ChangedLimit, caller: Manager, ledger: Counting, writer: Writing) -> Answer:
    """Change a limit; its maximum cannot go below what is spent, of an account that has spent the most.

    Of a limit that code made, the change stays until the code says something else of it, and `message` says so.
    """
    with _changing:
        definition = changed(_own(ledger, caller, limit_id), body)
        spent = max((one.spent for one in ledger.totals(caller.name, limit_id)), default=0)
        if body.max is not None and definition.limit.most < spent:
            raise ApiError(400, "max: below what is spent already", "invalid_max_limit_update")
        definition = _defined(ledger, definition, writer)
    message = (
        "made by code: this change stays until the code says something else of it" if definition.is_codes else None
    )
    return Answer(_response(ledger, Found(definition, definition)) | {"message": message})


@router.delete("/{limit_id:segment}")
def delete(limit_id: str, caller: Manager, ledger: Counting, writer: Writing) -> Answer:
    """Delete a limit; its history stays. Of an instance's own what was counted is deleted: what calls then begins anew."""
    found = _found(ledger, caller, limit_id)
    if found.key is not None:
        ledger.forget(caller.name, Account(found.kept.limit_id, found.key))
    else:
        ledger.remove(caller.name, _own(ledger, caller, limit_id).limit_id)
        writer.limits_changed()
    return Answer({"request_id": new_request_id(), "message": "deleted"})


@router.post("/{limit_id:segment}/reset")
def reset(
    limit_id: str,
    caller: Manager,
    ledger: Counting,
    reset_date: Annotated[datetime.datetime | None, Query(alias="resetDate")] = None,
) -> Answer:
    """Start a limit anew, all its accounts; what they had come to is kept and told. A date given is the time that is told."""
    found = _found(ledger, caller, limit_id)
    at = ledger.now_ns() if reset_date is None else ns_of(reset_date)
    if not 0 <= at < 1 << 62:
        raise ApiError(400, "resetDate: out of range", "update_limit_validation_failed")
    history = history_json(found.told, ledger.reset(caller.name, found.kept.limit_id, found.key), at)
    return Answer({"request_id": new_request_id(), "message": None, "limit_history": history})


@router.put("/{limit_id:segment}/properties")
def update_properties(limit_id: str, body: NewProperties, caller: Manager, ledger: Counting, writer: Writing) -> Answer:
    """Lay properties over those there are; null clears one. Pay-i answers with an array."""
    with _changing:
        definition = _own(ledger, caller, limit_id)
        properties = merged(definition.properties, body.properties)
        definition = _defined(ledger, msgspec.structs.replace(definition, properties=properties), writer)
    return Answer([_response(ledger, Found(definition, definition))])


create.malformed = "create_limit_validation_failed"  # type: ignore[attr-defined]
update.malformed = "update_limit_validation_failed"  # type: ignore[attr-defined]


def _known(ledger: Ledger, caller: Caller, limit_id: str) -> Found | None:
    return instance_limits.found(ledger.definitions(caller.name), limit_id)


def _found(ledger: Ledger, caller: Caller, limit_id: str) -> Found:
    found = _known(ledger, caller, limit_id)
    if found is None:
        raise not_found("limit", limit_id, "limit_not_found")
    return found


def _own(ledger: Ledger, caller: Caller, limit_id: str) -> Definition:
    """A limit that can be changed as such."""
    found = _found(ledger, caller, limit_id)
    if found.is_configured:
        use_case = found.kept.limit.match["use_case_name"]
        raise ApiError(
            400,
            f"limit_id: {limit_id!r} is as the limit_config of use case {use_case!r} says; change that",
            "update_limit_validation_failed",
        )
    return found.kept


def _defined(ledger: Ledger, definition: Definition, writer: Writer) -> Definition:
    try:
        made = ledger.define(definition)
        writer.limits_changed()
        return made
    except LimitError:
        name = definition.limit.name
        raise ApiError(400, f"limit_name: {name!r} is another limit's", "limit_name_already_exist") from None


def _place(found: Found) -> str:
    return f"{found.told.created_ns:020d}{found.told.limit_id}"


def _limit(ledger: Ledger, found: Found) -> dict[str, Any]:
    return limit_json(found.told, _running(ledger, found))


def _running(ledger: Ledger, found: Found) -> list[Totals]:
    """The running rows of its accounts, or of the one; that of an instance is in no window."""
    totals = ledger.totals(found.kept.application, found.kept.limit_id, found.key)
    return totals if found.key is None else [one._replace(key="", starts_ns=None) for one in totals]


def _response(ledger: Ledger, found: Found) -> dict[str, Any]:
    return {"request_id": new_request_id(), "message": None, "limit": _limit(ledger, found)}
