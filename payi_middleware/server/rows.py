"""What the resources have in common: ids of answers, money and properties between rows and JSON."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from ..events import format_id
from ..record import new_id
from ..values import plain, usd
from .errors import ApiError

__all__ = ["MOST_PROPERTIES", "Name", "Properties", "Text", "Time", "merged", "money", "new_request_id"]

MOST_PROPERTIES = 64

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("control characters")
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:  # which PostgreSQL keeps in no text
        raise ValueError("NUL characters")
    return text


def _is_text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a time is told as text")
    return value


Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_plain)]
"""A short line of text."""
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_without_nul)]
"""A description."""
Time: TypeAlias = Annotated[datetime.datetime, BeforeValidator(_is_text)]
"""ISO 8601; no number, which would be guessed at."""

_Value: TypeAlias = Annotated[str, StringConstraints(max_length=1024)]
Properties: TypeAlias = Annotated[dict[Name, _Value | None], Field(max_length=MOST_PROPERTIES)]
"""A map of text to text; None clears a key."""


def new_request_id() -> str:
    """An id for an answer."""
    return format_id(new_id(time.time_ns()))


def money(ticks: int) -> Decimal:
    """Ticks as a JSON number of USD, without needless zeros."""
    return plain(usd(ticks))


def merged(known: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Properties with others laid over them.

    Raises:
        ApiError: They are too many together.
    """
    both = {key: value for key, value in {**known, **more}.items() if value is not None}
    if len(both) > MOST_PROPERTIES:
        raise ApiError(400, f"properties: more than {MOST_PROPERTIES} together")
    return both
