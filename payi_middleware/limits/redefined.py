"""A limit that is defined anew, deleted or forgotten: what of it goes on, and whether it may have its name."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import msgspec

from ..exceptions import LimitError
from .ledger import Deleted
from .limit import Definition
from .rows import Known, Terms

__all__ = ["changed", "check_name", "goes_on", "last_deleted", "nameless", "windows_of"]


def changed(kept: Definition, definition: Definition, now_ns: int) -> Definition:
    """A limit that is defined anew; the very one that is kept if nothing is new in it."""
    if msgspec.structs.replace(definition, created_ns=kept.created_ns, updated_ns=kept.updated_ns) == kept:
        return kept
    return msgspec.structs.replace(definition, created_ns=kept.created_ns, updated_ns=now_ns)


def goes_on(kept: Definition, definition: Definition) -> bool:
    """Whether what was counted counts to a limit as it is defined anew: not in another unit, nor as another member's."""
    old, new = kept.limit, definition.limit
    return (old.unit, old.per) == (new.unit, new.per)


def last_deleted(limits: Iterable[tuple[Known, int | None]]) -> list[Deleted]:
    """Of all limits there are and were, in the order in which they were made."""
    found: dict[str, Deleted] = {}
    for known, gone in limits:
        if gone is None:
            found.pop(known.limit_id, None)
        else:
            found[known.limit_id] = Deleted(known.definition, gone)
    return sorted(found.values(), key=lambda one: one.at_ns, reverse=True)


def nameless(definition: Definition) -> Definition:
    """A limit without what may tell of anybody."""
    name = f"forgotten {uuid.uuid4()}"
    limit = msgspec.structs.replace(definition.limit, name=name, match={}, tags=())
    return msgspec.structs.replace(definition, limit_id=name, limit=limit, properties={}, code=None, only=None)


def windows_of(definition: Definition) -> tuple[str | None, str]:
    """What its windows go by."""
    return definition.limit.window, definition.limit.timezone


def check_name(terms: Terms, definition: Definition) -> None:
    """Whether no other limit of the application has the name: as its own, or as its id, since calls name limits by either.

    Raises:
        LimitError: One has.
    """
    for known in terms.by_id.values():
        if known.limit_id == definition.limit_id:
            continue
        if definition.limit.name == known.limit_id or definition.limit_id == known.name:
            raise LimitError(
                f"limit {definition.limit.name!r}: application {definition.application!r} has another limit, {known.name!r} with "
                f"the id {known.limit_id!r}, and calls name limits by name or id; choose another name or id"
            )
        if known.name == definition.limit.name:
            raise LimitError(
                f"limit {known.name!r}: application {definition.application!r} has a limit of that name, {known.limit_id}; "
                "choose another name, or change that one"
            )
