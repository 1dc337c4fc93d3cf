"""What the server's scripts know of a limit, and how definitions are written there."""

from __future__ import annotations

from typing import Any

import msgspec

from ..rows import Known

__all__ = ["alerts_of", "fields_of", "share_of", "told_of"]

_encode = msgspec.json.Encoder().encode


def fields_of(known: Known) -> list[Any]:
    """Names and values, one after another, of a limit's hash."""
    definition = known.definition
    fields = {
        "definition": _encode(definition).decode(),
        "application": definition.application,
        "limit_id": known.limit_id,
        "name": known.name,
        "unit_name": known.unit,
        "window": definition.limit.window or "",
        "unit": known.at + 1,  # its place in an amount, as Lua counts
        "most": str(known.most),
        "from": str(known.exceeded_from),
        "blocks": int(known.blocks),
        "strict": int(known.strict),
        "rolling": known.rolling // 10**9,
        "kept": _kept_seconds(known),
    }
    return [part for field in fields.items() for part in field]


def told_of(known: Known) -> tuple[Any, ...]:
    """What steps tell of a limit, so that it need not be read."""
    return (
        known.number,
        str(known.most),
        str(known.exceeded_from),
        known.at + 1,
        known.blocks,
        known.strict,
        known.rolling // 10**9,
        _kept_seconds(known),
        alerts_of(known),
        known.turn,
    )


def _kept_seconds(known: Known) -> int:
    """How long a row is kept after its end."""
    return -known.outdated_at(0) // 10**9


def alerts_of(known: Known) -> list[list[str]]:
    """Each share with the amount from which it is told."""
    return [[str(share), str(amount)] for share, amount in known.alerts]


def share_of(text: str) -> float | str:
    """A share of an alert, as it was written."""
    try:
        return float(text)
    except ValueError:
        return text
