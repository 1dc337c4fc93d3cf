"""A person's accounts out of a ledger, and old history."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import msgspec

from .ledger import Account, Ledger

__all__ = ["Compacting", "Erasing", "accounts_of_person", "forget_in_limits", "forget_person", "old_rows"]


@runtime_checkable
class Compacting(Protocol):
    """A ledger whose files keep what was deleted, until they are written anew."""

    def vacuum(self) -> None:
        """Write them anew. Calls wait meanwhile."""


@runtime_checkable
class Erasing(Protocol):
    """A ledger that can delete a limit so that not even its id is kept."""

    def erase(self, application: str, limit_id: str) -> None:
        """Delete it."""


def accounts_of_person(ledger: Ledger, person: str, application: str | None = None) -> list[tuple[str, Account]]:
    """The accounts whose keys name a person, with their application; of one application, or of all."""
    applications = ledger.applications() if application is None else [application]
    return [
        (name, account) for name in applications for account in ledger.accounts(name) if person in _values(account.key)
    ]


def forget_person(ledger: Ledger, person: str, application: str | None = None) -> int:
    """Delete a person's accounts with their history; how many accounts. What was spent by them is no longer counted to anybody."""
    found = accounts_of_person(ledger, person, application)
    for name, account in found:
        ledger.forget(name, account)
    return len(found)


def forget_in_limits(
    ledger: Ledger, tells: Callable[[str], bool], application: str | None = None, *, dry_run: bool
) -> int:
    """Have no limit tell of a person: by its properties, by its name, by what it matches; how many did.

    An instance's own gets a name without it. Any other that is named after the person, or made for them, is deleted.
    """
    applications = ledger.applications() if application is None else [application]
    count = 0
    for definition in [one for name in applications for one in ledger.definitions(name).limits]:
        limit, code = definition.limit, definition.code
        properties = {key: value for key, value in definition.properties.items() if not (tells(key) or tells(value))}
        texts = [definition.limit_id]
        for one in (limit, *(() if code is None else (code,))):
            texts += (one.name, *one.match.values(), *one.tags)
        is_named = any(map(tells, texts))
        if not is_named and properties == definition.properties:
            continue
        count += 1
        if dry_run:
            continue
        if is_named and definition.source != "instance" and isinstance(ledger, Erasing):
            ledger.erase(definition.application, definition.limit_id)
            continue
        if is_named:
            limit = msgspec.structs.replace(limit, name=f"forgotten {uuid.uuid4()}", match={}, tags=())
            code = None
        ledger.define(msgspec.structs.replace(definition, limit=limit, properties=properties, code=code))
        if is_named and definition.source != "instance":
            ledger.remove(definition.application, definition.limit_id)
    return count


def old_rows(ledger: Ledger, before_ns: int) -> int:
    """How many rows `Ledger.prune` would delete, of limits that are not deleted."""
    return sum(
        past.closed_ns <= before_ns
        for application in ledger.applications()
        for definition in ledger.definitions(application).limits
        for past in ledger.history(application, definition.limit_id)
    )


def _values(key: str) -> list[Any]:
    return msgspec.json.decode(key) if key else []
