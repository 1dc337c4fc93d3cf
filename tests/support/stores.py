"""Where the stores of tests are: in a file of a folder, or on PostgreSQL for folders that a test has placed there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["KINDS", "by_another_hand", "kept_bytes", "place", "url"]

KINDS = ("sqlite", "postgresql")

_elsewhere: set[Path] = set()
_urls: dict[Path, str] = {}


def place(folder: Path, kind: str) -> None:
    """Have the stores of a folder, and of those below it, be on a database of this kind."""
    if kind == "postgresql":
        _elsewhere.add(folder)


def url(folder: Path, name: str = "payi.db") -> str:
    """The store of a folder."""
    if not _elsewhere.intersection((folder, *folder.parents)):
        return f"sqlite:///{folder / name}"
    path = folder / name
    if path not in _urls:
        from postgres import database

        _urls[path] = database()
    return _urls[path]


def by_another_hand(folder: Path, *statements: str, values: Sequence[Any] = ()) -> list[Any]:
    """Statements over the store of a folder, as another program would run them; what the last one found."""
    where = url(folder)
    if where.startswith("sqlite"):
        import sqlite3

        other: Any = sqlite3.connect(folder / "payi.db", isolation_level=None)
    else:
        from payi_middleware.store.postgresql import Statements, connect

        other = Statements(connect(where))
    try:
        rows = [other.execute(statement, values) for statement in statements][-1]
        return rows.fetchall() if _tells(statements[-1]) else []
    finally:
        getattr(other, "raw", other).close()


def kept_bytes(folder: Path) -> bytes:
    """All that the store of a folder holds: its files, or every value of every table."""
    if not url(folder).startswith("sqlite"):
        from postgres import contents

        return contents(url(folder))
    return b"\n".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


def _tells(statement: str) -> bool:
    return statement.lstrip().startswith("SELECT")
