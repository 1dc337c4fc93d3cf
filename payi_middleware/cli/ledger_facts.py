"""What `payi doctor` tells of the ledger: which it is, what it keeps, and which limits are reached."""

from __future__ import annotations

from typing import Any

from ..exceptions import PayiError
from ..limits.ledger import Ledger
from ..settings import Settings
from .ledger_source import opened_ledger_of

__all__ = ["ledger_facts"]

_SHOWN = 20


def ledger_facts(settings: Settings) -> dict[str, Any]:
    """As JSON takes it. Whose accounts are reached is not told, only how many."""
    facts: dict[str, Any] = {"id": None, "error": None, "limits": 0, "held": 0, "over": [], "unreadable": []}
    try:
        with opened_ledger_of(settings) as opened:
            return facts | _contents(opened)
    except PayiError as error:
        return facts | {"error": str(error)}


def _contents(ledger: Ledger) -> dict[str, Any]:
    every = [(name, ledger.definitions(name)) for name in ledger.applications()]
    definitions = [one for _, found in every for one in found.limits]
    unreadable = [{"application": name, "name": one.name} for name, found in every for one in found.unreadable]
    over: list[dict[str, Any]] = []
    for definition in definitions:
        limit = definition.limit
        reached = sum(one.spent >= limit.most for one in ledger.totals(definition.application, definition.limit_id))
        if reached:
            over.append(
                {"application": definition.application, "name": limit.name, "type": limit.type, "accounts": reached}
            )
    return {
        "id": ledger.id if definitions else None,
        "limits": len(definitions),
        "held": len(ledger.held()),
        "over": over[:_SHOWN],
        "unreadable": unreadable[:_SHOWN],
    }
