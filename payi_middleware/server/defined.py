"""The limits of applications as their ledger has them, read at most once in a transaction.

Events that name limits are held against those of this very moment. Others are told what attaches itself as it was a tenth of a
second ago at the most, unless this process changed it: single events would feel the question.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, NamedTuple

import msgspec

from .. import health
from ..events import CallEvent
from ..exceptions import LedgerError, LimitError
from ..limits.ledger import Account, Definitions
from ..limits.limit import Definition
from ..limits.matching import accounts_of, facts_of
from . import instance_limits
from .away import Patient

__all__ = ["Defined"]

_NONE = Definitions(0, ())
_MOST = 1_000  # applications remembered
_FRESH = 0.1  # seconds


class _Known(NamedTuple):
    definitions: Definitions
    named: dict[str, Definition]
    """By id, and by name where no id is the same."""
    instances: deque[str]
    """The limits of instances, the oldest first."""
    new: dict[str, Account]
    """The accounts of limits that we made since the definitions were read, by id."""


class Defined:
    """What events may be counted to. Asked by one thread."""

    def __init__(self, ledger: Patient) -> None:
        self._ledger = ledger
        self._known: dict[str, _Known] = {}
        self._asked: set[str] = set()
        self._read_at: dict[str, float] = {}

    def changed(self) -> None:
        """Limits were changed by this process; any thread may tell."""
        self._read_at = {}

    def begin(self) -> None:
        """At the start of a transaction: others may have changed limits."""
        self._asked.clear()

    def limit(self, application: str, name: str) -> Definition | None:
        """A limit by its id or its name."""
        return self._of(application).named.get(name)

    def are_known(self, application: str) -> bool:
        """Whether the limits of an application were ever read: else one that is not found may be there."""
        return self._of(application).definitions is not _NONE

    def accounts(self, event: CallEvent) -> tuple[Account, ...]:
        """All that an event is counted to."""
        definitions, _, _, new = self._of(event.application, now=bool(event.attribution.limit_ids))
        if not definitions.limits and not new:
            return ()
        found = accounts_of(definitions, facts_of(event))
        if not new:
            return found
        return (*found, *(new[name] for name in event.attribution.limit_ids if name in new))

    def pays_unknown(self, application: str, accounts: tuple[Account, ...]) -> bool:
        """Whether a call without a known price is charged to one of some accounts by its maker's dearest model."""
        named = self._of(application).named
        found = (named.get(account.limit_id) for account in accounts)
        return any(one is not None and one.limit.pays_unknown for one in found)

    def of_instance(self, application: str, use_case: str, use_case_id: str, config: dict[str, Any]) -> str:
        """Make the limit of a new instance; its id.

        Raises:
            LedgerError: It cannot be made.
        """
        known = self._of(application)
        wanted = instance_limits.limit_of(application, use_case, use_case_id, config)
        try:
            made = self._ledger.define(wanted)
        except LimitError:  # another limit has the name
            name = f"{use_case} {wanted.limit_id}"
            made = self._ledger.define(_named(wanted, name))
        known.named[made.limit_id] = made
        known.new[made.limit_id] = Account(made.limit_id)
        known.instances.append(made.limit_id)
        while len(known.instances) > instance_limits.MOST:
            self._ledger.remove(application, known.instances.popleft())
        return made.limit_id

    def _of(self, application: str, *, now: bool = True) -> _Known:
        known = self._known.get(application)
        if known is not None and application in self._asked:
            return known
        read_at, times = time.monotonic(), self._read_at  # what is told to have changed meanwhile is read again
        if known is not None and not now and read_at - times.get(application, 0.0) < _FRESH:
            return known
        if len(self._known) >= _MOST:
            self._known.clear()
            times.clear()
        found = self._read(application)
        times[application] = read_at
        if known is None or (found is not None and found != known.definitions):
            known = self._known[application] = _known(found or _NONE)
        self._asked.add(application)
        return known

    def _read(self, application: str) -> Definitions | None:
        """None where the ledger cannot be asked: then those last known hold, and what they miss is left to the audit."""
        try:
            return self._ledger.definitions(application)
        except LedgerError as error:
            health.note("server_ledger", "limits cannot be read: %s", error)
            return None


def _known(definitions: Definitions) -> _Known:
    limits = definitions.limits
    named = {one.limit.name: one for one in limits} | {one.limit_id: one for one in limits}
    instances = sorted((one.created_ns, one.limit_id) for one in limits if one.source == "instance")
    return _Known(definitions, named, deque(limit_id for _, limit_id in instances), {})


def _named(definition: Definition, name: str) -> Definition:
    return msgspec.structs.replace(definition, limit=msgspec.structs.replace(definition.limit, name=name))
