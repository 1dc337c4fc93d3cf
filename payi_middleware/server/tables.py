"""The server's tables, beside the events in the same file.

Every row belongs to an application, and every statement names it. Money is in ticks, times in nanoseconds since the
epoch. What an event itself tells (its cost, states, user, use case) is in the event and nowhere else. Limits, and what was
spent of them, are in the ledger.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "METADATA",
    "VERSION",
    "applications",
    "instances",
    "keys",
    "kpis",
    "request_properties",
    "resources",
    "scores",
    "told_once",
    "unsettled",
    "use_cases",
    "version",
]

VERSION = 2
"""Of the tables; raised with a step that brings older ones up to date. Since 2, limits are the ledger's."""

METADATA = MetaData()

_LONG = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only by a column of exactly this type


def _number() -> Column[int]:
    return Column("id", _LONG, primary_key=True)


def _application() -> Column[int]:
    return Column("application", _LONG, ForeignKey("server_applications.id"), nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


version = Table("server_version", METADATA, Column("version", Integer, nullable=False), _time("probed_ns"))

applications = Table("server_applications", METADATA, _number(), Column("name", Text, nullable=False, unique=True))

keys = Table(
    "server_keys",
    METADATA,
    Column("prefix", Text, primary_key=True),
    _application(),
    _text("role"),
    Column("digest", LargeBinary, nullable=False),
    _time("created_ns"),
    _time("revoked_ns", nullable=True),
)

resources = Table(
    "server_resources",
    METADATA,
    _number(),
    _application(),
    _text("category"),
    _text("resource"),
    Column("resource_id", Text, nullable=False, unique=True),
    _time("start_ns"),
    Column("units", JSON, nullable=False),
    Column("max_input_units", BigInteger),
    Column("max_output_units", BigInteger),
    Column("max_total_units", BigInteger),
    Index("server_resources_by_name", "application", "category", "resource", "start_ns"),
)

use_cases = Table(
    "server_use_cases",
    METADATA,
    _number(),
    _application(),
    _text("name"),
    _text("description"),
    Column("type_version", Integer, nullable=False),
    Column("limit_config", JSON(none_as_null=True)),
    Column("logging_enabled", Boolean),
    UniqueConstraint("application", "name"),
)

kpis = Table(
    "server_kpis",
    METADATA,
    _number(),
    _application(),
    _text("use_case"),
    _text("name"),
    _text("description"),
    _text("kpi_type"),
    Column("goal", Float, nullable=False),
    _time("created_ns"),
    _time("updated_ns", nullable=True),
    UniqueConstraint("application", "use_case", "name"),
)

instances = Table(
    "server_instances",
    METADATA,
    _number(),
    _application(),
    _text("use_case"),
    _text("use_case_id"),
    Column("type_version", Integer, nullable=False),
    _text("limit_id", nullable=True),
    Column("properties", JSON, nullable=False),
    _time("created_ns"),
    UniqueConstraint("application", "use_case", "use_case_id"),
)

# Whether any instance of a use case has a limit must not take a look at all that have none.
_LIMITED = instances.c.limit_id.is_not(None)
Index(
    "server_instances_limited",
    instances.c.application,
    instances.c.use_case,
    sqlite_where=_LIMITED,
    postgresql_where=_LIMITED,
)

scores = Table(
    "server_scores",
    METADATA,
    _number(),
    _application(),
    _text("use_case"),
    _text("use_case_id"),
    _text("kpi_name"),
    Column("score", Float),
    _time("created_ns"),
    _time("updated_ns", nullable=True),
    UniqueConstraint("application", "use_case", "use_case_id", "kpi_name"),
)

# What is charged with the first event that tells of it, and with no other: `Part.once`.
told_once = Table(
    "server_told_once",
    METADATA,
    Column("application", _LONG, ForeignKey("server_applications.id"), primary_key=True),
    Column("once", LargeBinary, primary_key=True),
    Column("event_id", LargeBinary, nullable=False),
    _time("told_ns"),
)

request_properties = Table(
    "server_request_properties",
    METADATA,
    Column("event_id", LargeBinary, primary_key=True),
    Column("properties", JSON, nullable=False),
    _time("updated_ns"),
)

unsettled = Table(
    "server_unsettled",
    METADATA,
    Column("event_id", LargeBinary, primary_key=True),
    Column("step", LargeBinary, nullable=False),
    _time("put_ns"),
)
"""What the ledger is still to be told of events that are stored; see `unsettled.py`."""
