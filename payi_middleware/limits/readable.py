"""Definitions as a ledger keeps them. One that cannot be read holds up no other: its id and name are known, so that it can go."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from .. import health
from .ledger import Unreadable
from .limit import Definition

__all__ = ["note_unreadable", "read_definition"]

_decode = msgspec.json.Decoder(Definition).decode


def read_definition(limit_id: str, text: str) -> Definition | Unreadable:
    """A definition out of its text."""
    try:
        return _decode(text)
    except (msgspec.MsgspecError, ValueError) as error:  # a limit's own refusal is a ValueError
        return Unreadable(limit_id, _name(text) or limit_id, str(error))


@lru_cache(maxsize=1024)
def note_unreadable(application: str, unreadable: Unreadable) -> None:
    """Say so, once for each."""
    health.note(
        "limit_unreadable",
        "limit %s of %s in the ledger cannot be read (%s), so it holds no call back; `payi limits delete`, or define it anew",
        health.shown(unreadable.name),
        health.shown(application),
        unreadable.why,
    )


def _name(text: str) -> str | None:
    try:
        told: Any = msgspec.json.decode(text)
        name = told["limit"]["name"]
    except (msgspec.MsgspecError, ValueError, TypeError, LookupError):
        return None
    return name if isinstance(name, str) else None
