"""What a limit is made of and changed by: Pay-i's members, and ours beside them under their own names."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from ..events import format_id, usd
from ..exceptions import LimitError
from ..limits.limit import MOST, Definition, Limit, Per, Unit, check_id
from ..record import new_id
from ..values import ticks_of
from .errors import ApiError
from .limit_json import OURS
from .rows import Name, Properties, merged

__all__ = ["ChangedLimit", "LimitConfig", "NewLimit", "changed", "limit_columns", "made"]

_WRONG: Final = "create_limit_validation_failed"
_WRONGLY_CHANGED: Final = "update_limit_validation_failed"

_Max: TypeAlias = Annotated[
    Decimal,
    # The bounds are for the document alone: what is outside them has a code of its own.
    Field(allow_inf_nan=False, json_schema_extra={"exclusiveMinimum": 0, "maximum": MOST}),
]
_Share: TypeAlias = Annotated[float, Field(gt=0, le=10)]
_Names: TypeAlias = Annotated[list[Name], Field(max_length=32)]


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
    unit: Unit = "usd"
    per: Annotated[list[Per], Field(max_length=7)] = []
    window: str | None = None
    timezone: str = "UTC"
    match: Annotated[dict[Name, Name], Field(max_length=32)] = {}
    tags: _Names = []
    strict: bool = False
    on_error: Literal["open", "closed"] | None = None
    unknown_price: Literal["dearest", "block", "allow"] = "dearest"
    alerts: Annotated[list[_Share | Literal["forecast"]], Field(max_length=32)] = []


class ChangedLimit(BaseModel):
    """What of a limit may change; what is not told stays."""

    model_config = ConfigDict(extra="forbid")

    limit_name: Name | None = None
    max: _Max | None = None
    window: str | None = None
    timezone: str | None = None
    match: Annotated[dict[Name, Name], Field(max_length=32)] | None = None
    tags: _Names | None = None
    strict: bool | None = None
    on_error: Literal["open", "closed"] | None = None
    unknown_price: Literal["dearest", "block", "allow"] | None = None
    alerts: Annotated[list[_Share | Literal["forecast"]], Field(max_length=32)] | None = None


_NULLABLE = frozenset(("window", "on_error"))
"""Null is a value of these; of the others it is as if they were not told."""


def made(body: NewLimit, application: str) -> Definition:
    """The definition of a new limit.

    Raises:
        ApiError: It cannot be one.
    """
    further: dict[str, Any] = {name: getattr(body, name) for name in OURS}
    limit = _limit(
        _WRONG,
        name=body.limit_name,
        max=_most(body.max, body.unit, _WRONG),
        type=body.limit_type,
        threshold=body.threshold,
        **further,
    )
    return Definition(
        limit_id=format_id(new_id(time.time_ns())) if body.limit_id is None else _id(body.limit_id),
        application=application,
        limit=limit,
        properties=merged({}, body.properties or {}),
    )


def changed(definition: Definition, body: ChangedLimit) -> Definition:
    """A definition as a body changes it.

    Raises:
        ApiError: It cannot be so.
    """
    given = body.model_dump(exclude_unset=True)
    values = {name: value for name, value in given.items() if value is not None or name in _NULLABLE}
    if "limit_name" in values:
        values["name"] = values.pop("limit_name")
    limit = definition.limit
    if body.max is not None:
        values["max"] = _most(body.max, limit.unit, _WRONGLY_CHANGED)
    told = {name: getattr(limit, name) for name in limit.__struct_fields__} | values
    return msgspec.structs.replace(definition, limit=_limit(_WRONGLY_CHANGED, **told))


def limit_columns(body: LimitConfig) -> dict[str, Any]:
    """What is kept of the limit that instances of a use case get.

    Raises:
        ApiError: Its maximum is none.
    """
    return {
        "max_ticks": ticks_of(_most(body.max, "usd", _WRONG)),
        "limit_type": body.limit_type,
        "threshold": body.threshold,
        "properties": merged({}, body.properties or {}),
    }


def _most(most: Decimal, unit: Unit, code: str) -> Decimal:
    """The maximum of a limit; of USD to the tick."""
    if unit != "usd":
        if not 0 < most <= 10**18:
            raise ApiError(400, f"max: not above 0 and at most 10^18 {unit}", "invalid_max_limit")
        if most % 1:
            raise ApiError(400, f"max: not a whole number of {unit}", code)
        return most
    if not 0 < most <= MOST or not (ticks := ticks_of(most)):
        raise ApiError(400, f"max: not above 0 and at most {MOST} USD", "invalid_max_limit")
    return usd(ticks)


def _id(limit_id: str) -> str:
    try:
        return check_id(limit_id)
    except LimitError as error:
        raise ApiError(400, f"limit_id: {error}", "invalid_limit_id") from None


def _limit(code: str, **told: Any) -> Limit:
    try:
        return Limit(**told)
    except LimitError as error:
        raise ApiError(400, str(error), code) from None
