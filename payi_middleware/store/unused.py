"""Interned values that nothing refers to any more.

What is used is looked up in one snapshot, without a lock; what was written or folded since is looked at again in the transaction
that removes, so nothing that is in use goes. Each such transaction lets all writers forget the numbers that they remember.
"""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .. import forks
from .adding import OF_ROUTES, OF_TEXTS, OF_WIDE
from .connection import Connection
from .keeping import changed, last
from .schema import NARROW, OTHER_ROUTE

if TYPE_CHECKING:
    from .store import Store

__all__ = ["remove_unused"]

_AT_ONCE = 500
_REST = 0.02  # seconds between two transactions

_COLUMNS = {
    "tags": ("tags",),
    "wide": ("wide",),
    "texts": ("user", "account", "route", "tags", "failure"),
    "shapes": ("shape",),
}
"""Table -> the columns of `events` that refer to it. Sets of tags and rows of `wide` come first: they name texts."""

_NAMING = {
    "texts": (
        "SELECT tag FROM tags",
        # Whatever folds or corrects an event makes keys of these: also of one that was there already.
        f"SELECT id FROM texts WHERE packed IN ({' UNION '.join(f'SELECT {name} FROM wide' for name in NARROW.values())})",
    ),
}
"""Table -> what other tables name of it, which is looked at again as events are."""

_ELSEWHERE = {
    "texts": (
        f"SELECT key FROM rollup WHERE {OF_TEXTS}",
        f"SELECT DISTINCT key & {OTHER_ROUTE} FROM rollup WHERE {OF_ROUTES}",
    ),
    "wide": (
        f"SELECT key FROM rollup WHERE {OF_WIDE}",
        f"SELECT DISTINCT key >> 32 FROM rollup WHERE {OF_ROUTES}",
    ),
}
_ID = {"tags": "tags"}


def remove_unused(store: Store) -> Iterator[int]:
    """Remove what nothing uses, and tell of each step how much.

    Raises:
        StoreError: A step failed; those before it hold.
    """
    for table in _COLUMNS:
        seen, unused = _unused(store, table)
        for start in range(0, len(unused), _AT_ONCE):
            with store.transaction() as connection:
                yield _removed(connection, table, unused[start : start + _AT_ONCE], seen)
            forks.rest(_REST)


def _unused(store: Store, table: str) -> tuple[int, list[int]]:
    """The number of the newest event, and what was unused by then."""
    with store.snapshot() as connection:
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS used (id INTEGER PRIMARY KEY)")
        connection.execute("DELETE FROM temp.used")
        questions = [f"SELECT {column} FROM events" for column in _COLUMNS[table]]
        for question in (*questions, *_NAMING.get(table, ()), *_ELSEWHERE.get(table, ())):
            connection.execute(
                f"INSERT INTO temp.used SELECT * FROM ({question}) AS found WHERE true ON CONFLICT DO NOTHING"
            )
        name = _ID.get(table, "id")
        rows = connection.execute(
            f"SELECT DISTINCT {name} FROM {table} AS t WHERE NOT EXISTS (SELECT 1 FROM temp.used AS u WHERE u.id = t.{name})"
        )
        found = [row[0] for row in rows]
        connection.execute("DELETE FROM temp.used")
        return last(connection), found


def _removed(connection: Connection, table: str, numbers: list[int], seen: int) -> int:
    columns = ", ".join(_COLUMNS[table])
    since: set[Any] = set()
    for row in connection.execute(f"SELECT {columns} FROM events WHERE id > ?", (seen,)):
        since.update(row)
    for question in _NAMING.get(table, ()):
        since.update(row[0] for row in connection.execute(question))
    gone = [(number,) for number in numbers if number not in since]
    connection.executemany(f"DELETE FROM {table} WHERE {_ID.get(table, 'id')} = ?", gone)
    changed(connection)
    return len(gone)
