"""What the writer remembers between transactions: prices and use cases, as long as nobody else wrote; and limits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, func, select

from .. import health
from ..exceptions import LedgerError, LimitError
from ..manual.pricing import Price
from .away import Patient
from .defined import Defined
from .keys import Caller
from .tables import instances, resources, told_once, use_cases

__all__ = ["Known", "UseCase"]

T = TypeVar("T")

_MOST = 10_000  # entries of one kind remembered
_MOST_USE_CASES = 10_000  # of an application, made by events; more are not uses but ids


class UseCase(NamedTuple):
    """A definition, as events need it."""

    type_version: int
    limit_config: dict[str, Any] | None
    limited: bool = False
    """Whether an instance has a limit, or a new one would get it. (In the ledger it counts by itself.)"""


class Known:
    """Rows that events need, each read once. Within the writer's transactions, and forgotten when one is taken back.

    Args:
        sql: Over the writer's connection.
        others: Tells a number that is another one when another connection has written; see `Database.data_version`.
        ledger: Where limits are defined.
    """

    def __init__(self, sql: Connection, others: Callable[[], int], ledger: Patient) -> None:
        self._sql = sql
        self._others = others
        self._version = -1
        self.defined = Defined(ledger)
        self.forget()

    def forget(self) -> None:
        """Forget all: after a rollback, or when rows were written another way."""
        self._prices: dict[tuple[int, str, str], tuple[Price, ...]] = {}
        self._use_cases: dict[tuple[int, str], UseCase | None] = {}
        self._instances: dict[tuple[Caller, str, str], str | None] = {}

    def begin(self) -> None:
        """At the start of a transaction: forget all if another connection has written since."""
        version = self._others()
        if version != self._version:
            self.forget()
            self._version = version
        self.defined.begin()

    def prices(self, application: int, category: str, resource: str | None) -> tuple[Price, ...]:
        """The versions of a resource of the application's own, the latest first."""
        if resource is None:
            return ()
        return _remembered(self._prices, (application, category, resource), self._read_prices)

    def use_case(self, application: int, name: str) -> UseCase | None:
        """A definition, made if it is new; None if the application has too many already."""
        return _remembered(self._use_cases, (application, name), self._read_use_case)

    def limit_of_instance(self, caller: Caller, name: str, use_case_id: str) -> str | None:
        """The limit that an instance's row tells, made with its row if the definition says that it has one."""
        try:
            return _remembered(self._instances, (caller, name, use_case_id), self._read_instance)
        except (LedgerError, LimitError) as error:  # the event counts all the same; the next one makes the instance
            health.note("server_ledger", "an instance got no limit: %s", error)
            return None

    def is_first(self, application: int, once: bytes, event_id: bytes) -> bool:
        """Whether an event is the first of an application to tell of something that is charged once; from now on it is."""
        which = (told_once.c.application == application, told_once.c.once == once)
        if self._sql.execute(select(told_once.c.event_id).where(*which)).first() is not None:
            return False
        row = {"application": application, "once": once, "event_id": event_id, "told_ns": time.time_ns()}
        self._sql.execute(told_once.insert().values(**row))
        return True

    def make_instance(self, caller: Caller, name: str, use_case_id: str, use_case: UseCase) -> str | None:
        """A new instance's row; the id of its use case's limit, if the definition says that instances have one.

        Raises:
            LedgerError: Nobody knows whether the limit is there; there is no row then.
            LimitError: Another limit has the id; neither.
        """
        config, limit_id = use_case.limit_config, None
        if config is not None:
            limit_id = self.defined.configure(caller.name, name, config, anew=False)
        self._sql.execute(
            instances.insert().values(
                application=caller.application,
                use_case=name,
                use_case_id=use_case_id,
                type_version=use_case.type_version,
                limit_id=limit_id,
                properties={},
                created_ns=time.time_ns(),
            )
        )
        return limit_id

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

    def _read_instance(self, caller: Caller, name: str, use_case_id: str) -> str | None:
        which = (
            instances.c.application == caller.application,
            instances.c.use_case == name,
            instances.c.use_case_id == use_case_id,
        )
        row = self._sql.execute(select(instances.c.limit_id).where(*which)).one_or_none()
        if row is not None:
            limit_id: str | None = row.limit_id
            return limit_id
        use_case = self.use_case(caller.application, name)
        if use_case is None or use_case.limit_config is None:
            return None
        return self.make_instance(caller, name, use_case_id, use_case)


def _remembered(memory: dict[Any, T], key: tuple[Any, ...], read: Callable[..., T]) -> T:
    try:
        return memory[key]
    except KeyError:
        if len(memory) >= _MOST:
            memory.clear()
        found = memory[key] = read(*key)
        return found
