"""What the store asks of a database as a whole, apart from statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from .connection import Connection

__all__ = ["Database", "Known"]


class Known(Exception):  # noqa: N818 - it reads as what it is
    """Of the events that were to be added some are there already; the transaction is of no more use."""


class Database(Protocol):
    """An open database that a store is in."""

    tells_known: bool
    """Whether `insert` raises `Known` in a plain transaction, so that nobody needs to ask before which events there are."""

    @property
    def connection(self) -> Connection:
        """Runs the store's statements."""
        ...

    @property
    def path(self) -> Path | None:
        """Its file, if it is one."""

    def translated(self) -> AbstractContextManager[None]:
        """Within, the database's own errors are `StoreError`s that name the cure."""
        ...

    def begin(self, *, plain: bool = False) -> tuple[int, ...]:
        """Begin a transaction that writes, when nobody else is in one.

        Args:
            plain: Whether the caller just inserts events, at once, and what is told beside them.

        Returns:
            What is another one when numbers of texts that the caller remembers may no longer hold.
        """
        ...

    def commit(self, *, plain: bool = False) -> None:
        """End a transaction and keep what it wrote; `plain` if that was no more than `begin` says."""

    def begin_reading(self) -> None:
        """Begin a transaction that sees one state of the store."""

    def begin_looking(self) -> None:
        """The same, where temporary tables are written."""

    def end(self) -> None:
        """End a transaction, and take back what it wrote; it may be over already."""

    def numbers(self, texts: Callable[[], set[str]]) -> dict[str, int]:
        """Numbers of texts, made for those that are new; empty where to ask for each when it is needed costs no more."""
        ...

    def insert(self, columns: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Add events that are new, numbered in their order after all that there ever were.

        Returns:
            How many events lie beyond the mark of the rollups.

        Raises:
            Known: Not all are new; see `tells_known`.
        """
        ...

    def among(self, event_ids: Sequence[bytes]) -> Iterator[bytes]:
        """Of some ids those that there are events of."""
        ...

    def data_version(self) -> int:
        """Within a transaction that writes: a number that is another one when others wrote since the last."""
        ...

    def streamed(self, statement: str, values: Sequence[Any]) -> Iterator[Any]:
        """Rows of a long answer, as they come, outside of any transaction."""
        ...

    def only_one(self, name: str) -> AbstractContextManager[bool]:
        """Whether no other process does what has this name, until the block ends.

        Raises:
            OSError: Nobody can tell.
        """
        ...

    def size(self) -> int:
        """Bytes that it takes, its log included."""
        ...

    def compact(self, timeout: float) -> None:
        """Give free space back, waiting so many seconds for others; nobody can use the store meanwhile."""

    def emptied(self) -> bool:
        """Cut the log to nothing; whether nobody hindered it."""
        ...

    def damage(self) -> list[str]:
        """What the database itself finds wrong, line by line."""
        ...

    def copy(self, to: Path) -> None:
        """Copy it, whole and compact, into a file that is there and empty.

        Raises:
            StoreError: It is copied in another way; the message tells how.
        """

    def is_current(self) -> bool:
        """Whether it is still what was opened, by this process."""
        ...

    def leave(self) -> None:
        """Let go of what is no longer current."""

    def close(self) -> None:
        """Close it."""

    def checkpoint(self) -> None:
        """Move a log into its file, while there is nothing else to do and as far as nobody is hindered."""
