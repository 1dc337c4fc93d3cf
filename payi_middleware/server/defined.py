"""The limits of applications as their ledger has them, read at most once in a transaction.

Events that name limits are held against those of this very moment. Others are told what attaches itself as it was a tenth of a
second ago at the most, unless this process changed it: single events would feel the question.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from .. import health
from ..events import CallEvent
from ..exceptions import LedgerError, LimitError
from ..limits.instances import limit_id_of
from ..limits.ledger import Account, Definitions, Totals
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
        known = self._of(application)
        found = known.named.get(name)
        if found is not None:
            return found
        own = instance_limits.found(known.definitions, name)
        return None if own is None else own.told

    def are_known(self, application: str) -> bool:
        """Whether the limits of an application were ever read: else one that is not found may be there."""
        return self._of(application).definitions is not _NONE

    def accounts(self, event: CallEvent) -> tuple[Account, ...]:
        """All that an event is counted to."""
        definitions = self._of(event.application, now=bool(event.attribution.limit_ids)).definitions
        return accounts_of(definitions, facts_of(event)) if definitions.limits else ()

    def pays_unknown(self, application: str, accounts: tuple[Account, ...]) -> bool:
        """Whether a call without a known price is charged to one of some accounts by its maker's dearest model."""
        named = self._of(application).named
        found = (named.get(account.limit_id) for account in accounts)
        return any(one is not None and one.limit.pays_unknown for one in found)

    def configure(self, application: str, use_case: str, config: dict[str, Any], *, anew: bool) -> str:
        """Have the limit of a use case's instances in the ledger; its id.

        Args:
            application: Whose.
            use_case: Its name.
            config: Its `limit_config`.
            anew: Whether one that is there is changed to what this says. Else it is left to who changed it last.

        Raises:
            LedgerError: It cannot be asked.
            LimitError: Another limit has the id.
        """
        wanted = instance_limits.configured(application, use_case, config)
        kept = self._kept(application, wanted.limit_id)
        if kept is not None and not kept.is_of_instances:
            raise LimitError(
                f"limit {kept.limit.name!r} has the id {wanted.limit_id!r}, which is of the instances' own"
            )
        if kept is None or (anew and kept != _over(kept, wanted)):
            self._define(wanted if kept is None else _over(kept, wanted))
        return wanted.limit_id

    def end(self, application: str, use_case: str, only: Callable[[list[Totals]], frozenset[str]] | None) -> None:
        """Give new instances of a use case no limit any more.

        Args:
            application: Whose.
            use_case: Its name.
            only: The accounts that go on, of those that were counted; None for none.

        Raises:
            LedgerError: It cannot be asked.
        """
        kept = self._kept(application, limit_id_of(use_case))
        if kept is None or not kept.is_of_instances:
            return
        if only is None:
            self._ledger.remove(application, kept.limit_id)
            self._forget(application)
        elif kept.only is None:
            keys = only(self._ledger.totals(application, kept.limit_id))
            self._define(msgspec.structs.replace(kept, only=keys))

    def _kept(self, application: str, limit_id: str) -> Definition | None:
        """A limit as it is in this transaction.

        Raises:
            LedgerError: It cannot be asked.
        """
        known = self._known.get(application)
        if known is None or application not in self._asked:
            read_at, times = time.monotonic(), self._read_at
            known = self._learn(application, self._ledger.definitions(application), read_at, times)
        kept = known.named.get(limit_id)
        return kept if kept is not None and kept.limit_id == limit_id else None

    def _define(self, definition: Definition) -> None:
        try:
            self._ledger.define(definition)
        except LimitError:  # another limit has the name
            self._ledger.define(_named(definition, definition.limit_id))
        self._forget(definition.application)

    def _forget(self, application: str) -> None:
        """We changed its limits."""
        self._asked.discard(application)
        self._read_at.pop(application, None)

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
        return self._learn(application, self._read(application), read_at, times)

    def _learn(self, application: str, found: Definitions | None, read_at: float, times: dict[str, float]) -> _Known:
        """What was read; None where the ledger could not be asked."""
        known = self._known.get(application)
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
    return _Known(definitions, named)


def _over(kept: Definition, wanted: Definition) -> Definition:
    """What is wanted, in the place of what is kept: under its name, which may not be the usual one, and with its age."""
    same = msgspec.structs.replace(wanted, created_ns=kept.created_ns, updated_ns=kept.updated_ns)
    return _named(same, kept.limit.name)


def _named(definition: Definition, name: str) -> Definition:
    return msgspec.structs.replace(definition, limit=msgspec.structs.replace(definition.limit, name=name))
