"""The limits of use cases' instances: what a `limit_config` makes of them in the ledger, and how each is told.

See `limits.instances`: one limit of the use case's, with an account for each instance.
"""

from __future__ import annotations

import heapq
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from ..events import usd
from ..limits.instances import account_named, id_of, key_of, limit_id_of, limit_of, own_of
from ..limits.ledger import Account, Definitions, Totals
from ..limits.limit import Definition
from .tables import instances

__all__ = ["MOST", "Found", "configured", "found", "keys", "latest", "told_of_row"]

MOST: Final = 1_000
"""Limits of instances that are listed, and that go on where new instances get none any more: those begun last."""


class Found(NamedTuple):
    """A limit as it is told, and where it is counted."""

    told: Definition
    kept: Definition
    """The one of the ledger: of an instance's own, its use case's."""
    key: str | None = None
    """Its account, if it is an instance's own; else all."""

    @property
    def is_configured(self) -> bool:
        """Whether a `limit_config` says what it is."""
        return self.kept.is_of_instances


def configured(application: str, use_case: str, config: dict[str, Any]) -> Definition:
    """The limit of a use case's instances, as its `limit_config` has it."""
    return limit_of(
        application,
        use_case,
        usd(config["max_ticks"]),
        type=config["limit_type"],
        threshold=config["threshold"],
        properties=config["properties"],
    )


def found(definitions: Definitions, limit_id: str) -> Found | None:
    """The limit of an id, an instance's own too."""
    by_id = {one.limit_id: one for one in definitions.limits}
    kept = by_id.get(limit_id)
    if kept is not None:
        return Found(kept, kept)
    account = account_named(limit_id)
    kept = None if account is None else by_id.get(account.limit_id)
    return None if kept is None or account is None else _own(kept, account)


def latest(sql: Connection, application: int, definitions: Definitions) -> list[Found]:
    """The limits of the instances that were begun last, as the server knows them: with when they were."""
    begun = [
        (created_ns, kept, key)
        for kept in definitions.limits
        if kept.is_of_instances
        for key, created_ns in _begun(sql, application, kept.limit.match["use_case_name"])
    ]
    listed: list[Found] = []
    for created_ns, kept, key in heapq.nlargest(MOST, begun, key=itemgetter(0)):
        one = _own(kept, Account(kept.limit_id, key))
        if one is not None:
            listed.append(one._replace(told=msgspec.structs.replace(one.told, created_ns=created_ns)))
    return listed


def keys(sql: Connection, application: int, use_case: str, running: list[Totals]) -> frozenset[str]:
    """The accounts of the instances that there are, begun last: those that the server knows, and those that were counted."""
    counted = heapq.nlargest(MOST, running, key=lambda one: one.starts_ns or 0)
    return frozenset([key for key, _ in _begun(sql, application, use_case)] + [one.key for one in counted])


def told_of_row(use_case: str, use_case_id: str, limit_id: str | None) -> str | None:
    """The id of an instance's limit, of its row: there, that it has one is told by the id of its use case's."""
    return id_of(use_case, use_case_id) if limit_id == limit_id_of(use_case) else limit_id


def _own(kept: Definition, account: Account) -> Found | None:
    if not kept.is_of_instances or (kept.only is not None and account.key not in kept.only):
        return None
    return Found(own_of(kept, account), kept, account.key)


def _begun(sql: Connection, application: int, use_case: str) -> list[tuple[str, int]]:
    """The accounts of a use case's instances that were begun last, and when; by the index of those that have a limit."""
    which = instances.c.application == application, instances.c.use_case == use_case, instances.c.limit_id.is_not(None)
    query = select(instances.c.use_case_id, instances.c.created_ns).where(*which)
    rows = sql.execute(query.order_by(instances.c.id.desc()).limit(MOST))
    return [(key_of(use_case_id), created_ns) for use_case_id, created_ns in rows]
