"""Repeated values as small numbers: text, sets of tags, and what else many calls share."""

# ruff: noqa: S608 - statements are put together from names of ours alone; values are always parameters
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from .connection import Connection

__all__ = ["Interned", "Names", "Shape", "Wide"]

T = TypeVar("T")
Stored = str | bytes | int | None

_MOST = 65_536  # values remembered; beyond, the memory starts anew, so that endless new values cannot fill it


class Wide(msgspec.Struct, frozen=True, array_like=True):
    """What the widest rollup is by."""

    application: str
    use_case: str | None
    use_case_version: int | None
    use_case_step: str | None
    provider: str
    category: str
    model: str | None


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """What calls of one kind to one endpoint at one price have in common, and reports do not ask for."""

    origin: str
    requested_resource: str | None
    endpoint: str
    service_tier: str | None
    http_status: int | None
    error_type: str | None
    streamed: bool
    attempt: int
    http_method: str | None
    price_version: str | None
    units: tuple[str, ...]
    lines: tuple[tuple[str, str, str, int, str, str | None], ...]
    ledger: str | None = None


class Interned(Generic[T]):
    """The numbers of one table's values, remembered while the connection lives."""

    def __init__(
        self,
        connection: Connection,
        table: str,
        columns: tuple[str, ...],
        row: Callable[[T], tuple[Stored, ...]],
    ) -> None:
        self._connection = connection
        self._row = row
        self._select = f"SELECT id FROM {table} WHERE packed = ?"
        names, marks = ", ".join(("packed", *columns)), ", ".join("?" * (1 + len(columns)))
        self._insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"
        self.known: dict[T, int] = {}
        """The numbers that are remembered; none is 0."""

    def id(self, value: T) -> int:
        """The number of `value`, made if it is new. Within a transaction that writes."""
        try:
            return self.known[value]
        except KeyError:
            return self._find(value)

    def knows(self, value: T) -> bool:
        """Whether the number of `value` is remembered."""
        return value in self.known

    def learn(self, numbers: Mapping[T, int]) -> None:
        """Remember numbers that were found or made."""
        if len(self.known) + len(numbers) > _MOST:
            self.known.clear()
        self.known.update(numbers)

    def forget(self) -> None:
        """Forget all numbers: after a rollback, when some may never have been written."""
        self.known.clear()

    def _find(self, value: T) -> int:
        row = self._row(value)
        found = self._connection.execute(self._select, row[:1]).fetchone()
        if found:
            number: int = found[0]
        else:
            number = self._connection.execute(self._insert, row).lastrowid or 0
        if len(self.known) >= _MOST:
            self.known.clear()
        self.known[value] = number
        return number


class Names:
    """The values behind the numbers, for who reads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._texts: dict[int, str] = {}
        self._wide: dict[int, Wide] = {}
        self._shapes: dict[int, Shape] = {}

    def text(self, number: int) -> str | None:
        """A text; None for 0, which stands for "not given"."""
        if number == 0:
            return None
        if number not in self._texts:
            self._texts[number] = self._packed("texts", number)
        return self._texts[number]

    def texts(self, numbers: list[int]) -> None:
        """Read many texts at once, to be asked for one by one later."""
        missing = [n for n in numbers if n not in self._texts]
        for start in range(0, len(missing), 500):
            part = missing[start : start + 500]
            marks = ", ".join("?" * len(part))
            self._texts.update(self._connection.execute(f"SELECT id, packed FROM texts WHERE id IN ({marks})", part))

    def wide(self, number: int) -> Wide:
        """The values of a wide key."""
        if number not in self._wide:
            self._wide[number] = msgspec.msgpack.decode(self._packed("wide", number), type=Wide)
        return self._wide[number]

    def shape(self, number: int) -> Shape:
        """The values of a shape."""
        if number not in self._shapes:
            self._shapes[number] = msgspec.msgpack.decode(self._packed("shapes", number), type=Shape)
        return self._shapes[number]

    def _packed(self, table: str, number: int) -> Any:
        return self._connection.execute(f"SELECT packed FROM {table} WHERE id = ?", (number,)).fetchone()[0]
