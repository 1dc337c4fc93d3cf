"""A person's accounts out of a ledger, and old history."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import msgspec

from .ledger import Account, Ledger

__all__ = ["Compacting", "accounts_of_person", "forget_person", "old_rows"]


@runtime_checkable
class Compacting(Protocol):
    """A ledger whose files keep what was deleted, until they are written anew."""

    def vacuum(self) -> None:
        """Write them anew. Calls wait meanwhile."""


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
    if found and isinstance(ledger, Compacting):
        ledger.vacuum()  # what was deleted still stands in free pages and in the log
    return len(found)


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
