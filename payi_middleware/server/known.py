"""What the writer remembers between transactions: limits, prices and use cases, as long as nobody else wrote."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, bindparam, func, select

from ..events import format_id
from ..manual.pricing import Price
from ..record import new_id
from .states import Running
from .tables import instances, limits, resources, use_cases

__all__ = ["Known", "UseCase", "make_instance"]

T = TypeVar("T")

_MOST = 10_000  # entries of one kind remembered
_MOST_USE_CASES = 10_000  # of an application, made by events; more are not uses but ids
_RUNNING = [limits.c[name] for name in Running.__struct_fields__]
_CHARGE = limits.update().where(limits.c.id == bindparam("number"))


class UseCase(NamedTuple):
    """A definition, as events need it."""

    type_version: int
    limit_config: dict[str, Any] | None
    limited: bool = False
    """Whether an instance has a limit, or a new one would get it."""


class Known:
    """Rows that events need, each read once. Within the writer's transactions, and forgotten when one is taken back.

    Args:
        sql: Over the writer's connection.
        others: Tells a number that is another one when another connection has written; see `Database.data_version`.
    """

    def __init__(self, sql: Connection, others: Callable[[], int]) -> None:
        self._sql = sql
        self._others = others
        self._version = -1
        self.forget()

    def forget(self) -> None:
        """Forget all: after a rollback, or when rows were written another way."""
        self._limits: dict[tuple[int, str], Running | None] = {}
        self._prices: dict[tuple[int, str, str], tuple[Price, ...]] = {}
        self._use_cases: dict[tuple[int, str], UseCase | None] = {}
        self._instances: dict[tuple[int, str, str], str | None] = {}
        self._touched: dict[int, Running] = {}

    def begin(self) -> None:
        """At the start of a transaction: forget all if another connection has written since."""
        version = self._others()
        if version != self._version:
            self.forget()
            self._version = version

    def limit(self, application: int, limit_id: str) -> Running | None:
        """A limit, to be charged."""
        return _remembered(self._limits, (application, limit_id), self._read_limit)

    def prices(self, application: int, category: str, resource: str | None) -> tuple[Price, ...]:
        """The versions of a resource of the application's own, the latest first."""
        if resource is None:
            return ()
        return _remembered(self._prices, (application, category, resource), self._read_prices)

    def use_case(self, application: int, name: str) -> UseCase | None:
        """A definition, made if it is new; None if the application has too many already."""
        return _remembered(self._use_cases, (application, name), self._read_use_case)

    def limit_of_instance(self, application: int, name: str, use_case_id: str) -> str | None:
        """The limit of an instance, made with its instance if the definition says that it has one."""
        return _remembered(self._instances, (application, name, use_case_id), self._read_instance)

    def touch(self, limit: Running) -> None:
        """Have a limit written at the end."""
        self._touched[limit.id] = limit

    def end(self) -> None:
        """At the end of a transaction: write what was charged."""
        if self._touched:
            rows = [{"number": limit.id, **limit.changed()} for limit in self._touched.values()]
            self._sql.execute(_CHARGE, rows)
            self._touched = {}

    def _read_limit(self, application: int, limit_id: str) -> Running | None:
        row = self._sql.execute(
            select(*_RUNNING).where(limits.c.application == application, limits.c.limit_id == limit_id)
        ).one_or_none()
        return None if row is None else Running(*row)

    def _read_prices(self, application: int, category: str, resource: str) -> tuple[Price, ...]:
        which = (
            resources.c.application == application,
            resources.c.category == category,
            resources.c.resource == resource,
        )
        query = select(resources.c.resource_id, resources.c.start_ns, resources.c.units).where(*which)
        rows = self._sql.execute(query.order_by(resources.c.start_ns.desc(), resources.c.id.desc()))
        return tuple(Price(*row) for row in rows)

    def _read_use_case(self, application: int, name: str) -> UseCase | None:
        mine = use_cases.c.application == application
        query = select(use_cases.c.type_version, use_cases.c.limit_config).where(mine, use_cases.c.name == name)
        row = self._sql.execute(query).one_or_none()
        if row is not None:
            limited = row.limit_config is not None or self._any_limited(application, name)
            return UseCase(row.type_version, row.limit_config, limited)
        if self._sql.execute(select(func.count()).where(mine)).scalar_one() >= _MOST_USE_CASES:
            return None
        self._sql.execute(
            use_cases.insert().values(
                application=application, name=name, description="Made by its first event.", type_version=1
            )
        )
        return UseCase(1, None)

    def _any_limited(self, application: int, name: str) -> bool:
        which = (
            instances.c.application == application,
            instances.c.use_case == name,
            instances.c.limit_id.is_not(None),
        )
        return self._sql.execute(select(instances.c.id).where(*which).limit(1)).first() is not None

    def _read_instance(self, application: int, name: str, use_case_id: str) -> str | None:
        which = (
            instances.c.application == application,
            instances.c.use_case == name,
            instances.c.use_case_id == use_case_id,
        )
        row = self._sql.execute(select(instances.c.limit_id).where(*which)).one_or_none()
        if row is not None:
            limit_id: str | None = row.limit_id
            return limit_id
        use_case = self.use_case(application, name)
        if use_case is None or use_case.limit_config is None:
            return None
        return make_instance(self._sql, application, name, use_case_id, use_case)


def make_instance(
    sql: Connection, application: int, name: str, use_case_id: str, use_case: UseCase, properties: Any = None
) -> str | None:
    """A new instance's row; its limit's id, if the definition says that instances have one."""
    now = time.time_ns()
    limit_id = None
    if use_case.limit_config is not None:
        limit_id = format_id(new_id(now))
        sql.execute(
            limits.insert().values(
                application=application,
                limit_id=limit_id,
                limit_name=f"{name} {use_case_id}",
                of_instance=True,
                created_ns=now,
                updated_ns=now,
                **use_case.limit_config,
            )
        )
    sql.execute(
        instances.insert().values(
            application=application,
            use_case=name,
            use_case_id=use_case_id,
            type_version=use_case.type_version,
            limit_id=limit_id,
            properties=properties or {},
            created_ns=now,
        )
    )
    return limit_id


def _remembered(memory: dict[Any, T], key: tuple[Any, ...], read: Callable[..., T]) -> T:
    try:
        return memory[key]
    except KeyError:
        if len(memory) >= _MOST:
            memory.clear()
        found = memory[key] = read(*key)
        return found
