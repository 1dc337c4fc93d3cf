"""Listings page by page. A cursor is the place of the last item told, and means nothing without the key's application."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from fastapi import Query
from sqlalchemy import Connection, Row, Select
from sqlalchemy.sql.elements import ColumnElement

from .errors import ApiError
from .rows import new_request_id

__all__ = ["MOST", "Paging", "listed", "page"]

T = TypeVar("T")

USUAL, MOST = 100, 1000  # rows of a page; Pay-i documents neither


class Paging:
    """What every listing may be asked with."""

    def __init__(
        self,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = USUAL,
        sort_ascending: bool = False,
    ) -> None:
        self._cursor = cursor or None
        self.size = limit
        self.ascending = sort_ascending

    @property
    def after(self) -> int | None:
        """The number of the last row told.

        Raises:
            ApiError: The cursor is no page's.
        """
        return None if self._cursor is None else _number(self._cursor)

    @property
    def after_place(self) -> str | None:
        """The same of items whose places are texts."""
        return None if self._cursor is None else _place(self._cursor)


def page(
    sql: Connection, query: Select[Any], key: ColumnElement[int], asked: Paging, shape: Callable[[Row[Any]], Any]
) -> dict[str, Any]:
    """One page in Pay-i's envelope, newest first unless asked otherwise. The rows of `query` have an `id` that is `key`."""
    after = asked.after
    if after is not None:
        query = query.where(key > after if asked.ascending else key < after)
    query = query.order_by(key.asc() if asked.ascending else key.desc()).limit(asked.size + 1)
    rows = sql.execute(query).all()
    shown = rows[: asked.size]
    cursor = _cursor(shown[-1].id) if len(rows) > asked.size else None
    return {"request_id": new_request_id(), "cursor": cursor, "items": [shape(row) for row in shown]}


def listed(items: Iterable[T], place: Callable[[T], str], asked: Paging, shape: Callable[[T], Any]) -> dict[str, Any]:
    """The same of items that are no rows of ours: in the order of their places, which are texts, the last first."""
    after = asked.after_place
    placed = sorted(((place(item), item) for item in items), key=lambda one: one[0], reverse=not asked.ascending)
    if after is not None:
        placed = [one for one in placed if (one[0] > after if asked.ascending else one[0] < after)]
    shown = placed[: asked.size]
    cursor = _encoded(b"t" + shown[-1][0].encode()) if len(placed) > asked.size else None
    return {"request_id": new_request_id(), "cursor": cursor, "items": [shape(item) for _, item in shown]}


def _cursor(number: int) -> str:
    return _encoded(b"p" + number.to_bytes(8, "big"))


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def _number(cursor: str) -> int:
    raw = _decoded(cursor)
    if len(raw) != 9 or raw[:1] != b"p" or raw[1] & 0x80:
        raise _foreign()
    return int.from_bytes(raw[1:], "big")


def _place(cursor: str) -> str:
    raw = _decoded(cursor)
    try:
        place = raw[1:].decode()
    except UnicodeError:
        raise _foreign() from None
    if raw[:1] != b"t":
        raise _foreign()
    return place


def _decoded(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor.encode("ascii"), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def _foreign() -> ApiError:
    return ApiError(400, "cursor: not one that a page of this listing gave")
