"""What the store asks of a database's connection: the part of `sqlite3`'s that another database can follow.

Statements are SQL that SQLite and PostgreSQL have in common, with `?` or `:name` for values. What is spelt differently there
(`BLOB`, `group_concat` and a few more) is spelt as SQLite does, and put into the other's words by `dialect.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

__all__ = ["Connection", "Rows", "Values"]

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]


class Rows(Protocol):
    """What a statement found, or how many rows it touched."""

    @property
    def rowcount(self) -> int:
        """Rows that were written."""
        ...

    @property
    def lastrowid(self) -> int | None:
        """The number that the row got which was written last."""

    def fetchone(self) -> Any:
        """The next row; None if there is none."""

    def fetchall(self) -> list[Any]:
        """All that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """Runs statements, in transactions that the statements `BEGIN` and `COMMIT` make."""

    @property
    def in_transaction(self) -> bool:
        """Whether one is under way."""
        ...

    def execute(self, statement: str, values: Values = (), /) -> Rows:
        """Run a statement."""
        ...

    def executemany(self, statement: str, values: Iterable[Values], /) -> Rows:
        """Run a statement that writes once for each."""
        ...
