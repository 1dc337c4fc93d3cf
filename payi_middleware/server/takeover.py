"""Limits that an older server kept in the store, taken over by the ledger, once.

Within the store's transaction, which only one process has at a time. The ledger is told first: where a crash comes between,
the rows are still there and the same is told again, which changes nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Column, Connection, Integer, MetaData, Row, Table, Text, select

from .. import health
from ..events import usd
from ..exceptions import LimitError
from ..limits.ledger import STATES, Account, Ledger, Totals
from ..limits.limit import LONGEST_NAME, Definition, Limit
from .tables import applications

__all__ = ["take_over"]

_OLD = MetaData()
_TICKS = ("max_ticks", "input_ticks", "output_ticks", *STATES, "created_ns", "updated_ns", "of_instance")
_limits = Table(
    "server_limits",
    _OLD,
    Column("id", Integer, primary_key=True),
    Column("application", Integer),
    *(Column(name, Text) for name in ("limit_id", "limit_name", "limit_type")),
    *(Column(name, sqlalchemy.BigInteger) for name in _TICKS),
    Column("threshold", sqlalchemy.Float),
    Column("properties", sqlalchemy.JSON),
)
_history = Table(
    "server_limit_history",
    _OLD,
    Column("id", Integer, primary_key=True),
    Column("application", Integer),
    Column("limit_id", Text),
    Column("reset_ns", sqlalchemy.BigInteger),
)


def take_over(sql: Connection, ledger: Ledger) -> int:
    """Move what is in the old table; how many limits. Within a transaction.

    Raises:
        LedgerError: The ledger cannot take them; nothing is lost.
    """
    if not sqlalchemy.inspect(sql).has_table(_limits.name):
        return 0
    joined = select(_limits, applications.c.name).join(applications, applications.c.id == _limits.c.application)
    resets = _resets(sql)
    moved = 0
    for row in sql.execute(joined).all():
        definition = _defined(ledger, _definition(row, resets.get((row.application, row.limit_id), 0)))
        ledger.set_spent(definition.application, Account(definition.limit_id), None, _totals(row))
        moved += 1
    # The history stays where it is: it was never to be asked for, and a ledger writes none but its own.
    sql.execute(sqlalchemy.schema.DropTable(_limits))
    if moved:
        health.log.info("%d limits of the store are in the ledger %s now", moved, ledger.id)
    return moved


def _resets(sql: Connection) -> dict[tuple[int, str], int]:
    """When each limit was last reset, which counts from then on."""
    columns = _history.c.application, _history.c.limit_id
    rows = sql.execute(select(*columns, sqlalchemy.func.max(_history.c.reset_ns)).group_by(*columns))
    return {(application, limit_id): reset_ns for application, limit_id, reset_ns in rows}


def _definition(row: Row[Any], reset_ns: int) -> Definition:
    return Definition(
        limit_id=row.limit_id,
        application=row.name,
        limit=Limit(
            _name(row.limit_name, row.limit_id), usd(row.max_ticks), type=row.limit_type, threshold=row.threshold
        ),
        source="instance" if row.of_instance else "api",
        properties=row.properties or {},
        created_ns=max(row.created_ns, reset_ns),
        updated_ns=row.updated_ns,
    )


def _defined(ledger: Ledger, definition: Definition) -> Definition:
    """Kept under its name, or, where that is another's, under its name and id."""
    try:
        return ledger.define(definition)
    except LimitError:
        name = f"{definition.limit.name[: LONGEST_NAME // 2]} {definition.limit_id}"[:LONGEST_NAME]
        return ledger.define(
            msgspec.structs.replace(definition, limit=msgspec.structs.replace(definition.limit, name=name))
        )


def _name(name: str, limit_id: str) -> str:
    """Names could be longer, and hold what does not print."""
    shown = "".join(sign if sign.isprintable() else " " for sign in name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[:64]}… {limit_id}"[:LONGEST_NAME]


def _totals(row: Row[Any]) -> Totals:
    return Totals(
        key="",
        spent=row.input_ticks + row.output_ticks,
        held=0,
        input_ticks=row.input_ticks,
        output_ticks=row.output_ticks,
        requests={state: row._mapping[state] for state in STATES},
        starts_ns=None,
        ends_ns=None,
    )
