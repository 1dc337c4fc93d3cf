"""Categories and resources: what is priced by an application's own dated prices, and what by the providers' rates.

A category is there while it has a resource. Each version of a resource holds from a midnight UTC until the next one's.
Those of the providers (`managed`) are everybody's, and nobody's to change.
"""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Row, Select, bindparam, func, select

from ...events import format_id
from ...record import new_id
from ..errors import Answer, ApiError, not_found
from ..managed import MANAGED
from ..moments import midnight, ns_of, told
from ..paging import Paging, joined, page, page_of
from ..rows import Name, Time
from ..serving import Manager, Managing, Reader, Reading, Writing
from ..tables import resources

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/categories", tags=["categories"])

_MOST_UNITS = 64
_MOST_VERSIONS = 1000

_PLACES = 40  # of a price; a tiny one in exponents would be spelt out to millions of zeros


def _spelt_out(price: Decimal) -> Decimal:
    exponent = price.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -_PLACES:
        raise ValueError(f"more than {_PLACES} decimal places")
    return price


_Price = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False), AfterValidator(_spelt_out)]
_Count = Annotated[int, Field(ge=0, lt=1 << 62, strict=True)]


class UnitPrices(BaseModel):
    """USD for a single unit."""

    model_config = ConfigDict(extra="forbid")

    input_price: _Price | None = None
    output_price: _Price | None = None


class NewResource(BaseModel):
    """A version of a resource to be made."""

    model_config = ConfigDict(extra="forbid")

    units: Annotated[dict[Name, UnitPrices], Field(min_length=1, max_length=_MOST_UNITS)]
    max_input_units: _Count | None = None
    max_output_units: _Count | None = None
    max_total_units: _Count | None = None
    start_timestamp: Time | None = None


@router.get("")
def categories(
    caller: Reader,
    sql: Reading,
    managed: Managing,
    asked: Annotated[Paging, Depends()],
    active: Annotated[bool | None, Query(alias="Active")] = None,
) -> Answer:
    """The categories that the application has resources in, and those that are managed, which all have active ones."""
    some = _versions(caller.application, active).subquery()
    grouped = select(some.c.category, func.min(some.c.id).label("id")).group_by(some.c.category).subquery()
    return Answer(
        joined(
            asked,
            lambda asked: page(sql, select(grouped), grouped.c.id, asked, lambda row: {"category": row.category}),
            lambda asked: page_of(
                () if active is False else managed.categories(asked), asked, lambda name: {"category": name}
            ),
        )
    )


@router.delete("/{category:segment}")
async def delete_category(category: str, caller: Manager, writer: Writing) -> Answer:
    """Delete a category with all its resources, which are told in an array."""
    return await _deleted(caller.application, writer, category, None, None)


@router.get("/{category:segment}/resources")
def in_category(
    category: str,
    caller: Reader,
    sql: Reading,
    managed: Managing,
    asked: Annotated[Paging, Depends()],
    active: Annotated[bool | None, Query(alias="Active")] = None,
) -> Answer:
    """The resources of a category, each version."""
    if category.startswith(MANAGED):
        now = time.time_ns()
        found = managed.resources(category, asked, now, active)
        return Answer(page_of(found, asked, lambda version: version.to_dict(now)))
    some = _versions(caller.application, active, category).subquery()
    return Answer(page(sql, select(some), some.c.id, asked, _resource))


@router.post("/{category:segment}/resources/{resource:segment}")
async def create(category: str, resource: str, body: NewResource, caller: Manager, writer: Writing) -> Answer:
    """Make a version of a resource, and with it the resource and its category where they are new."""
    _refuse_managed(category)
    _check_name("category", category)
    _check_name("resource", resource)
    start = time.time_ns() if body.start_timestamp is None else ns_of(body.start_timestamp)
    if not 0 <= start < 1 << 62:
        raise ApiError(400, "start_timestamp: out of range")
    units = {
        name: {side: None if price is None else format(price, "f") for side, price in prices.model_dump().items()}
        for name, prices in body.units.items()
    }

    def action(sql: Connection) -> Row[Any]:
        mine = _of(caller.application, category, resource)
        if sql.execute(select(func.count()).where(*mine)).scalar_one() >= _MOST_VERSIONS:
            raise ApiError(400, f"{resource!r} has {_MOST_VERSIONS} versions already")
        resource_id = format_id(new_id(time.time_ns()))
        sql.execute(
            resources.insert().values(
                application=caller.application,
                category=category,
                resource=resource,
                resource_id=resource_id,
                start_ns=midnight(start),
                units=units,
                max_input_units=body.max_input_units,
                max_output_units=body.max_output_units,
                max_total_units=body.max_total_units,
            )
        )
        return _one(sql, caller.application, category, resource, resource_id)

    return Answer(_resource(await writer.run(action)))


@router.get("/{category:segment}/resources/{resource:segment}")
def versions(
    category: str,
    resource: str,
    caller: Reader,
    sql: Reading,
    managed: Managing,
    asked: Annotated[Paging, Depends()],
    active: Annotated[bool | None, Query(alias="Active")] = None,
) -> Answer:
    """All versions of a resource."""
    if category.startswith(MANAGED):
        now = time.time_ns()
        found = managed.versions(category, resource, asked, now, active)
        return Answer(page_of(found, asked, lambda version: version.to_dict(now)))
    some = _versions(caller.application, active, category, resource).subquery()
    return Answer(page(sql, select(some), some.c.id, asked, _resource))


@router.delete("/{category:segment}/resources/{resource:segment}")
async def delete_resource(category: str, resource: str, caller: Manager, writer: Writing) -> Answer:
    """Delete all versions of a resource, which are told in an array."""
    return await _deleted(caller.application, writer, category, resource, None)


@router.get("/{category:segment}/resources/{resource:segment}/{resource_id:segment}")
def retrieve(category: str, resource: str, resource_id: str, caller: Reader, sql: Reading, managed: Managing) -> Answer:
    """One version of a resource."""
    if category.startswith(MANAGED):
        now = time.time_ns()
        some = managed.all_versions(category, resource, now)
        version = next((version for version in some if version.resource_id == resource_id), None)
        if version is None:
            raise not_found("resource", resource_id, "category_resource_not_found")
        return Answer(version.to_dict(now))
    return Answer(_resource(_one(sql, caller.application, category, resource, resource_id)))


@router.delete("/{category:segment}/resources/{resource:segment}/{resource_id:segment}")
async def delete(category: str, resource: str, resource_id: str, caller: Manager, writer: Writing) -> Answer:
    """Delete one version; the one before it holds on."""
    return await _deleted(caller.application, writer, category, resource, resource_id)


def _refuse_managed(category: str) -> None:
    if category.startswith(MANAGED):
        raise ApiError(
            403, f"{MANAGED}* is managed: its prices are those of the providers; name a category of your own"
        )


def _check_name(what: str, name: str) -> None:
    if not name.isprintable() or len(name) > 256 or name != name.strip() or not name:
        raise ApiError(400, f"{what}: not 1 to 256 printable characters")


def _of(application: int, category: str | None, resource: str | None) -> list[Any]:
    which = [resources.c.application == application]
    if category is not None:
        which.append(resources.c.category == category)
    if resource is not None:
        which.append(resources.c.resource == resource)
    return which


def _versions(
    application: int, active: bool | None, category: str | None = None, resource: str | None = None
) -> Select[Any]:
    """Versions with their end, which is the next one's start; `active` picks those that hold now, or do not."""
    of_name = {
        "partition_by": (resources.c.category, resources.c.resource),
        "order_by": (resources.c.start_ns, resources.c.id),
    }
    end = func.lead(resources.c.start_ns).over(**of_name).label("end_ns")  # type: ignore[arg-type]
    every = select(resources, end).where(*_of(application, category, resource)).subquery()
    if active is None:
        return select(every)
    now = time.time_ns()
    holds = (every.c.start_ns <= now) & (every.c.end_ns.is_(None) | (every.c.end_ns > now))
    return select(every).where(holds if active else ~holds)


def _one(sql: Connection, application: int, category: str, resource: str, resource_id: str) -> Row[Any]:
    some = _versions(application, None, category, resource).subquery()
    row = sql.execute(select(some).where(some.c.resource_id == resource_id)).one_or_none()
    if row is None:
        raise not_found("resource", resource_id, "category_resource_not_found")
    return row


async def _deleted(
    application: int, writer: Writing, category: str, resource: str | None, resource_id: str | None
) -> Answer:
    """Delete versions; all that are meant are told, the one that is named alone."""
    _refuse_managed(category)

    def action(sql: Connection) -> list[dict[str, Any]]:
        some = _versions(application, None, category, resource).subquery()
        query = select(some).order_by(some.c.id)
        if resource_id is not None:
            query = query.where(some.c.resource_id == resource_id)
        rows = sql.execute(query).all()
        if not rows:
            what = "category" if resource is None else "resource"
            code = "category_not_found" if resource is None else "category_resource_not_found"
            raise not_found(what, resource_id or resource or category, code)
        # Each by itself: a list of parameters has an end.
        sql.execute(resources.delete().where(resources.c.id == bindparam("number")), [{"number": r.id} for r in rows])
        return [_resource(row) for row in rows]

    gone = await writer.run(action)
    return Answer(gone if resource_id is None else gone[0])


def _resource(row: Row[Any]) -> dict[str, Any]:
    now = time.time_ns()
    return {
        "resource_id": row.resource_id,
        "category": row.category,
        "resource": row.resource,
        "active": row.start_ns <= now and (row.end_ns is None or now < row.end_ns),
        "proxy_allowed": False,
        "start_timestamp": told(row.start_ns),
        "end_timestamp": told(row.end_ns),
        "units": {
            name: {side: None if price is None else Decimal(price).normalize() for side, price in prices.items()}
            for name, prices in row.units.items()
        },
        "max_input_units": row.max_input_units,
        "max_output_units": row.max_output_units,
        "max_total_units": row.max_total_units,
    }
