"""Listings page by page. A cursor is the number of the last row told, and means nothing without the key's application."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Query
from sqlalchemy import Connection, Row, Select
from sqlalchemy.sql.elements import ColumnElement

from .errors import ApiError
from .rows import new_request_id

__all__ = ["MOST", "Paging", "page"]

USUAL, MOST = 100, 1000  # rows of a page; Pay-i documents neither


class Paging:
    """What every listing may be asked with."""

    def __init__(
        self,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=0, le=MOST)] = USUAL,
        sort_ascending: bool = False,
    ) -> None:
        self.after = None if not cursor else _number(cursor)
        self.size = limit or USUAL  # Pay-i's client may ask for 0, which its schema allows
        self.ascending = sort_ascending


def page(
    sql: Connection, query: Select[Any], key: ColumnElement[int], asked: Paging, shape: Callable[[Row[Any]], Any]
) -> dict[str, Any]:
    """One page in Pay-i's envelope, newest first unless asked otherwise. The rows of `query` have an `id` that is `key`."""
    if asked.after is not None:
        query = query.where(key > asked.after if asked.ascending else key < asked.after)
    query = query.order_by(key.asc() if asked.ascending else key.desc()).limit(asked.size + 1)
    rows = sql.execute(query).all()
    shown = rows[: asked.size]
    cursor = _cursor(shown[-1].id) if len(rows) > asked.size else None
    return {"request_id": new_request_id(), "cursor": cursor, "items": [shape(row) for row in shown]}


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(b"p" + number.to_bytes(8, "big")).decode()


def _number(cursor: str) -> int:
    try:
        raw = base64.b64decode(cursor.encode("ascii"), b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 9 or raw[:1] != b"p" or raw[1] & 0x80:
        raise ApiError(400, "cursor: not one that a page of this listing gave")
    return int.from_bytes(raw[1:], "big")
