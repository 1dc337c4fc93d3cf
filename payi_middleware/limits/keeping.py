"""A person's accounts out of a ledger, and old history."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import msgspec

from .ledger import Account, Ledger
from .limit import Definition

__all__ = ["Compacting", "accounts_of_person", "forget_in_limits", "forget_person", "old_rows"]


@runtime_checkable
class Compacting(Protocol):
    """A ledger whose files keep what was deleted, until they are written anew."""

    def vacuum(self) -> None:
        """Write them anew. Calls wait meanwhile."""


def accounts_of_person(
    ledger: Ledger, tells: Callable[[str], bool], application: str | None = None
) -> list[tuple[str, Account]]:
    """The accounts whose keys tell of a person, with their application; of one application, or of all."""
    applications = ledger.applications() if application is None else [application]
    return [(name, account) for name in applications for account in ledger.accounts(name) if _tell(account.key, tells)]


def forget_person(ledger: Ledger, tells: Callable[[str], bool], application: str | None = None) -> int:
    """Delete a person's accounts with their history; how many accounts. What was spent by them is no longer counted to anybody."""
    found = accounts_of_person(ledger, tells, application)
    for name, account in found:
        ledger.forget(name, account)
    return len(found)


def forget_in_limits(
    ledger: Ledger, tells: Callable[[str], bool], application: str | None = None, *, dry_run: bool
) -> int:
    """Have no limit tell of a person: by its properties, by its name, by what it matches; how many did.

    An instance's own gets a name without it. Any other that is named after the person, or made for them, is deleted, also out of
    what is kept of deleted ones.
    """
    applications = ledger.applications() if application is None else [application]
    count = _forget_in_deleted(ledger, tells, applications, dry_run=dry_run)
    for definition in [one for name in applications for one in ledger.definitions(name).limits]:
        limit, code = definition.limit, definition.code
        properties = {key: value for key, value in definition.properties.items() if not (tells(key) or tells(value))}
        is_run = definition.source == "instance" and not definition.is_of_instances  # of a server before
        only = None if definition.only is None else _without(definition.only, tells)
        is_named = any(map(tells, _texts(definition)))
        if not is_named and (properties, only) == (definition.properties, definition.only):
            continue
        count += 1
        if dry_run:
            continue
        if is_named and not is_run:
            ledger.erase(definition.application, definition.limit_id)
            continue
        if is_named:
            limit = msgspec.structs.replace(limit, name=f"forgotten {uuid.uuid4()}", match={}, tags=())
            code = None
        ledger.define(msgspec.structs.replace(definition, limit=limit, properties=properties, code=code, only=only))
    return count


def _forget_in_deleted(
    ledger: Ledger, tells: Callable[[str], bool], applications: Iterable[str], *, dry_run: bool
) -> int:
    count = 0
    for definition in [one.definition for name in applications for one in ledger.deleted(name)]:
        texts = (*_texts(definition), *definition.properties, *definition.properties.values())
        if any(map(tells, texts)) or any(_tell(key, tells) for key in definition.only or ()):
            count += 1
            if not dry_run:
                ledger.erase(definition.application, definition.limit_id)
    return count


def _texts(definition: Definition) -> list[str]:
    """By which a limit may be named after somebody, or made for them."""
    texts = [definition.limit_id]
    for one in (definition.limit, *(() if definition.code is None else (definition.code,))):
        texts += (one.name, *one.match.values(), *one.tags)
    return texts


def old_rows(ledger: Ledger, before_ns: int) -> int:
    """How many rows `Ledger.prune` would delete, of limits that are not deleted."""
    count = 0
    for application in ledger.applications():
        for definition in ledger.definitions(application).limits:
            count += sum(past.closed_ns <= before_ns for past in ledger.history(application, definition.limit_id))
            if definition.limit.is_dated:
                running = ledger.totals(application, definition.limit_id)
                count += sum(0 < (one.starts_ns or 0) <= before_ns and not one.held for one in running)
    return count


def _without(keys: frozenset[str], tells: Callable[[str], bool]) -> frozenset[str]:
    """Keys of accounts, but for those that tell of a person."""
    return frozenset(key for key in keys if not _tell(key, tells))


def _tell(key: str, tells: Callable[[str], bool]) -> bool:
    return any(tells(value) for value in _values(key))


def _values(key: str) -> list[Any]:
    return msgspec.json.decode(key) if key else []
