"""The server's own tables when calls are pruned and persons forgotten: what belonged to them goes too.

In short transactions with rests between them, as the store's own housekeeping. Keys, applications, definitions of use
cases and KPIs, and prices are nobody's calls, and stay as they are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy
from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, Text, and_, cast, func, or_, select

from ..events import format_id
from ..record import new_id
from ..store import Store
from ..store.forget import Person
from ..store.prune import rest
from .database import over
from .moments import DAY_NS
from .tables import applications, instances, request_properties, scores, told_once

__all__ = ["Done", "forget", "prune", "would_forget", "would_prune"]

_AT_ONCE = 500  # rows of one transaction


class Done(NamedTuple):
    """Rows that were removed or cleared, or would be."""

    instances: int = 0
    """Of use cases."""
    scores: int = 0
    properties: int = 0
    """Of requests."""

    def plus(self, other: Done) -> Done:
        """Both together."""
        return Done(*(mine + more for mine, more in zip(self, other, strict=True)))


def would_prune(store: Store, day: int, *, keep_sums: bool) -> Done:
    """What `prune` would do. Properties of calls that wait for another server count, and stay."""
    with _reading(store) as sql:
        if sql is None:
            return Done()
        old = _old(day).subquery()
        told = select(request_properties.c.event_id).where(request_properties.c.updated_ns < day * DAY_NS)
        done = Done(
            instances=_count(sql, old),
            scores=_count(sql, scores.join(old, and_(*_is_instance(scores, old.c)))),
        )
        ids = [row.event_id for row in sql.execute(told)]
    young = sum(event is not None and event.started_ns >= day * DAY_NS for event in map(store.find, ids))
    return done._replace(properties=len(ids) - young)


def prune(store: Store, day: int, *, keep_sums: bool) -> Iterator[Done]:
    """Remove what is older than a day (since the epoch, UTC), after the calls are; and tell of each step what it did.

    An instance is old if it began before and was not scored since; its scores go with it. Properties of
    requests go with their calls. Limits are the ledger's.

    Raises:
        StoreError: A step failed; those before it hold.
    """

    def old_instances(sql: Connection) -> Done:
        return _removed(sql, sql.execute(_old(day).order_by(instances.c.id).limit(_AT_ONCE)).all())

    yield from _repeated(store, old_instances)

    def old_once(sql: Connection) -> Done:  # ids that nobody will tell again; they are few, and tell nobody anything
        if sqlalchemy.inspect(sql).has_table(told_once.name):
            sql.execute(told_once.delete().where(told_once.c.told_ns < day * DAY_NS))
        return Done()

    yield from _repeated(store, old_once)
    yield from _without_calls(store, request_properties.c.updated_ns < day * DAY_NS)


def would_forget(store: Store, person: Person) -> Done:
    """What `forget` would do, but for properties of calls that would be removed."""
    found, seen = Done(), _Seen()
    for about in _ABOUT:
        with _reading(store) as sql:
            rows = (
                [] if sql is None else [row for row in sql.execute(about.telling(person)) if about.tells(row, person)]
            )
        theirs = about.of_application(store, [row[0] for row in rows], person)
        for row in rows:
            found = found.plus(seen.counted(about, row) if row[0] in theirs else Done())
    return found


def forget(store: Store, person: Person) -> Iterator[Done]:
    """Forget a person, after their calls are forgotten, and tell of each step what it did.

    Properties that tell the person lose that member. An instance whose id does gets another id, and its scores with it;
    where the person's calls were removed, it is removed.

    Raises:
        StoreError: A step failed; those before it hold, and it can be done again.
    """
    seen = _Seen()
    for about in _ABOUT:
        after: Any = about.first
        while True:
            query = about.telling(person).where(about.key > after).order_by(about.key).limit(_AT_ONCE)
            with _reading(store) as sql:
                keys = [] if sql is None else [row[0] for row in sql.execute(query)]
            if not keys:
                break
            theirs = about.of_application(store, keys, person)
            began = time.monotonic()
            with store.transaction() as connection:
                sql, done = over(connection), Done()
                for row in sql.execute(query).all():
                    if row[0] in theirs and about.tells(row, person):
                        about.clear(sql, row, person)
                        done = done.plus(seen.counted(about, row))
            after = keys[-1]
            yield done
            rest(began)
    if person.events:
        yield from _without_calls(store, sqlalchemy.true())


_Clear: TypeAlias = Callable[[Connection, Row[Any], Person], None]


class _About:
    """One kind of row that may tell of a person.

    Args:
        key: Its primary key.
        columns: Those that may tell.
        clear: Makes a row tell nothing.
        counted: A row of it.
    """

    def __init__(
        self, table: Table, key: Column[Any], columns: list[Column[Any]], clear: _Clear, counted: Done
    ) -> None:
        self.key = key
        self.clear = clear
        self.counted = counted
        self.table = table
        self.first: Any = b"" if table is request_properties else 0
        self._columns = columns

    def telling(self, person: Person) -> Select[Any]:
        """The rows that hold the id somewhere, the key first; of one application, if only that is meant and the row says so."""
        needles = {person.id, json.dumps(person.id)[1:-1]}  # as it is, and as it stands in JSON
        told = [cast(column, Text).contains(needle, autoescape=True) for column in self._columns for needle in needles]
        query = select(self.key, *[column for column in self.table.c if column is not self.key]).where(or_(*told))
        if person.application is None or self.table is request_properties:
            return query
        number = select(applications.c.id).where(applications.c.name == person.application).scalar_subquery()
        return query.where(self.table.c.application == number)

    def of_application(self, store: Store, keys: Iterable[Any], person: Person) -> set[Any]:
        """Of some rows those that are meant: properties lie beside a call, which tells whose it is."""
        if person.application is None or self.table is not request_properties:
            return set(keys)
        calls = ((key, store.find(key)) for key in keys)
        return {key for key, call in calls if call is not None and call.application == person.application}

    def tells(self, row: Row[Any], person: Person) -> bool:
        """Whether it is really the id, and not a part of something longer."""
        return any(_tells(row._mapping[column.name], person) for column in self._columns)


class _Seen:
    """Rows that were counted: one that tells in several places is one."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, Any]] = set()

    def counted(self, about: _About, row: Row[Any]) -> Done:
        """A row, unless it was counted before."""
        key = about.table.name, row[0]
        if key in self._keys:
            return Done()
        self._keys.add(key)
        return about.counted


def _tells(value: Any, person: Person) -> bool:
    if isinstance(value, Mapping):
        return any(_tells(key, person) or _tells(item, person) for key, item in value.items())
    return isinstance(value, str) and person.is_told_by(value)


def _in_properties(table: Table, key: Column[Any], counted: Done) -> _About:
    def clear(sql: Connection, row: Row[Any], person: Person) -> None:
        kept = {
            name: value
            for name, value in row.properties.items()
            if not (person.is_told_by(name) or _tells(value, person))
        }
        sql.execute(table.update().where(key == row[0]).values(properties=kept))

    return _About(table, key, [table.c.properties], clear, counted)


def _clear_instance(sql: Connection, row: Row[Any], person: Person) -> None:
    if person.events:
        _removed(sql, [row])
        return
    name = format_id(new_id(time.time_ns()))
    sql.execute(scores.update().where(*_is_instance(scores, row)).values(use_case_id=name))
    sql.execute(instances.update().where(instances.c.id == row.id).values(use_case_id=name))


_ABOUT = (
    _About(instances, instances.c.id, [instances.c.use_case_id], _clear_instance, Done(instances=1)),
    _in_properties(instances, instances.c.id, Done(instances=1)),
    _in_properties(request_properties, request_properties.c.event_id, Done(properties=1)),
)


@contextmanager
def _reading(store: Store) -> Iterator[Connection | None]:
    """The store through SQLAlchemy; None if no server ever made its tables there."""
    with store.snapshot() as connection:
        sql = over(connection)
        yield sql if sqlalchemy.inspect(sql).has_table(instances.name) else None


def _repeated(store: Store, step: Callable[[Connection], Done]) -> Iterator[Done]:
    """The steps until one finds nothing."""
    with _reading(store) as sql:
        if sql is None:
            return
    while True:
        began = time.monotonic()
        with store.transaction() as connection:
            done = step(over(connection))
        if not any(done):
            return
        yield done
        rest(began)


def _without_calls(store: Store, which: ColumnElement[bool]) -> Iterator[Done]:
    """Remove properties of requests that are no more."""
    after = b""
    while True:
        query = select(request_properties.c.event_id).where(which, request_properties.c.event_id > after)
        with _reading(store) as sql:
            rows = (
                [] if sql is None else sql.execute(query.order_by(request_properties.c.event_id).limit(_AT_ONCE)).all()
            )
        if not rows:
            return
        ids = [row.event_id for row in rows]
        after = ids[-1]
        there = store.known(ids)
        began = time.monotonic()
        with store.transaction() as connection:
            gone = [number for number in ids if number not in there]
            n = _deleted(over(connection), request_properties, request_properties.c.event_id, gone)
        yield Done(properties=n)
        rest(began)


def _old(day: int) -> Select[Any]:
    """Instances that began before a day and were not scored since."""
    since = func.coalesce(scores.c.updated_ns, scores.c.created_ns) >= day * DAY_NS
    scored = select(scores.c.id).where(*_is_instance(scores, instances.c), since).exists()
    return select(instances).where(instances.c.created_ns < day * DAY_NS, ~scored)


def _is_instance(table: Table, row: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        table.c.application == row.application,
        table.c.use_case == row.use_case,
        table.c.use_case_id == row.use_case_id,
    )


def _removed(sql: Connection, rows: Iterable[Row[Any]]) -> Done:
    """Remove instances with all that is theirs."""
    done = Done()
    for row in rows:
        sql.execute(instances.delete().where(instances.c.id == row.id))
        gone = sql.execute(scores.delete().where(*_is_instance(scores, row))).rowcount
        done = done.plus(Done(instances=1, scores=gone))
    return done


def _deleted(sql: Connection, table: Table, key: Column[Any], keys: list[Any]) -> int:
    """Delete rows by their keys, each by itself: a list of parameters has an end."""
    for one in keys:
        sql.execute(table.delete().where(key == one))
    return len(keys)


def _count(sql: Connection, what: Any, *which: ColumnElement[bool]) -> int:
    found: int = sql.execute(select(func.count()).select_from(what).where(*which)).scalar_one()
    return found
