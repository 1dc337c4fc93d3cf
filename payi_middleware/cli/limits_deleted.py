"""Deleted limits on a terminal and as JSON: what they were, and what is kept of what they had counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .amounts import count
from .limits_shown import (
    PAST,
    amount_json,
    amount_text,
    clock_text,
    definition_json,
    echo,
    lines_of,
    past_json,
    past_row,
)

if TYPE_CHECKING:
    from ..limits.ledger import Deleted, Ledger, Past
    from ..limits.limit import Definition

__all__ = ["deleted_of", "print_deleted_limit", "print_deleted_limits"]

_LIMITS = [
    ("Limit", False),
    ("Type", False),
    ("Per", False),
    ("Window", False),
    ("Spent", True),
    ("Max", True),
    ("Deleted", False),
    ("Application", False),
    ("Id", False),
]


def deleted_of(ledger: Ledger, named: str, application: str | None) -> list[Deleted]:
    """Those of a name or id, of one application or of all, the last deleted first."""
    applications = ledger.applications() if application is None else [application]
    every = [one for whose in applications for one in ledger.deleted(whose)]
    every.sort(key=lambda one: one.at_ns, reverse=True)
    found = [one for one in every if one.definition.limit_id == named]
    return found or [one for one in every if one.definition.limit.name == named]


def print_deleted_limits(ledger: Ledger, application: str | None, most: int, *, as_json: bool) -> None:
    """The last that were deleted, one a line, with all that they had counted. Limits of instances are too many to be told."""
    from .tables import console, print_table, say

    applications = ledger.applications() if application is None else [application]
    every = [one for whose in applications for one in ledger.deleted(whose) if not _is_run(one.definition)]
    every.sort(key=lambda one: one.at_ns, reverse=True)
    found = [(one, _history(ledger, one)) for one in every[:most]]
    if as_json:
        for one, past in found:
            echo(_document(one, past))
        return
    on = console()
    if not found:
        say(on, "No limit was deleted.")
        return
    print_table(on, _LIMITS, [_row(one, past) for one, past in found])
    if len(every) > most:
        say(on, f"{count(len(every) - most)} more: --last {len(every)}")
    say(on, "What each had counted: payi limits show ID")


def print_deleted_limit(ledger: Ledger, deleted: Deleted, most: int, *, as_json: bool) -> None:
    """One with what is kept of it, the newest first."""
    from .tables import console, print_table, say

    limit, past = deleted.definition.limit, _history(ledger, deleted)
    if as_json:
        echo(_document(deleted, past) | {"history": [past_json(limit, one) for one in past]})
        return
    on = console()
    print_table(on, _LIMITS, [_row(deleted, past)])
    for line in lines_of(deleted.definition)[:1]:
        say(on, line)
    say(on, "It holds no call back and counts none any more. What it had counted stays until `payi prune`.")
    if not past:
        say(on, "Nothing is kept of what it had counted, or it had counted nothing.")
        return
    print_table(on, PAST, [past_row(limit, one) for one in past[:most]])
    if len(past) > most:
        say(on, f"{count(len(past) - most)} more: --accounts {len(past)}")


def _is_run(definition: Definition) -> bool:
    """Whether it is one instance's alone, as servers before these made them."""
    return definition.source == "instance" and not definition.is_of_instances


def _history(ledger: Ledger, deleted: Deleted) -> list[Past]:
    return ledger.history(deleted.definition.application, deleted.definition.limit_id)


def _row(deleted: Deleted, past: Sequence[Past]) -> list[str]:
    definition, limit = deleted.definition, deleted.definition.limit
    return [
        limit.name,
        f"{limit.type}, strict" if limit.strict else limit.type,
        ", ".join(limit.per) or "-",
        limit.window or "-",
        amount_text(limit, sum(one.totals.spent for one in past)),
        amount_text(limit, limit.most) + (" each" if limit.per else ""),
        clock_text(limit, deleted.at_ns),
        definition.application,
        definition.limit_id,
    ]


def _document(deleted: Deleted, past: Sequence[Past]) -> dict[str, Any]:
    from ..events import format_time

    limit = deleted.definition.limit
    return definition_json(deleted.definition) | {
        "accounts": len({one.totals.key for one in past}),
        "spent": amount_json(limit, sum(one.totals.spent for one in past)),
        "deleted_at": format_time(deleted.at_ns),
    }
