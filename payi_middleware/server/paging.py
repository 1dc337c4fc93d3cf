"""Listings page by page. A cursor is the number of the last row told, or the name of what is no row.

It means nothing without the key's application.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from fastapi import Query
from sqlalchemy import Connection, Row, Select
from sqlalchemy.sql.elements import ColumnElement

from .errors import ApiError
from .rows import new_request_id

__all__ = ["MOST", "Paging", "joined", "listed", "page", "page_of"]

T = TypeVar("T")

USUAL, MOST = 100, 1000  # rows of a page; Pay-i documents neither
_LONGEST = 2048  # characters of a cursor
_ROW, _MARK = b"p", b"m"
_LAST = "\U0010ffff"  # above every name


class Paging:
    """What every listing may be asked with."""

    def __init__(
        self,
        cursor: str | None = None,
        limit: Annotated[int, Query(ge=0, le=MOST)] = USUAL,
        sort_ascending: bool = False,
    ) -> None:
        self.after, self.mark = (None, None) if not cursor else _read(cursor)
        self.size = limit or USUAL  # Pay-i's client may ask for 0, which its schema allows
        self.ascending = sort_ascending

    def afresh(self, size: int) -> Paging:
        """The beginning of another listing, in the same order."""
        return Paging(None, size, self.ascending)


def page(
    sql: Connection, query: Select[Any], key: ColumnElement[int], asked: Paging, shape: Callable[[Row[Any]], Any]
) -> dict[str, Any]:
    """One page in Pay-i's envelope, newest first unless asked otherwise. The rows of `query` have an `id` that is `key`."""
    if asked.mark is not None:
        raise _no_cursor()
    if asked.after is not None:
        query = query.where(key > asked.after if asked.ascending else key < asked.after)
    query = query.order_by(key.asc() if asked.ascending else key.desc()).limit(asked.size + 1)
    rows = sql.execute(query).all()
    shown = rows[: asked.size]
    return _page([shape(row) for row in shown], _cursor(shown[-1].id) if len(rows) > asked.size else None)


def page_of(found: Iterable[tuple[str, T]], asked: Paging, shape: Callable[[T], Any]) -> dict[str, Any]:
    """The same of what is no row: of each its mark, by which they are sorted, and the thing itself.

    What comes is all there is behind `asked.mark`, in the order that is asked for.
    """
    if asked.after is not None:
        raise _no_cursor()
    some = list(itertools.islice(found, asked.size + 1))
    shown = some[: asked.size]
    return _page([shape(one) for _, one in shown], _marked(shown[-1][0]) if len(some) > asked.size else None)


def listed(items: Iterable[T], place: Callable[[T], str], asked: Paging, shape: Callable[[T], Any]) -> dict[str, Any]:
    """The same of items that are all there: in the order of their places, the last first."""
    placed = sorted(((place(item), item) for item in items), key=lambda one: one[0], reverse=not asked.ascending)
    mark = asked.mark
    if mark is not None:
        placed = [one for one in placed if (one[0] > mark if asked.ascending else one[0] < mark)]
    return page_of(placed, asked, shape)


def joined(
    asked: Paging, rows: Callable[[Paging], dict[str, Any]], marked: Callable[[Paging], dict[str, Any]]
) -> dict[str, Any]:
    """A page of two listings: rows, and before them, as if they had always been there, what is none."""
    first, second, in_second = (marked, rows, asked.after) if asked.ascending else (rows, marked, asked.mark)
    if in_second is not None:
        return second(asked)
    told = first(asked)
    left = asked.size - len(told["items"])
    if told["cursor"] is not None:
        return told
    more = second(asked.afresh(left or 1))
    if left:
        return told | {"items": told["items"] + more["items"], "cursor": more["cursor"]}
    beginning = _cursor(0) if asked.ascending else _marked(_LAST)
    return told | {"cursor": beginning if more["items"] else None}


def _page(items: list[Any], cursor: str | None) -> dict[str, Any]:
    return {"request_id": new_request_id(), "cursor": cursor, "items": items}


def _cursor(number: int) -> str:
    return base64.urlsafe_b64encode(_ROW + number.to_bytes(8, "big")).decode()


def _marked(mark: str) -> str:
    return base64.urlsafe_b64encode(_MARK + mark.encode()).decode()


def _read(cursor: str) -> tuple[int | None, str | None]:
    """The number of a row, or a mark."""
    try:
        raw = base64.b64decode(cursor[:_LONGEST].encode("ascii"), b"-_", validate=True)
        if raw[:1] == _MARK:
            return None, raw[1:].decode()
    except (binascii.Error, ValueError):  # UnicodeError is one
        raw = b""
    if len(raw) != 9 or raw[:1] != _ROW or raw[1] & 0x80:
        raise _no_cursor()
    return int.from_bytes(raw[1:], "big"), None


def _no_cursor() -> ApiError:
    return ApiError(400, "cursor: not one that a page of this listing gave")
